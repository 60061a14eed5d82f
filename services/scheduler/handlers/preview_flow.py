"""A flow shown on an example: dated, costed, written out. Nothing is stored."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import asyncpg
from jinja2 import TemplateError

from services.scheduler.domain.forecast import Forecast, forecast
from services.scheduler.domain.new_invoice import NewContactPoint, NewCustomer, NewInvoice
from services.scheduler.domain.planned import Installment, InvoiceFacts
from services.scheduler.domain.preview import Example, Previewed, preview
from services.scheduler.store import parties
from services.scheduler.store.ground import offers
from services.scheduler.store.own_texts import catalog_with
from services.scheduler.store.parties import CreditorRow
from shared.content import Catalog, MessageFacts, OwedInvoice, Rendered
from shared.content.catalog import UnknownMessage
from shared.content.several import for_several
from shared.db.engine import Database
from shared.flow import ConditionInputs, Flow, NeverOpens
from shared.kernel.caps import Caps
from shared.kernel.errors import FieldError, Invalid
from shared.routing import ContactKind, ContactPoint, Offer

LINKS = "https://pay.example.com"
FURTHEST = timedelta(days=3660)
NO_PROVIDERS = {
    channel: Offer("any", Decimal(0)) for channel in ("email", "sms", "voice", "push", "http", "rcs", "whatsapp")
}


@dataclass(frozen=True, slots=True)
class Text:
    """What a row says on its first channel; `fault` where it cannot be written."""

    channel: str
    rendered: Rendered | None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """`foreseen`: of the example itself; `rows` also of what else its customer owes."""

    foreseen: Forecast
    rows: list[tuple[Previewed, Text | None]]
    zone: ZoneInfo
    points: Sequence[ContactPoint]


@dataclass(frozen=True, slots=True)
class Terms:
    """`at`: from when on (now). `caps`: those that hold for all flows."""

    at: datetime | None
    days: int
    caps: Caps


async def show(db: Database, flow: Flow, invoices: Sequence[tuple[str, NewInvoice]], terms: Terms) -> Shown:
    """`invoices`: (place in the caller's body, invoice), the example with its inline customer first, then what else that
    customer owes. Raises `Invalid`."""
    async with db.connection() as connection:
        now = _near(await connection.fetchval("SELECT business_now()"), terms.at)
        owed = [(invoice, await _creditor(connection, place, invoice)) for place, invoice in invoices]
        known = await offers(connection)
        logos = {creditor.logo for _, creditor in owed if creditor.logo}
        catalog = await catalog_with(connection, _messages(flow), logos)
    until = now + timedelta(days=terms.days)
    try:
        examples = [_example(flow, invoice, creditor, now, until) for invoice, creditor in owed]
    except NeverOpens as error:
        raise _wrong("/flow", str(error)) from None
    rows = preview(flow, examples, NO_PROVIDERS if known is None else known, terms.caps, now, until)
    texts = [(row, _text(catalog, flow, [row, *_riders(row, rows)], owed)) for row in rows]
    return Shown(examples[0].foreseen, texts, examples[0].facts.zone, examples[0].points)


def _near(now: datetime, at: datetime | None) -> datetime:
    """Calendars end where years have five digits."""
    if at is not None and abs(at - now) > FURTHEST:
        raise _wrong("/at", f"must be within {FURTHEST.days} days of now")
    return at or now


async def _creditor(connection: asyncpg.Connection, place: str, invoice: NewInvoice) -> CreditorRow:
    found = await parties.creditor(connection, invoice.creditor)
    if found is None:
        raise _wrong(f"{place}/creditor_id", f"there is no creditor {invoice.creditor!r}; PUT it first")
    return found


def _riders(carrier: Previewed, rows: Sequence[Previewed]) -> list[Previewed]:
    return [row for row in rows if row.carrier == (carrier.debt, carrier.row) and row.at == carrier.at]


def _messages(flow: Flow) -> Sequence[str]:
    own = [step.message for step in flow.steps if step.message]
    own += [step.then.message for step in flow.steps if step.then]
    return own + [for_several(message) for message in own]


def _example(flow: Flow, invoice: NewInvoice, creditor: CreditorRow, now: datetime, until: datetime) -> Example:
    customer = _customer(invoice)
    zone, country = customer.timezone or creditor.timezone, customer.country or creditor.country
    owed = sum((amount for _, amount in invoice.installments), start=Decimal(0))
    parts = tuple(Installment(no, due, amount) for no, (due, amount) in enumerate(invoice.installments, start=1))
    facts = InvoiceFacts(invoice.issue_date, ZoneInfo(zone), country, parts)
    inputs = ConditionInputs(
        owed,
        owed,
        invoice.currency,
        0,
        invoice.attributes,
        customer.attributes or {},
        customer.ref,
        customer.locale or creditor.locale,
        zone,
        country or "",
    )
    points = [_point(number, point) for number, point in enumerate(customer.contact_points or (), start=1)]
    return Example(facts, inputs, points, customer.preferred_channel, creditor.ref, forecast(flow, facts, now, until))


def _customer(invoice: NewInvoice) -> NewCustomer:
    if invoice.customer is None:
        raise _wrong("/invoice/customer", "is required: an example brings its customer with it")
    return invoice.customer


def _point(number: int, point: NewContactPoint) -> ContactPoint:
    return ContactPoint(number, ContactKind(point.kind), point.address, point.channels or (), point.priority)


def _text(
    catalog: Catalog, flow: Flow, message: Sequence[Previewed], owed: Sequence[tuple[NewInvoice, CreditorRow]]
) -> Text | None:
    """What the first row says, for all that ride on its message."""
    shown = message[0]
    step = flow.step(shown.row.step)
    if not step.speaks or not shown.route.candidates or shown.carrier is not None:
        return None
    channel = shown.route.candidates[0].channel
    facts = [_facts(one, *owed[one.debt]) for one in sorted(message, key=_longest_due)]
    said = facts[0] if len(facts) == 1 else replace(facts[0], invoices=tuple(map(_owed, facts)))
    try:
        return Text(channel, catalog.render(step.message_of(shown.row.leg), channel, said))
    except (UnknownMessage, TemplateError) as error:
        return Text(channel, None, str(error))


def _longest_due(one: Previewed) -> tuple[int, int]:
    return -one.days_past_due, one.debt


def _owed(facts: MessageFacts) -> OwedInvoice:
    return OwedInvoice(
        facts.invoice_number,
        facts.due_date,
        facts.open_amount,
        facts.currency,
        facts.payment_reference,
        facts.pay_url,
        facts.document_url,
    )


def _facts(shown: Previewed, invoice: NewInvoice, creditor: CreditorRow) -> MessageFacts:
    customer, parts, no = _customer(invoice), invoice.installments, shown.row.installment_no
    amount = parts[no - 1][1] if no else sum((one for _, one in parts), start=Decimal(0))
    return MessageFacts(
        creditor_name=creditor.name,
        email_from=creditor.email_from or "billing@example.com",
        reply_to=creditor.reply_to,
        iban=creditor.iban,
        bic=creditor.bic,
        logo_url=creditor.logo_url,
        logo=creditor.logo,
        customer_name=customer.name,
        locale=customer.locale or creditor.locale,
        invoice_ref=invoice.ref,
        invoice_number=invoice.number,
        currency=invoice.currency,
        amount=amount,
        open_amount=amount,
        issue_date=invoice.issue_date,
        due_date=parts[no - 1][0] if no else parts[0][0],
        days_past_due=shown.days_past_due,
        payment_reference=invoice.payment_reference,
        pay_url=f"{LINKS}/pay/example",
        document_url=f"{LINKS}/pay/example/document",
        opt_out_url=f"{LINKS}/u/example",
        installment_no=no or 1,
        installment_count=len(parts),
        attributes=invoice.attributes,
    )


def _wrong(pointer: str, detail: str) -> Invalid:
    return Invalid(f"{pointer}: {detail}", errors=(FieldError(pointer, detail),))
