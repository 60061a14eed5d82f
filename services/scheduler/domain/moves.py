"""What another plan would change for an invoice: rows that go, come or move. Pure.

What must stay true: what may have gone out is in neither list; the same rows at the same times are no change.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from services.scheduler.domain.planned import PlannedReminder, RowKey
from shared.states import ReminderState

AHEAD = (ReminderState.WAITING, ReminderState.PENDING, ReminderState.QUEUED)


@dataclass(frozen=True, slots=True)
class Move:
    """`before`, `after`: its time in the one plan and the other; a row without a time waits for its event. `removed`,
    `added`: it is in one of them only."""

    key: RowKey
    before: datetime | None
    after: datetime | None
    removed: bool = False
    added: bool = False


def moves(before: Mapping[RowKey, datetime | None], planned: Iterable[PlannedReminder]) -> list[Move]:
    """By time, those without one last."""
    after = {
        (row.installment_no, row.step, row.occurrence, row.leg): row.due_at for row in planned if row.state in AHEAD
    }
    found = [Move(key, before[key], None, removed=True) for key in before.keys() - after.keys()]
    found += [Move(key, None, after[key], added=True) for key in after.keys() - before.keys()]
    both = before.keys() & after.keys()
    found += [Move(key, before[key], after[key]) for key in both if before[key] != after[key]]
    return sorted(found, key=_order)


def _order(move: Move) -> tuple[bool, str, str]:
    at = move.after or move.before
    return at is None, at.isoformat() if at else "", repr(move.key)
