"""What leaves at one instant: in one message with what, and what a cap holds back. As the dispatcher bundles and `claim`
counts it.

What must stay true: reminders that ride together are of one creditor, by one way, of steps that are grouped; they count
once, and a delivery, thanks and what follows a call not at all.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from services.scheduler.domain.contacted import Contacted
from services.scheduler.domain.debts import Debt, Due, Going
from services.scheduler.domain.planned import THEN_LEG
from shared.flow import FOREVER, MOST_TOGETHER, Flow

AGAIN = timedelta(hours=1, seconds=1)  # what is over a cap comes again in an hour; looking at it takes a moment, too
CAP = "cap"


class Departures:
    """Of one customer, instant after instant. `contacted` is used up."""

    def __init__(self, flow: Flow, debts: Sequence[Debt], contacted: Contacted) -> None:
        self._flow = flow
        self._debts = debts
        self._contacted = contacted

    def of(self, going: Sequence[Going], at: datetime) -> tuple[list[list[Going]], list[Due]]:
        """(messages, each with who carries the others in front; what comes again later)"""
        leaving: list[list[Going]] = []
        later: list[Due] = []
        for message in self._messages(going):
            counted = [one for one in message if _counts(one)]
            if counted and not self._may_go(counted[0], at):
                later += [self._put_off(one, at) for one in counted]
                message = [one for one in message if not _counts(one)]
            if message:
                leaving.append(message)
        return leaving, later

    def _may_go(self, one: Going, at: datetime) -> bool:
        """And counts it then."""
        zone = self._debts[one.due.debt].zone
        if self._contacted.wait(at, zone) is not None:
            return False
        self._contacted.count(at, zone)
        return True

    def _messages(self, going: Sequence[Going]) -> list[list[Going]]:
        """Those of several reminders first, as a claim counts them."""
        if len(going) == 1:
            return [list(going)]
        found: dict[tuple[object, ...], list[Going]] = {}
        for one in going:
            grouped = one.due.row.step in self._flow.grouped
            way = (self._debts[one.due.debt].creditor, one.way.channel, one.way.contact_point_id)
            found.setdefault(way if grouped else _place(one), []).append(one)
        parts = [rows[n : n + MOST_TOGETHER] for rows in found.values() for n in range(0, len(rows), MOST_TOGETHER)]
        several = [sorted(rows, key=self._severity) for rows in parts if len(rows) > 1]
        return several + sorted((rows for rows in parts if len(rows) == 1), key=_turn)

    def _severity(self, one: Going) -> tuple[int, date, int, int]:
        row = one.due.row
        return (-self._flow.severity(row.step), row.anchor_date or date.max, *_place(one))

    def _put_off(self, one: Going, at: datetime) -> Due:
        """As often as it takes, and no longer than to the end of its window."""
        due = one.due
        wait = self._contacted.wait(at, self._debts[due.debt].zone) or AGAIN
        if due.until is not None and due.until != FOREVER:
            wait = min(wait, due.until - at)
        return due._replace(at=at + max(1, -(wait // -AGAIN)) * AGAIN, moved=CAP)


def _counts(one: Going) -> bool:
    """Against the caps."""
    return one.due.row.requires_open and one.due.row.leg != THEN_LEG


def _place(one: Going) -> tuple[int, int]:
    return one.due.debt, one.due.number


def _turn(message: list[Going]) -> tuple[bool, tuple[int, int]]:
    """Among those that go alone."""
    return not message[0].due.row.urgent, _place(message[0])
