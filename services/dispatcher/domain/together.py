"""Which reminders ride on one message: those of one customer and creditor, by one way, whose steps are grouped. Pure.

True here: a message of one reminder is as it always was; of several, the most severe speaks, and the longest overdue is
the one that the payment link opens.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Protocol, TypeVar

from services.dispatcher.domain.expected import Expected, Looked
from shared.flow import MOST_TOGETHER, Flow

Flows = Mapping[int, Flow]
Message = Sequence[Expected]


class Claimed(Protocol):
    """What of a claim says who speaks."""

    @property
    def reminder_id(self) -> int: ...
    @property
    def flow_version_id(self) -> int: ...
    @property
    def step(self) -> str: ...
    @property
    def due_date(self) -> date: ...


Some = TypeVar("Some", bound=Claimed)


def grouped(row: Looked, flows: Flows) -> bool:
    return row.step in flows[row.flow_version_id].grouped


def bundle(expected: Sequence[Expected], looked: Mapping[int, Looked], flows: Flows) -> list[Message]:
    """The messages to be: who goes alone first, as they came."""
    alone: list[Message] = []
    found: dict[tuple[int, int, str, int], list[Expected]] = {}
    for one in expected:
        row = looked[one.reminder_id]
        if one.first is None or not grouped(row, flows):
            alone.append((one,))
            continue
        key = (row.customer_id, row.creditor_id, one.first.channel, one.first.contact_point_id)
        found.setdefault(key, []).append(one)
    return alone + [part for rows in found.values() for part in _parts(rows)]


def _parts(rows: Sequence[Expected]) -> list[Message]:
    return [rows[at : at + MOST_TOGETHER] for at in range(0, len(rows), MOST_TOGETHER)]


def by_severity(claims: Sequence[Some], flows: Flows) -> list[Some]:
    """The most severe first: it carries the others, and its text is the one that is read."""
    return sorted(
        claims, key=lambda one: (-flows[one.flow_version_id].severity(one.step), one.due_date, one.reminder_id)
    )


def longest_due(claims: Sequence[Some]) -> Some:
    return min(claims, key=lambda one: (one.due_date, one.reminder_id))
