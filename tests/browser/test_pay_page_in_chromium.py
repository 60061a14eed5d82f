"""The pay page on a telephone and on a desk, in a real browser that runs no script: it is used as people use it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from services.payments.api.voices import LANGUAGES
from tests.browser.chromium import installed
from tests.browser.shop import DESK, OPEN_ALL, PHONE, Shop, faults, picture, served, shop_open
from tests.doubles.stripe_api import early_in_the_half_hour, stripe_api
from tests.integration.payments_running import BEARER

pytestmark = pytest.mark.skipif(
    not installed(), reason="no chromium is installed: the page's HTML is tested all the same"
)


@pytest.fixture
async def shop(database_dsn: str, tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop_open(database_dsn, tmp_path) as shop:
        yield shop


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK, (320, 640, True)], ids=["phone", "desk", "narrow"])
async def test_nobody_stumbles_over_the_page(shop: Shop, size: tuple[int, int, bool], dark: bool) -> None:
    made = await shop.owing()
    name = f"{size[0]}-{'dark' if dark else 'light'}"
    for language in LANGUAGES:
        page = await shop.open(size, dark=dark, query=f"?lang={language}")
        await picture(page, f"{name}-{language}")
        await page.run(OPEN_ALL)
        await picture(page, f"{name}-{language}-open")
        assert await faults(page) == []
        assert page.complaints == []
        assert {url.split("/pay/")[0] for url in page.asked()} == {shop.origin}
    await shop.payments.owner.execute("UPDATE invoice SET settled_at = business_now() WHERE id = $1", made.id)
    for token, shown in ((made.token, "paid"), ("x" * 22, "missing")):
        shop.token = token
        page = await shop.open(size, dark=dark)
        await picture(page, f"{name}-{shown}")
        assert await faults(page) == []


async def test_a_promise_is_made_with_a_thumb(shop: Shop) -> None:
    made = await shop.owing()
    page = await shop.open()
    await page.click("details:has(#date1) > summary")
    await page.set("#date1", "2100-03-20")
    await page.write("#amount1", "2000")
    await page.click("form[action$=promise] button", leaves=True)

    assert "more than is open" in await page.text()
    assert await page.run("document.querySelector('#amount1').value") == "2000"
    assert await page.run("document.querySelector('details:has(#date1)').open") is True
    assert await faults(page) == []
    await picture(page, "promise-wrong")

    await page.set("#amount1", "")
    await page.click("form[action$=promise] button", leaves=True)
    assert "Thank you! We have noted when you will pay." in await page.text()
    assert await shop.stops(made) == [("promise", "promise")]
    assert await page.run("location.pathname") == f"/pay/{made.token}"
    assert await faults(page) == []
    await picture(page, "promise-made")


async def test_something_wrong_is_told_in_the_customers_language(shop: Shop) -> None:
    made = await shop.owing(customer_columns={"name": "Ana Silva", "locale": "es-CO"})
    page = await shop.open()
    await page.click("details:has(#note) > summary")
    await page.click("label[for=reason-wrong_amount]")
    await page.write("#note", "Pedí dos, no tres")
    await page.click("form[action$=dispute] button", leaves=True)

    assert "Gracias por avisarnos" in await page.text()
    assert await shop.stops(made) == [("dispute", "wrong_amount")]
    assert await shop.payments.owner.fetchval("SELECT note FROM hold") == "Pedí dos, no tres"


async def test_another_language_is_read_and_then_kept(shop: Shop) -> None:
    made = await shop.owing()
    page = await shop.open()
    await page.click("nav a[lang=pt]", leaves=True)
    assert "Pagar por transferência bancária" in await page.text()
    await page.click("details:has(#language) > summary")
    await page.set("#channel", "sms")
    await page.click("form[action$=preferences] button", leaves=True)

    assert "A partir de agora escreveremos assim" in await page.text()
    kept = await shop.payments.owner.fetchrow(
        "SELECT locale, preferred_channel FROM customer WHERE id = $1", made.customer_id
    )
    assert tuple(kept or ()) == ("pt", "sms")


async def test_i_have_paid_is_one_touch_and_a_reload_says_nothing_twice(shop: Shop) -> None:
    made = await shop.owing()
    page = await shop.open()
    await page.click("details:has(form[action$=paid]) > summary")
    await page.click("form[action$=paid] button", leaves=True)
    await page.goto(str(await page.run("location.href")))

    assert "We have noted that you have paid" in await page.text()
    assert await shop.stops(made) == [("said_paid", "said_paid")]
    sent = [request for request in page.requests if request["method"] == "POST"]
    assert len(sent) == 1
    assert "Referer" not in sent[0]["headers"]


async def test_another_site_that_knows_the_link_is_refused_by_what_the_browser_says(shop: Shop) -> None:
    made = await shop.owing()
    async with served(_elsewhere(f"{shop.origin}/pay/{made.token}/paid")) as origin:
        page = await shop.browser.page(*PHONE[:2], mobile=True)
        await page.goto(origin)
        await page.click("button", leaves=True)
    assert "did not come from this page" in await page.text()
    assert await shop.stops(made) == []


async def test_the_keyboard_reaches_everything_and_shows_where_it_is(shop: Shop) -> None:
    await shop.owing()
    page = await shop.open(DESK)
    seen: list[str] = []
    for _ in range(14):
        await page.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        await page.call("Input.dispatchKeyEvent", type="keyUp", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        where = "(e => [e.tagName + ' ' + e.textContent.trim().slice(0, 25), getComputedStyle(e).outlineStyle])(document.activeElement)"
        name, outline = await page.run(where)
        seen.append(name)
        assert outline == "solid", f"{name} has the focus and does not show it"
        if name.startswith("SUMMARY Language"):
            break
    assert seen[0] == "A Skip to the invoice"
    assert [name for name in seen if name.startswith("SUMMARY")] == [
        "SUMMARY I have already paid",
        "SUMMARY I will pay later",
        "SUMMARY Something is not right wi",
        "SUMMARY Language and how we write",
    ]


async def test_the_pay_button_leads_over_stripe_and_back_without_a_script(shop: Shop) -> None:
    made = await shop.owing(payment_url=None)
    await early_in_the_half_hour()
    async with stripe_api() as stripe:
        stripe.tell = lambda body, headers: shop.payments.http.post(
            "/v1/webhooks/stripe", content=body, headers=headers
        )
        await shop.payments.http.put("/v1/sources/stripe", json=stripe.settings(), headers=BEARER)
        page = await shop.open()
        await picture(page, "checkout")
        assert await faults(page) == []
        assert await page.run("document.querySelector('.first button').textContent") == "Pay €1,010.00 now"
        await page.click("form[action$=checkout] button", leaves=True)
        assert "101000" in await page.text()

        await page.click("#back", leaves=True)
        assert "To pay" in await page.text()
        await page.click("form[action$=checkout] button", leaves=True)
        await page.click("#pay", leaves=True)
        assert await page.run("location.href") == f"{shop.origin}/pay/{made.token}?said=checkout&lang=en"
        assert "All paid. Thank you!" in await page.text()
        assert page.complaints == []
        assert len(stripe.sessions) == 1


async def test_where_stripe_does_not_open_the_page_says_so_and_how_to_transfer(shop: Shop) -> None:
    await shop.owing(payment_url=None)
    async with stripe_api() as stripe:
        await shop.payments.http.put("/v1/sources/stripe", json=stripe.settings(), headers=BEARER)
        stripe.troubles += [500, 500]
        page = await shop.open()
        await page.click("form[action$=checkout] button", leaves=True)
        await picture(page, "checkout-away")
        assert "Nothing was charged" in await page.text()
        assert await faults(page) == []
        await page.click("main > .wrong a")
        assert await page.run("location.hash") == "#transfer"


async def test_the_browser_itself_lets_the_form_go_to_no_other_site(shop: Shop) -> None:
    await shop.owing(payment_url=None)
    async with stripe_api() as stripe, stripe_api() as another:
        stripe.page = another.origin
        settings = stripe.settings(page=another.origin)
        await shop.payments.http.put("/v1/sources/stripe", json=settings, headers=BEARER)
        page = await shop.open()
        settings["checkout"]["page"] = stripe.origin  # what the opened page allows is no longer where it leads
        await shop.payments.http.put("/v1/sources/stripe", json=settings, headers=BEARER)
        stripe.page = None
        await page.click("form[action$=checkout] button")
        async with asyncio.timeout(30):
            while not any("form-action" in complaint for complaint in page.complaints):
                await asyncio.sleep(0.05)
        assert (await page.run("location.href")).startswith(shop.origin)


def _elsewhere(target: str) -> Callable[..., Awaitable[None]]:
    """Another site, whose button sends our form."""
    body = f'<form method="post" action="{target}"><button>win a prize</button></form>'.encode()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = [(b"content-type", b"text/html"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app
