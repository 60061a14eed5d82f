"""Whatever an invoice has come to, its page is one that everybody can use: axe and our own rules find nothing."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests import factories
from tests.browser.chromium import Page, installed
from tests.browser.shop import OPEN_ALL, PHONE, Shop, faults, picture, shop_open
from tests.factories import Made
from tests.integration.payments_running import event

pytestmark = pytest.mark.skipif(not installed(), reason="no chromium is installed")
State = Callable[[Shop, Made], Awaitable[None]]


@pytest.fixture
async def shop(database_dsn: str, tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop_open(database_dsn, tmp_path) as shop:
        yield shop


async def owed(shop: Shop, made: Made) -> None:
    pass


async def paid(shop: Shop, made: Made) -> None:
    await shop.payments.say(event("confirmed", factories.unique("p"), "1010.00", invoice_id=made.ref))


async def on_its_way(shop: Shop, made: Made) -> None:
    await shop.payments.say(event("pending", factories.unique("p"), "1010.00", invoice_id=made.ref))


async def said_paid(shop: Shop, made: Made) -> None:
    await _say(shop, made, "paid", {})


async def promised(shop: Shop, made: Made) -> None:
    days = {"date1": "2100-03-20", "amount1": "100", "date2": "2100-04-01", "amount2": ""}
    await _say(shop, made, "promise", days)


async def disputed(shop: Shop, made: Made) -> None:
    await _say(shop, made, "dispute", {"reason": "defective", "note": "It rattles"})


async def voided(shop: Shop, made: Made) -> None:
    await _set(shop, made, "closed_as = 'void', closed_at = business_now()")


async def written_off(shop: Shop, made: Made) -> None:
    await _set(shop, made, "closed_as = 'uncollectible', closed_at = business_now()")


async def expired(shop: Shop, made: Made) -> None:
    await _set(shop, made, "token_until = business_now() - interval '1 day'")


async def stopped(shop: Shop, made: Made) -> None:
    await shop.payments.owner.execute(
        "INSERT INTO suppression (contact_point_id, channel, reason) "
        "SELECT id, 'email', 'opted_out' FROM contact_point WHERE customer_id = $1 AND kind = 'email'",
        made.customer_id,
    )


async def without_bank(shop: Shop, made: Made) -> None:
    await shop.payments.owner.execute("UPDATE creditor SET iban = NULL, bic = NULL")
    await _set(shop, made, "payment_url = NULL, document_key = NULL")


async def with_notices(shop: Shop, made: Made) -> None:
    await shop.payments.owner.execute("INSERT INTO channel (name, reaches) VALUES ('push', 'push')")
    await shop.payments.owner.execute(
        "INSERT INTO provider (channel, name, own_price, browsers) VALUES ('push', 'fcm_web', 0, true)"
    )


STATES: dict[State, str] = {
    owed: "Invoice 2100-0147",
    paid: "All paid. Thank you!",
    on_its_way: "Your payment is on its way to us",
    said_paid: "Until March 15, 2100 we wait for the money",
    promised: "You will pay €100.00 by March 20, 2100",
    disputed: "We are looking into it",
    voided: "Nothing to pay",
    written_off: "This invoice is closed",
    expired: "This link does not work",
    stopped: "We no longer write to",
    without_bank: "When you pay",
    with_notices: "Get notices on this device",
}


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
async def test_nobody_stumbles_over_it(shop: Shop, state: State) -> None:
    made = await shop.owing()
    await state(shop, made)
    for language, dark in (("en", False), ("es", True), ("pt", True)):
        page = await _opened(shop, dark, language)
        await picture(page, f"state-{state.__name__}-{language}")
        assert await faults(page) == []
        assert language != "en" or STATES[state] in await page.text()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_a_form_that_was_not_taken_says_so_to_everybody(shop: Shop, dark: bool) -> None:
    await shop.owing()
    page = await _opened(shop, dark, "en")
    await page.write("#note", "It rattles")
    await page.run("document.querySelectorAll('[required]').forEach(e => e.required = false)")
    await page.click("form[action$=dispute] button", leaves=True)

    assert "Please choose what is not right." in await page.text()
    assert await faults(page) == []


async def test_axe_would_find_what_is_wrong(shop: Shop) -> None:
    await shop.owing()
    page = await _opened(shop, False, "en")
    await page.run("document.querySelector('label[for=note]').remove()")
    await page.run("document.querySelector('.sum').style.color = '#eee'")
    await page.run("document.querySelector('main').setAttribute('role', 'buton')")

    found = [fault for fault in await faults(page) if fault.startswith("axe, ")]
    rules = {fault.partition(": ")[2].partition(" at ")[0] for fault in found}
    assert {"label", "color-contrast", "aria-roles"} <= rules


async def _opened(shop: Shop, dark: bool, language: str) -> Page:
    page = await shop.open(PHONE, dark=dark, query=f"?lang={language}")
    await page.run(OPEN_ALL)
    return page


async def _say(shop: Shop, made: Made, action: str, form: dict[str, str]) -> None:
    answer = await shop.payments.http.post(f"/pay/{made.token}/{action}", data=form)
    assert answer.status_code == 303, answer.text


async def _set(shop: Shop, made: Made, columns: str) -> None:
    await shop.payments.owner.execute(f"UPDATE invoice SET {columns} WHERE id = $1", made.id)
