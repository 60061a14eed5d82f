"""Opens a page to pay on, when a customer asks for it.

True here: for what is owed at that moment; no transaction is open while the provider is asked; what fails is said to the
operator (a metric and the log) and to the customer, who can still pay by transfer. The key is never logged.
"""

import time

import prometheus_client
import structlog

from services.payments.domain.checkout import CheckoutPages, NotOpened, Purchase, ask
from services.payments.domain.customer_word import Refused
from services.payments.domain.source_settings import Checkout
from services.payments.store.checkout import checkout_of, note_opened
from services.payments.store.invoices import Owed
from services.payments.store.page_facts import said_before
from shared.db.engine import Database

OPENED = prometheus_client.Counter("dunnock_checkouts", "Pages to pay on that customers asked for", ["result"])

log = structlog.get_logger("payments")


class OpenCheckout:
    """`public_url`: the origin that customers reach. `actions`: how often a customer may do something in a day."""

    def __init__(self, db: Database, pages: CheckoutPages, public_url: str, actions: int) -> None:
        self._db = db
        self._pages = pages
        self._public_url = public_url.rstrip("/")
        self._actions = actions

    async def __call__(self, owed: Owed, token: str, language: str) -> str | Refused:
        """The address of the page to pay on."""
        async with self._db.connection() as connection:
            found = await checkout_of(connection, owed.creditor_ref)
            before = await said_before(connection, owed.id)
        if found is None:
            return Refused("checkout")
        if before.today >= self._actions:
            return Refused("too_often")
        try:
            page = f"{self._public_url}/pay/{token}"
            purchase = Purchase(owed.ref, owed.number, owed.open_amount, owed.currency, language, page)
            opened = await self._pages(Checkout.model_validate(found.config), ask(purchase, time.time()))
        except (NotOpened, ValueError) as error:
            OPENED.labels("failed").inc()
            log.error("checkout_failed", source=found.ref, invoice_id=owed.ref, reason=str(error))
            return Refused("checkout")
        async with self._db.connection() as connection:
            await note_opened(connection, opened.session, found.id, owed.id, owed.open_amount, owed.currency)
        OPENED.labels("opened").inc()
        return opened.url
