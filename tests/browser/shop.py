"""The pay page of one shop, served for real and opened in a real browser.

True here: what a person stumbles over is a list of sentences, by our own rules and by axe's; an empty list is the only good one.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from shared.web.server import make_server
from tests import factories
from tests.browser.axe import axe
from tests.browser.chromium import Browser, Page, chromium
from tests.factories import Made
from tests.integration.payments_running import Payments, event, payments_running

OWN_RULES = (Path(__file__).parent / "accessibility.js").read_text()
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
            document_key="0" * 64,
            document_name="2100-0147.pdf",
            **{
                "customer_columns": {"name": "Ana Silva", "locale": "en"},
                "payment_url": "https://pay.example.com/2100-0147",
                **more,
            },
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
async def served(app: Any, bound: socket.socket | None = None) -> AsyncIterator[str]:
    bound = bound or taken()
    server = make_server(app, "127.0.0.1", 0, trusted_proxies=[], grace=1)
    serving = asyncio.create_task(server.serve([bound]))
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.02)
    try:
        yield origin_of(bound)
    finally:
        server.should_exit = True
        await serving


@contextlib.asynccontextmanager
async def shop_open(dsn: str, folder: Path) -> AsyncIterator[Shop]:
    bound = taken()
    async with payments_running(dsn, folder / "documents", public_url=origin_of(bound)) as payments:
        await payments.owner.execute("UPDATE business_clock SET ahead = $1::timestamptz - clock_timestamp()", NOW)
        async with served(payments.app, bound) as origin, chromium(folder / "profile") as browser:
            yield Shop(payments, browser, origin)


def taken() -> socket.socket:
    """A port of our own."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    return bound


def origin_of(bound: socket.socket) -> str:
    return f"http://127.0.0.1:{bound.getsockname()[1]}"


async def faults(page: Page) -> list[str]:
    """What somebody stumbles over: on a small screen, with a keyboard, a screen reader or poor sight."""
    return [*await page.run(OWN_RULES), *await axe(page)]


async def picture(page: Page, name: str) -> None:
    if PICTURES:
        await page.picture(Path(PICTURES) / f"{name}.png")
