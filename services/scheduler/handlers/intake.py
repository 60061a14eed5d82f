"""One batch of invoices on its way into the database, step by step: `accept_invoices` calls the steps in their order.

What must stay true: what is refused leaves nothing behind, its inline customer neither; each step is a fixed number of statements,
however large the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from services.scheduler.domain.batch_planning import BatchPlan, BatchPlanner
from services.scheduler.domain.new_invoice import NewCustomer, NewInvoice
from services.scheduler.store import accepting, accepting_customers
from services.scheduler.store.flows import latest
from shared.flow import Flow, NeverOpens
from shared.kernel.errors import Conflict, FieldError, Invalid, Problem
from shared.ledger.copying import NewRow, copy_reminders, tail

BACKLOG_HOLD = timedelta(days=30)


class Overtaken(Exception):
    """Somebody else stored one of these invoices at the same moment; the same work again sees it."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """`created` False: it was there, with the same content."""

    invoice_id: int
    created: bool


Outcome = Accepted | Problem


class Intake:
    """One batch on its way. `_open`: what is still to be stored, by its first position in the batch."""

    def __init__(self, batch: Sequence[NewInvoice]) -> None:
        self._batch = batch
        self._found: dict[int, Outcome] = {}
        self._same_as: dict[int, int] = {}
        self._open: dict[int, NewInvoice] = {}
        first: dict[str, int] = {}
        for place, new in enumerate(batch):
            if (earlier := first.setdefault(new.ref, place)) != place:
                self._same_as[place] = earlier
            else:
                self._open[place] = new

    async def leave_out_known(self, tx: asyncpg.Connection) -> None:
        known = await accepting.known_invoices(tx, [new.ref for new in self._open.values()])
        for place, new in enumerate(self._batch) if known else ():
            if (stored := known.get(new.ref)) is not None:
                same = stored.content_hash == new.content_hash
                self._found[place] = Accepted(stored.id, created=False) if same else _other_content(new.ref)
                self._open.pop(place, None)

    async def resolve(self, tx: asyncpg.Connection) -> dict[str, int]:
        """Creditors and flows; answers the flow versions by name."""
        new = self._open.values()
        self._creditors = await accepting.creditors(tx, list({one.creditor for one in new}))
        self._versions = await latest(tx, list({one.flow for one in new}))
        for place, one in list(self._open.items()):
            if one.creditor not in self._creditors:
                self._refuse(place, "/creditor_id", f"there is no creditor {one.creditor!r}; PUT it first")
            elif one.flow not in self._versions:
                self._refuse(place, "/flow", f"there is no flow {one.flow!r}; PUT it first")
        return self._versions

    async def save_customers(self, tx: asyncpg.Connection, now: datetime) -> None:
        """Of invoices that are stored, or were already with the same content."""
        given: dict[str, NewCustomer] = {}
        for place, new in enumerate(self._batch):
            if new.customer is not None and self._stands(place):
                given[new.customer.ref] = _later(given.get(new.customer.ref), new.customer)
        if given:
            await accepting_customers.upsert_customers(tx, given.values())
        refs = {new.customer_ref for new in self._open.values()} | given.keys()
        self._customers = await accepting_customers.customers(tx, list(refs))
        await accepting_customers.replace_contact_points(tx, given.values(), self._customers, now)
        for place, new in list(self._open.items()):
            if new.customer_ref not in self._customers:
                detail = f"there is no customer {new.customer_ref!r}; PUT it first or send it inline as 'customer'"
                self._refuse(place, "/customer_id", detail)

    def _stands(self, place: int) -> bool:
        """Not refused so far, so that its customer is an upsert."""
        first = self._same_as.get(place, place)
        if (
            first != place
            and place not in self._found
            and self._batch[first].content_hash != self._batch[place].content_hash
        ):
            return False
        return not isinstance(self._found.get(place, self._found.get(first)), Problem)

    def plan(self, flows: dict[int, Flow], now: datetime) -> dict[int, BatchPlan]:
        planner = BatchPlanner(now, tail)
        plans: dict[int, BatchPlan] = {}
        for place, new in list(self._open.items()):
            version = self._versions[new.flow]
            customer, creditor = self._customers[new.customer_ref], self._creditors[new.creditor]
            zone = customer.timezone or creditor.timezone or "UTC"
            due_dates = tuple(due for due, _ in new.installments)
            try:
                plans[place] = planner.plan(
                    version, flows[version], zone, customer.country or creditor.country, new.issue_date, due_dates
                )
            except NeverOpens as error:
                self._refuse(place, "/flow", str(error))
        return plans

    async def insert(self, tx: asyncpg.Connection, plans: dict[int, BatchPlan], now: datetime) -> None:
        if not self._open:
            return
        rows = [
            accepting.InvoiceRow(
                new, self._creditors[new.creditor].id, self._customers[new.customer_ref].id, self._versions[new.flow]
            )
            for new in self._open.values()
        ]
        ids = await accepting.insert_invoices(tx, rows, now)
        if len(ids) < len(rows):
            raise Overtaken
        parts = await accepting.insert_installments(
            tx,
            [
                (ids[new.ref], no, due, amount)
                for new in self._open.values()
                for no, (due, amount) in enumerate(new.installments, start=1)
            ],
        )
        events: list[tuple[int, Any]] = []
        reminders: list[NewRow] = []
        backlog: list[int] = []
        for place, new in self._open.items():
            made, invoice, version = plans[place], ids[new.ref], self._versions[new.flow]
            self._found[place] = Accepted(invoice, created=True)
            events.append((invoice, made.event))
            reminders.extend((invoice, no and parts[invoice, no], version, 0, tail) for no, tail in made.rows)
            if made.backlog:
                backlog.append(invoice)
        await copy_reminders(tx, reminders)
        await accepting.log_events(tx, now, "invoice.accepted", events)
        if backlog:
            await accepting.hold_backlog(tx, backlog, now, now + BACKLOG_HOLD)

    def outcomes(self) -> list[Outcome]:
        """A ref that stands twice in the batch: the second one is judged against the first."""
        return [self._found[place] if place in self._found else self._again(place) for place in range(len(self._batch))]

    def _again(self, place: int) -> Outcome:
        first = self._same_as[place]
        found = self._found[first]
        if isinstance(found, Accepted) and self._batch[first].content_hash != self._batch[place].content_hash:
            return _other_content(self._batch[place].ref)
        return Accepted(found.invoice_id, created=False) if isinstance(found, Accepted) else found

    def _refuse(self, place: int, pointer: str, detail: str) -> None:
        self._found[place] = Invalid(f"{pointer}: {detail}", errors=(FieldError(pointer, detail),))
        del self._open[place]


def _later(earlier: NewCustomer | None, later: NewCustomer) -> NewCustomer:
    """As if one upsert followed the other."""
    if later.contact_points is None and earlier is not None:
        return replace(later, contact_points=earlier.contact_points)
    return later


def _other_content(ref: str) -> Problem:
    return Conflict(f"invoice {ref!r} exists with other content; PATCH it, or send it under another invoice_id")
