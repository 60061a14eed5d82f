"""The pay page on a telephone and on a desk, in a real browser that runs no script: it is used as people use it."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from services.payments.api.voices import LANGUAGES
from shared.web.server import make_server
from tests import factories
from tests.browser.chromium import Browser, Page, chromium, installed
from tests.factories import Made
from tests.integration.payments_running import Payments, event, payments_running

pytestmark = pytest.mark.skipif(
    not installed(), reason="no chromium is installed: the page's HTML is tested all the same"
)
FAULTS = (Path(__file__).parent / "accessibility.js").read_text()
OPEN_ALL = "document.querySelectorAll('details').forEach(e => e.open = true)"
NOW = datetime(2100, 3, 10, 12, tzinfo=UTC)
PHONE, DESK = (390, 844, True), (1280, 900, False)
PICTURES = os.environ.get("DUNNOCK_TEST_PICTURES")  # a folder, for who wants to look


@dataclass
class Shop:
    payments: Payments
    browser: Browser
    origin: str
    token: str = ""

    async def owing(self, **more: Any) -> Made:
        """An invoice of two installments, one overdue and partly paid, of a customer with two addresses."""
        made = await factories.invoice(
            self.payments.owner,
            ("740.00", "510.00"),
            due_dates=(date(2100, 3, 1), date(2100, 4, 1)),
            number="2100-0147",
            creditor_columns={"name": "Werkzeug Huber GmbH", "iban": "DE02120300000000202051", "bic": "BYLADEM1001"},
            payment_reference="RF18539007547034",
            payment_url="https://pay.example.com/2100-0147",
            document_key="0" * 64,
            document_name="2100-0147.pdf",
            **{"customer_columns": {"name": "Ana Silva", "locale": "en"}, **more},
        )
        await factories.contact_point(self.payments.owner, made.customer_id, "phone", "+34600111222")
        await self.payments.say(
            event("confirmed", factories.unique("p"), "240.00", invoice_id=made.ref, paid_at="2100-03-03T10:00:00Z")
        )
        self.token = made.token
        return made

    async def open(self, size: tuple[int, int, bool] = PHONE, *, dark: bool = False, query: str = "") -> Page:
        page = await self.browser.page(*size[:2], mobile=size[2], dark=dark)
        await page.goto(f"{self.origin}/pay/{self.token}{query}")
        return page

    async def stops(self, made: Made) -> list[tuple[str, str]]:
        sql = "SELECT kind, reason FROM hold WHERE invoice_id = $1 ORDER BY id"
        return [tuple(row) for row in await self.payments.owner.fetch(sql, made.id)]


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    server = make_server(app, "127.0.0.1", 0, trusted_proxies=[], grace=1)
    serving = asyncio.create_task(server.serve([bound]))
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


@pytest.fixture
async def shop(database_dsn: str, tmp_path: Path) -> AsyncIterator[Shop]:
    async with payments_running(database_dsn, tmp_path / "documents") as payments:
        await payments.owner.execute("UPDATE business_clock SET ahead = $1::timestamptz - clock_timestamp()", NOW)
        async with served(payments.app) as origin, chromium(tmp_path / "profile") as browser:
            yield Shop(payments, browser, origin)


async def picture(page: Page, name: str) -> None:
    if PICTURES:
        await page.picture(Path(PICTURES) / f"{name}.png")


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
        assert await page.run(FAULTS) == []
        assert page.complaints == []
        assert {url.split("/pay/")[0] for url in page.asked()} == {shop.origin}
    await shop.payments.owner.execute("UPDATE invoice SET settled_at = business_now() WHERE id = $1", made.id)
    for token, shown in ((made.token, "paid"), ("x" * 22, "missing")):
        shop.token = token
        page = await shop.open(size, dark=dark)
        await picture(page, f"{name}-{shown}")
        assert await page.run(FAULTS) == []


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
    assert await page.run(FAULTS) == []
    await picture(page, "promise-wrong")

    await page.set("#amount1", "")
    await page.click("form[action$=promise] button", leaves=True)
    assert "Thank you! We have noted when you will pay." in await page.text()
    assert await shop.stops(made) == [("promise", "promise")]
    assert await page.run("location.pathname") == f"/pay/{made.token}"
    assert await page.run(FAULTS) == []
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
