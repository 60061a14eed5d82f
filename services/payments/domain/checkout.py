"""What a page to pay on is opened for: exactly what is owed of one invoice, now.

True here: whoever clicks twice in the same half hour of the clock, for the same amount and in the same language, comes to
the same page and can pay it once; a page whose amount is no longer owed is closed, and one that nobody used closes by
itself after about an hour at most, so that an old one does not take money that is no longer owed. Pure.
"""

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol
from urllib.parse import urlencode

from services.payments.domain.minor_units import to_minor
from services.payments.domain.source_settings import Checkout
from shared.kernel.money import MINOR_UNITS

# Where Stripe's units are not ISO 4217's (https://docs.stripe.com/currencies).
STRIPE_UNITS = {**MINOR_UNITS, "ISK": 2, "UGX": 2, "MGA": 0}
WINDOW = 1800  # seconds in which a second click asks for the same; Stripe's pages live half an hour at least
_MARGIN = 60


@dataclass(frozen=True, slots=True)
class Purchase:
    """`page`: the pay page's address, where the customer comes back to."""

    invoice_ref: str
    number: str
    amount: Decimal
    currency: str
    language: str
    page: str


@dataclass(frozen=True, slots=True)
class Asked:
    """The body of the question and the key under which it counts once."""

    body: bytes
    key: str


@dataclass(frozen=True, slots=True)
class Opened:
    """A page's address, on the origin that the settings name, and what its provider calls it."""

    url: str
    session: str


class NotOpened(Exception):
    """No page to pay on; the text is for the operator, without a secret."""


class NotClosed(Exception):
    """Nobody knows whether the page still takes money; as above."""


class CheckoutPages(Protocol):
    """Who opens and closes them."""

    async def __call__(self, settings: Checkout, asked: Asked) -> Opened:
        """Raises NotOpened."""

    async def end(self, settings: Checkout, session: str) -> None:
        """From now on it takes no money; what it has taken stays. Raises NotClosed."""


def ask(purchase: Purchase, now: float) -> Asked:
    """`now`: Unix seconds by the wall clock. ValueError: Stripe cannot take this amount."""
    begun = int(now) // WINDOW * WINDOW
    fields = {
        "mode": "payment",
        "client_reference_id": purchase.invoice_ref,
        "metadata[invoice_id]": purchase.invoice_ref,
        "payment_intent_data[metadata][invoice_id]": purchase.invoice_ref,
        "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": purchase.currency.lower(),
        "line_items[0][price_data][unit_amount]": str(to_minor(purchase.amount, purchase.currency, STRIPE_UNITS)),
        "line_items[0][price_data][product_data][name]": purchase.number,
        "locale": purchase.language,
        "success_url": f"{purchase.page}?said=checkout&lang={purchase.language}",
        "cancel_url": f"{purchase.page}?lang={purchase.language}",
        "expires_at": str(begun + 2 * WINDOW + _MARGIN),
    }
    body = urlencode(fields).encode()
    return Asked(body, f"dunnock-{hashlib.sha256(body).hexdigest()}")
