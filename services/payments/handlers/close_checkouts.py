"""Closes the pages to pay on that ask for more than is owed by now: other money came, or the invoice was closed.

True here: no transaction is open while the provider is asked; what fails is told and tried again until the page has
ended by itself, and keeps no other page waiting; two processes at once do no harm, because what is closed stays closed.
"""

import asyncio

import structlog

from services.payments.domain.checkout import CheckoutPages, NotClosed
from services.payments.domain.source_settings import Checkout
from services.payments.handlers.open_checkout import OPENED
from services.payments.store.checkout import TooMuch, forget_old_pages, forget_page, pages_for_too_much
from shared.db.engine import Database

MOST, AT_ONCE = 50, 5  # a turn, of which so many are asked for at the same time

log = structlog.get_logger("payments")


class CloseCheckouts:
    def __init__(self, db: Database, pages: CheckoutPages) -> None:
        self._db = db
        self._pages = pages
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def __call__(self) -> int:
        """How many were closed."""
        async with self._db.connection() as connection:
            await forget_old_pages(connection)
            found = await pages_for_too_much(connection, MOST)
        return sum(await asyncio.gather(*(self._close(one) for one in found)))

    async def _close(self, page: TooMuch) -> bool:
        try:
            async with self._slots:
                await self._pages.end(Checkout.model_validate(page.config), page.session)
        except (NotClosed, ValueError) as error:
            log.error("checkout_not_closed", source=page.source, invoice_id=page.invoice_ref, reason=str(error))
            return False
        async with self._db.connection() as connection:
            await forget_page(connection, page.session)
        OPENED.labels("closed").inc()
        return True
