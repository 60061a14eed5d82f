"""Asks polled sources what is owed, and books what they say: ahead of due reminders, and when somebody wants to know now.

True here: without a polled source nothing is asked and nothing is read but one row; what an answer settles stops as a
webhook's would, under the same locks and behind the same barrier. What nobody can say is an alarm; whether its reminder
goes is the `on_unknown` of its step, else the source's.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import partial

import asyncpg
import structlog
from prometheus_client import Counter

from services.payments.domain.poll_settings import HttpPollSettings
from services.payments.domain.polling import Debt, Open, Unknown
from services.payments.handlers.poller import Heard, PolledSource, Poller
from services.payments.store.polling import (
    POLL_KIND,
    business_now,
    debt_of,
    lead_asking,
    needed_soon,
    polled_sources,
    taken_back,
)
from shared.db.engine import Database
from shared.kernel.ids import new_token
from shared.ledger.due import nobody_knows
from shared.ledger.money import Polled, record_poll

LEASE = timedelta(seconds=60)
AT_ONCE = 500  # invoices a turn
LOOK_AGAIN = timedelta(minutes=10)  # at what a source was asked of in vain
BACK_FOR = timedelta(days=7)  # for which a source, silent till then, is asked what it says now that money went back
CHECKED = Counter("dunnock_payment_checks", "Invoices of which a polled source was asked what is open", ["result"])

log = structlog.get_logger("payments")


@dataclass(slots=True)
class Asked:
    """`answered`: sources that said something; `silent`: the others, each with why; `changed`: money was moved."""

    answered: list[str] = field(default_factory=list)
    silent: dict[str, str] = field(default_factory=dict)
    changed: bool = False
    wait: float = 0.0


class PaymentCheck:
    """`window`: of the hand-off."""

    def __init__(self, db: Database, poller: Poller, window: timedelta) -> None:
        self._db = db
        self._poller = poller
        self._window = window
        self._me = new_token()
        self._lately: dict[int, float] = {}  # by invoice: monotonic

    async def ask_ahead(self) -> int:
        """One turn: how many invoices were asked about. Only one process at a time does it."""
        async with self._db.connection() as connection:
            fresh = await lead_asking(connection, self._me, LEASE)
            if fresh is None:
                return 0
            debts = await needed_soon(connection, fresh, AT_ONCE)
            back = self._not_lately(await taken_back(connection, BACK_FOR, AT_ONCE))
            sources = await _sources(connection)
        await asyncio.gather(
            *(self._check(sources, theirs) for theirs in _by_customer(debts)),
            *(self._check(sources, theirs, anew=True) for theirs in _by_customer(back)),
        )
        return len(debts) + len(back)

    def _not_lately(self, back: list[Debt]) -> list[Debt]:
        """Without those that were asked about a moment ago, in vain."""
        now = time.monotonic()
        lately = {debt.id: self._lately[debt.id] for debt in back if self._lately.get(debt.id, 0.0) > now}
        rest = [debt for debt in back if debt.id not in lately]
        self._lately = lately | {debt.id: now + LOOK_AGAIN.total_seconds() for debt in rest}
        return rest

    async def ask_now(self, invoice_ref: str) -> Asked | None:
        """None: there is no such invoice. Sit out `wait` before telling anybody."""
        async with self._db.connection() as connection:
            debt, sources = await debt_of(connection, invoice_ref), await _sources(connection)
        return None if debt is None else await self._check(sources, [debt], anew=True)

    async def _check(self, sources: Sequence[PolledSource], debts: list[Debt], *, anew: bool = False) -> Asked:
        asked = Asked()
        known: set[int] = set()
        whys = await asyncio.gather(*(self._one(source, debts, asked, known, anew=anew) for source in sources))
        for source, why in zip(sources, whys, strict=True):
            if why is None:
                asked.answered.append(source.ref)
            else:
                asked.silent[source.ref] = why
        unknown = [debt.id for debt in debts if debt.id not in known]
        CHECKED.labels("known").inc(len(known))
        if unknown and sources:
            await self._nobody_knows(sources, unknown, asked)
        return asked

    async def _one(
        self, source: PolledSource, debts: list[Debt], asked: Asked, known: set[int], *, anew: bool
    ) -> str | None:
        """Why it could not say something of all, if so."""
        why = None
        for heard in await self._poller.poll(source, debts, anew=anew):
            amounts = {invoice: word.amount for invoice, word in heard.words.items() if isinstance(word, Open)}
            why = next((word.why for word in heard.words.values() if isinstance(word, Unknown)), why)
            for polled in await self._book(source, heard, amounts):
                asked.changed |= polled.changed
                asked.wait = max(asked.wait, polled.wait)
            known.update(amounts)
        return why

    async def _book(self, source: PolledSource, heard: Heard, amounts: dict[int, Decimal | None]) -> list[Polled]:
        if not amounts:
            return []
        async with self._db.connection() as connection:
            asked_at = await business_now(connection) - timedelta(seconds=time.monotonic() - heard.asked)
        book = partial(record_poll, source_id=source.id, open_amounts=amounts, asked=asked_at, window=self._window)
        return await self._db.retrying(book)

    async def _nobody_knows(self, sources: Sequence[PolledSource], invoices: list[int], asked: Asked) -> None:
        CHECKED.labels("unknown").inc(len(invoices))
        sends = all(source.settings.on_unknown == "send" for source in sources)
        log.error(
            "payment_status_unknown",
            sources=asked.silent,
            invoices=len(invoices),
            then=f"their reminders {'go unchecked' if sends else 'wait'}, unless their flow says otherwise",
        )
        async with self._db.connection() as connection:
            await nobody_knows(connection, invoices, "send" if sends else "hold", LOOK_AGAIN)


def _by_customer(debts: Sequence[Debt]) -> Iterable[list[Debt]]:
    found: dict[str, list[Debt]] = {}
    for debt in debts:
        found.setdefault(debt.customer_ref, []).append(debt)
    return found.values()


async def _sources(connection: asyncpg.Connection) -> list[PolledSource]:
    return [
        PolledSource(row, ref, HttpPollSettings.model_validate({**config, "kind": POLL_KIND}))
        for row, ref, config in await polled_sources(connection)
    ]
