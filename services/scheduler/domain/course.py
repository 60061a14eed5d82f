"""The course of one customer's reminders, if nobody pays, answers or bounces: what goes when, what rides along, what is
moved, what is left out.

What must stay true:
- it does what the ledger and the dispatcher do, in their order: late, held, condition, way, hours of its channel, one
  message for all, caps; a test runs the same invoices for real and compares the days;
- when something goes is decided by the planning, the calendar and the route, and only asked for here;
- a row ends once, or not before the end that was asked for.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from heapq import heappop, heappush

from services.scheduler.domain.contacted import Contacted
from services.scheduler.domain.debts import Debt, Due, Fate, Going
from services.scheduler.domain.departures import Departures
from services.scheduler.domain.planned import THEN_LEG, RowFacts, Skipped
from services.scheduler.domain.planning import retime
from shared.flow import FOREVER, Anchor, Flow, NeverOpens, may_interrupt
from shared.routing import Candidate, traits_of
from shared.states import ReminderState

HOURS, WINDOW = "channel_hours", "window"
NEVER_OPENS = "never_opens"


class Course:
    """Of the debts of one customer, in the order in which they were taken in. `contacted` is used up."""

    def __init__(
        self, flow: Flow, debts: Sequence[Debt], contacted: Contacted, *, now: datetime, until: datetime
    ) -> None:
        self._flow = flow
        self._debts = debts
        self._departures = Departures(flow, debts, contacted)
        self._now = now
        self._until = until
        self._later: list[Due] = []
        self._ended: set[tuple[int, int | None]] = set()
        self._sent = [0] * len(debts)

    def run(self) -> Iterator[Fate]:
        planned = sorted(self._planned(), reverse=True)
        later = self._later
        while planned or later:
            at = min(one[-1 if one is planned else 0].at for one in (planned, later) if one)
            if at > self._until:
                return
            going: list[Going] = []
            while (due := self._next(planned, at)) is not None:
                if (ended := self._decide(due, going)) is not None:
                    yield ended
            if going:
                yield from self._send(going, at)

    def _next(self, planned: list[Due], at: datetime) -> Due | None:
        if planned and planned[-1].at == at:
            return planned.pop()
        return heappop(self._later) if self._later and self._later[0].at == at else None

    def _planned(self) -> Iterator[Due]:
        """A `then` comes when its parent went, and not when that was planned."""
        for debt, owed in enumerate(self._debts):
            for number, row in enumerate(owed.rows):
                if row.leg != THEN_LEG or row.anchor is Anchor.PARENT:
                    assert row.due_at is not None
                    live = row.state is ReminderState.PENDING
                    yield Due(max(row.due_at, self._now) if live else row.due_at, debt, number, row, row.send_until)

    # --- what the scheduler does with a row that is due

    def _decide(self, due: Due, going: list[Going]) -> Fate | None:
        """Its end, if that is now; else it is in `going`, comes later, or is no longer of interest."""
        if due.row.requires_open and (due.debt, due.row.installment_no) in self._ended:
            return None
        if due.row.state is ReminderState.SKIPPED:
            return Fate(due.debt, due.row, due.at, due.row.reason)
        timely = self._timely(due)
        return self._judged(timely, going) if isinstance(timely, Due) else timely

    def _timely(self, due: Due) -> Due | Fate | None:
        """The row if its time is now: neither late nor held."""
        if due.until is None or due.until <= due.at:
            found = self._retimed(due)
            if isinstance(found, str):
                return Fate(due.debt, due.row, due.at, found)
            if found.at > due.at:
                heappush(self._later, found)
                return None
            due = found
        held = self._debts[due.debt].held
        if held is None or due.at >= held.until or self._flow.step(due.row.step).stop:
            return due
        if due.row.requires_open:
            return Fate(due.debt, due.row, due.at, held.kind)
        heappush(self._later, due._replace(at=held.until, until=FOREVER, moved=held.kind))
        return None

    def _judged(self, due: Due, going: list[Going]) -> Fate | None:
        debt, row, step = self._debts[due.debt], due.row, self._flow.step(due.row.step)
        reason = debt.refused(row, due.at, self._sent[due.debt])
        if reason is not None or not step.speaks:
            if reason is None and step.stop:
                self._ended.add((due.debt, row.installment_no))
            return Fate(due.debt, row, due.at, reason)
        way, reason = debt.way(row)
        if way is None:
            return Fate(due.debt, row, due.at, reason)
        if (opens := self._opens(due, way)) is None:
            going.append(Going(due, way))
        else:
            heappush(self._later, due._replace(at=opens, moved=due.moved or HOURS))
        return None

    def _retimed(self, due: Due) -> Due | str:
        """Its new time, or why it is left out."""
        row, owed = due.row, self._debts[due.debt]
        facts = RowFacts(
            row.step,
            row.occurrence,
            row.leg,
            row.installment_no,
            owed.issue_date,
            row.anchor_date if row.installment_no is not None else None,
            owed.zone,
            owed.country,
            due.at,
            due.until,
        )
        try:
            found = retime(self._flow, facts, due.at)
        except NeverOpens:
            return NEVER_OPENS
        if isinstance(found, Skipped):
            return found.reason
        moved = due.moved or (WINDOW if found.due_at > due.at else None)
        return due._replace(at=found.due_at, until=found.send_until, moved=moved)

    def _opens(self, due: Due, way: Candidate) -> datetime | None:
        """When its channel's hours begin, if it would go outside them."""
        own = self._flow.window_of(way.channel)
        if own is None and (due.until != FOREVER or traits_of(way.channel).discreet):
            return None
        owed = self._debts[due.debt]
        return may_interrupt(due.at, own or self._flow.window, owed.zone, owed.country)

    # --- what goes at one instant

    def _send(self, going: list[Going], at: datetime) -> Iterator[Fate]:
        messages, later = self._departures.of(going, at)
        for due in later:
            heappush(self._later, due)
        for message in messages:
            yield from self._gone(message, at)

    def _gone(self, message: Sequence[Going], at: datetime) -> Iterator[Fate]:
        first = message[0].due
        for one in message:
            due, row = one.due, one.due.row
            self._sent[due.debt] += 1
            yield Fate(
                due.debt,
                row,
                at,
                None,
                one.way,
                None if due is first else (first.debt, first.row),
                self._moved(due, at),
            )
            if row.leg != THEN_LEG and self._flow.step(row.step).then is not None:
                follows = row._replace(leg=THEN_LEG, due_at=at, send_until=None)
                heappush(self._later, Due(at, due.debt, due.number, follows, FOREVER))

    def _moved(self, due: Due, at: datetime) -> str | None:
        planned, zone = max(due.row.due_at or at, self._now), self._debts[due.debt].zone
        return due.moved if due.moved and planned.astimezone(zone).date() < at.astimezone(zone).date() else None
