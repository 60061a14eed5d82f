"""What a message may say, and what came out.

Facts are read by the claim in one statement and never looked up again while rendering: a message says
what was true under the invoice's lock. Text from outside (names, numbers) is data: it never becomes markup,
a header or a template.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from shared.content.pictures import Picture

_BREAKS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class OwedInvoice:
    """One of several that a message lists."""

    number: str
    due_date: date | None
    open_amount: Decimal
    currency: str
    payment_reference: str
    pay_url: str
    document_url: str | None = None


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """Amounts in `currency`; `open_amount` is that of what this message is about (installment or invoice);
    `days_past_due` in local calendar days, negative before; `fallback_from` names the channel that failed. `invoices`: all
    that it speaks of, where they are several; the other facts then are those of the one that is due for the longest. `logo`: the
    name of the creditor's picture."""

    creditor_name: str
    email_from: str
    customer_name: str
    locale: str
    invoice_ref: str
    invoice_number: str
    currency: str
    amount: Decimal
    open_amount: Decimal
    issue_date: date
    due_date: date | None
    days_past_due: int
    payment_reference: str
    pay_url: str
    opt_out_url: str
    installment_no: int = 1
    installment_count: int = 1
    reply_to: str | None = None
    sms_from: str | None = None
    voice_from: str | None = None
    iban: str | None = None
    bic: str | None = None
    logo_url: str | None = None
    document_url: str | None = None
    fallback_from: str | None = None
    attributes: Mapping[str, Any] | None = None
    invoices: tuple[OwedInvoice, ...] = ()
    logo: str | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """One message, ready for a channel: `text` ends with a newline, `html` only where the channel shows it. `locale` is
    that of the text, where the channel must know it (a voice). `wording`: which text in which version it was made of,
    and which pictures. `pictures`: those that go with the html."""

    subject: str
    text: str
    html: str | None = None
    locale: str = ""
    wording: str = ""
    pictures: tuple[Picture, ...] = ()


def one_line(value: str) -> str:
    """The value with line breaks, control and direction-changing characters as single spaces."""
    return value if value.isprintable() else _BREAKS.sub(" ", value).strip()


def web_address(value: str | None) -> str | None:
    """The address if a browser may be sent there (http, https), else None: never `javascript:` in a link."""
    return one_line(value) if value and value.startswith(("https://", "http://")) else None
