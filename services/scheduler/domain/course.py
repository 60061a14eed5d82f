"""The course of one customer's reminders, if nobody pays, answers or bounces: what goes when, what rides along, what is
moved, what is left out.

What must stay true:
- it does what the ledger and the dispatcher do, in their order: late, held, condition, way, hours of its channel, one
  message for all, caps; a test runs the same invoices for real and compares the days;
- when something goes is decided by the planning, the calendar and the route, and only asked for here;
- a row ends once, or not before the end that was asked for.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from heapq import heappop, heappush
from typing import NamedTuple
from zoneinfo import ZoneInfo

from services.scheduler.domain.contacted import Contacted
from services.scheduler.domain.planned import THEN_LEG, PlannedReminder, RowFacts, Skipped
from services.scheduler.domain.planning import retime
from shared.flow import FOREVER, MOST_TOGETHER, Anchor, Flow, NeverOpens, may_interrupt
from shared.routing import Candidate, traits_of
from shared.states import ReminderState

AGAIN = timedelta(hours=1, seconds=1)  # what is over a cap comes again in an hour; looking at it takes a moment, too
CAP, HOURS, WINDOW = "cap", "channel_hours", "window"
NEVER_OPENS = "never_opens"


class Held(NamedTuple):
    kind: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Debt:
    """One of the customer's invoices. `rows`: as foreseen, by time. `way`: the first one of a row, or why there is none.
    `refused`: why a row does not go at that instant after so many messages, if it does not."""

    rows: Sequence[PlannedReminder]
    issue_date: date
    zone: ZoneInfo
    country: str | None
    creditor: int | str
    held: Held | None
    way: Callable[[PlannedReminder], tuple[Candidate | None, str]]
    refused: Callable[[PlannedReminder, datetime, int], str | None]


class Fate(NamedTuple):
    """What becomes of a row of the customer's `debt`th invoice. `reason`: why it does not go. `way`: what it goes by; None
    also for what sends nothing. `carrier`: (debt, row) of whose message it rides on. `moved`: why it goes on a later
    day than it was planned for."""

    debt: int
    row: PlannedReminder
    at: datetime
    reason: str | None = None
    way: Candidate | None = None
    carrier: "tuple[int, PlannedReminder] | None" = None
    moved: str | None = None


class _Due(NamedTuple):
    """A row whose time has come. `number`: its place among its invoice's. `until`: its window's end; None: not known."""

    at: datetime
    debt: int
    number: int
    row: PlannedReminder
    until: datetime | None
    moved: str | None = None


class _Going(NamedTuple):
    due: _Due
    way: Candidate


class Course:
    """Of the debts of one customer, in the order in which they were taken in. `contacted` is used up."""

    def __init__(
        self, flow: Flow, debts: Sequence[Debt], contacted: Contacted, *, now: datetime, until: datetime
    ) -> None:
        self._flow = flow
        self._debts = debts
        self._contacted = contacted
        self._now = now
        self._until = until
        self._later: list[_Due] = []
        self._ended: set[tuple[int, int | None]] = set()
        self._sent = [0] * len(debts)

    def run(self) -> Iterator[Fate]:
        planned = sorted(self._planned(), reverse=True)
        later = self._later
        while planned or later:
            at = min(one[-1 if one is planned else 0].at for one in (planned, later) if one)
            if at > self._until:
                return
            going: list[_Going] = []
            while (due := self._next(planned, at)) is not None:
                if (ended := self._decide(due, going)) is not None:
                    yield ended
            if going:
                yield from self._send(going, at)

    def _next(self, planned: list[_Due], at: datetime) -> _Due | None:
        if planned and planned[-1].at == at:
            return planned.pop()
        return heappop(self._later) if self._later and self._later[0].at == at else None

    def _planned(self) -> Iterator[_Due]:
        """A `then` comes when its parent went, and not when that was planned."""
        for debt, owed in enumerate(self._debts):
            for number, row in enumerate(owed.rows):
                if row.leg != THEN_LEG or row.anchor is Anchor.PARENT:
                    assert row.due_at is not None
                    live = row.state is ReminderState.PENDING
                    yield _Due(max(row.due_at, self._now) if live else row.due_at, debt, number, row, row.send_until)

    # --- what the scheduler does with a row that is due

    def _decide(self, due: _Due, going: list[_Going]) -> Fate | None:
        """Its end, if that is now; else it is in `going`, comes later, or is no longer of interest."""
        if (due.debt, due.row.installment_no) in self._ended:
            return None
        if due.row.state is ReminderState.SKIPPED:
            return Fate(due.debt, due.row, due.at, due.row.reason)
        timely = self._timely(due)
        return self._judged(timely, going) if isinstance(timely, _Due) else timely

    def _timely(self, due: _Due) -> _Due | Fate | None:
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

    def _judged(self, due: _Due, going: list[_Going]) -> Fate | None:
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
            going.append(_Going(due, way))
        else:
            heappush(self._later, due._replace(at=opens, moved=due.moved or HOURS))
        return None

    def _retimed(self, due: _Due) -> _Due | str:
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

    def _opens(self, due: _Due, way: Candidate) -> datetime | None:
        """When its channel's hours begin, if it would go outside them."""
        own = self._flow.window_of(way.channel)
        if own is None and (due.until != FOREVER or traits_of(way.channel).discreet):
            return None
        owed = self._debts[due.debt]
        return may_interrupt(due.at, own or self._flow.window, owed.zone, owed.country)

    # --- what the dispatcher does with what goes at one instant

    def _send(self, going: list[_Going], at: datetime) -> Iterator[Fate]:
        for message in self._messages(going):
            counts = [one for one in message if _counts(one.due.row)]
            if counts and self._contacted.wait(at, self._zone(counts[0])) is None:
                self._contacted.count(at, self._zone(counts[0]))
            elif counts:
                self._put_off(counts, at)
                message = [one for one in message if not _counts(one.due.row)]
            if message:
                yield from self._gone(message, at)

    def _messages(self, going: list[_Going]) -> list[list[_Going]]:
        """Those of several reminders first, as a claim counts them; each with its most severe one in front."""
        if len(going) == 1:
            return [going]
        found: dict[tuple[object, ...], list[_Going]] = {}
        for one in going:
            grouped = one.due.row.step in self._flow.grouped
            way = (self._debts[one.due.debt].creditor, one.way.channel, one.way.contact_point_id)
            found.setdefault(way if grouped else _place(one), []).append(one)
        parts = [rows[n : n + MOST_TOGETHER] for rows in found.values() for n in range(0, len(rows), MOST_TOGETHER)]
        several = [sorted(rows, key=self._severity) for rows in parts if len(rows) > 1]
        return several + sorted((rows for rows in parts if len(rows) == 1), key=_turn)

    def _severity(self, one: _Going) -> tuple[int, date, int, int]:
        row = one.due.row
        return (-self._flow.severity(row.step), row.anchor_date or date.max, one.due.debt, one.due.number)

    def _put_off(self, rows: Sequence[_Going], at: datetime) -> None:
        """As often as it takes, and no longer than to the end of its window."""
        for one in rows:
            due, wait = one.due, self._contacted.wait(at, self._zone(one))
            if due.until is not None and due.until != FOREVER:
                wait = min(wait or AGAIN, due.until - at)
            times = max(1, -((wait or AGAIN) // -AGAIN))
            heappush(self._later, due._replace(at=at + times * AGAIN, moved=CAP))

    def _gone(self, message: Sequence[_Going], at: datetime) -> Iterator[Fate]:
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
                heappush(self._later, _Due(at, due.debt, due.number, follows, FOREVER))

    def _moved(self, due: _Due, at: datetime) -> str | None:
        planned, zone = max(due.row.due_at or at, self._now), self._debts[due.debt].zone
        return due.moved if due.moved and planned.astimezone(zone).date() < at.astimezone(zone).date() else None

    def _zone(self, one: _Going) -> ZoneInfo:
        return self._debts[one.due.debt].zone


def _counts(row: PlannedReminder) -> bool:
    """Against the caps."""
    return row.requires_open and row.leg != THEN_LEG


def _place(one: _Going) -> tuple[int, int]:
    return one.due.debt, one.due.number


def _turn(message: list[_Going]) -> tuple[bool, tuple[int, int]]:
    """Among those that go alone at one instant."""
    return not message[0].due.row.urgent, _place(message[0])
