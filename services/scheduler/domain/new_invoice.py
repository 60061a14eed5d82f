"""An invoice as it was sent, checked and in one spelling, before anything of it is stored.

What must stay true: two invoices that say the same have the same `content_hash`, however their JSON or CSV was
written. The customer's own data is not part of it: an inline customer is an upsert.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class NewContactPoint:
    """`channels` None: every channel that this kind of address serves by itself."""

    kind: str
    address: str
    channels: tuple[str, ...] | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class NewCustomer:
    """`contact_points` None: they stay as they are. A list replaces them; what it leaves out is retired."""

    ref: str
    name: str
    locale: str | None = None
    timezone: str | None = None
    country: str | None = None
    preferred_channel: str | None = None
    attributes: Mapping[str, Any] | None = None
    contact_points: tuple[NewContactPoint, ...] | None = None


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document that is in the store already."""

    key: str
    name: str
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class NewInvoice:
    """`installments`: (due date, amount) in the order of the due dates."""

    ref: str
    number: str
    creditor: str
    customer_ref: str
    customer: NewCustomer | None
    issue_date: date
    currency: str
    installments: tuple[tuple[date, Decimal], ...]
    flow: str
    payment_url: str | None
    payment_reference: str
    attributes: Mapping[str, Any]
    document: NewDocument | None
    content_hash: bytes


def content_hash(
    *,
    number: str,
    creditor: str,
    customer_ref: str,
    issue_date: date,
    currency: str,
    installments: tuple[tuple[date, Decimal], ...],
    flow: str,
    payment_url: str | None,
    payment_reference: str | None,
    attributes: Mapping[str, Any],
    document: NewDocument | None,
) -> bytes:
    """16 bytes. A payment reference of our own making is None here: it follows from the rest."""
    said = (
        number,
        creditor,
        customer_ref,
        issue_date,
        currency,
        [(due, f"{amount.normalize():f}") for due, amount in installments],
        flow,
        payment_url,
        payment_reference,
        attributes,
        document and (document.key, document.name, document.media_type),
    )
    return hashlib.blake2b(orjson.dumps(said, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()
