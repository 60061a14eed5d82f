"""Small factories for the tests of planning."""

from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from services.scheduler.domain.planned import Installment, InvoiceFacts, RowFacts
from shared.flow import Flow

BERLIN = ZoneInfo("Europe/Berlin")


def at(text):
    """A UTC instant."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def day(text):
    return date.fromisoformat(text)


def invoice(issue, *due, open_amount="100.00", zone=BERLIN, country="DE", **more):
    installments = tuple(Installment(no, day(text), Decimal(open_amount)) for no, text in enumerate(due, 1))
    return InvoiceFacts(day(issue), zone, country, installments, **more)


def step(step_id, **when):
    repeat = when.pop("repeat", None)
    more = {"repeat": repeat | {"until": "paid"}} if repeat else {}
    return {"id": step_id, "when": when, "message": "m", "channels": ["email"]} | more


def flow(*steps, window=("08:00", "19:00", "mon-sat"), **top):
    opens, closes, days = window
    contact = {"from": opens, "to": closes, "days": days, "holidays": "avoid"}
    return Flow.parse({"name": "f", "contact_window": contact, "steps": list(steps)} | top)


def row_of(planned, facts, **more):
    """The facts of a row as the ledger would read them back."""
    known = {"due_at": planned.due_at, "send_until": planned.send_until} | more
    return RowFacts(
        planned.step, planned.occurrence, planned.leg, planned.installment_no, facts.issue_date,
        planned.anchor_date if planned.installment_no else None, facts.zone, facts.country, **known,
    )  # fmt: skip
