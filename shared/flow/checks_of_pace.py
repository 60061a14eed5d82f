"""Whether a flow says more than a customer may hear: its own caps, those of the deployment, else what is decent. One
function per kind; its first line is the table's.
"""

import itertools
from collections.abc import Iterator
from datetime import timedelta

from shared.flow.ground import MOST_A_WEEK, Ground
from shared.flow.notation import write_duration
from shared.flow.pace import WEEK, Busiest, busiest, contacts, mondays_to_sunday, spoken_days
from shared.flow.spec import Flow
from shared.kernel.caps import NO_CAPS

Found = Iterator[tuple[tuple[str | int, ...], str]]
DAY = timedelta(days=1)


def too_many_contacts(flow: Flow, ground: Ground) -> Found:
    """more contacts within a week than allowed"""
    found, own, common = busiest(flow, WEEK), NO_CAPS.within(flow.caps).per_week, ground.caps.per_week
    allowed = ground.caps.within(flow.caps).per_week or MOST_A_WEEK
    if found.contacts > allowed:
        detail = f"up to {found.contacts} messages go to a customer within {WEEK} days ({_from(found)})"
        yield _place("per_week", own, common), f"{detail}, {_allowed('per_week', own, common, allowed)}"


def too_many_a_day(flow: Flow, ground: Ground) -> Found:
    """more contacts on a day than allowed"""
    found, own, common = busiest(flow, 1), NO_CAPS.within(flow.caps).per_day, ground.caps.per_day
    allowed = ground.caps.within(flow.caps).per_day
    if allowed is not None and found.contacts > allowed:
        detail = f"up to {found.contacts} messages go to a customer on one day ({_when(found)})"
        yield _place("per_day", own, common), f"{detail}, {_allowed('per_day', own, common, allowed)}"


def closer_than_the_gap(flow: Flow, ground: Ground) -> Found:
    """two steps closer together than the minimum delay"""
    gap = ground.caps.within(flow.caps).gap
    closest = min((apart for due in mondays_to_sunday() for apart in _apart(flow, due)), default=None) if gap else None
    if gap and closest is not None and closest[0] < gap:
        apart, one, other = closest
        whose = "caps.gap is" if flow.caps and flow.caps.gap == gap else "DUNNOCK_CONTACT_GAP is"
        detail = f"'{other}' comes {_said(apart)} after '{one}', but {whose} {write_duration(gap)}, so it waits"
        yield ("steps",), f"{detail}, and may be too late then; space them or shorten the gap"


PACE = (too_many_contacts, too_many_a_day)
PACE_HABITS = (closer_than_the_gap,)


def _apart(flow: Flow, due: int) -> Iterator[tuple[timedelta, str, str]]:
    """(time between, one, the next) of contacts around this due date; messages of a broadcast are not apart at all."""
    spoken = [(day * DAY + timedelta(minutes=one.at), one.index, one.id) for day, one, _ in spoken_days(flow, due)]
    counted = sorted(said for said in spoken for _ in range(contacts(flow.step(said[2]))))
    for (earlier, _, one), (later, _, other) in itertools.pairwise(counted):
        yield later - earlier, one, other


def _place(cap: str, own: int | None, common: int | None) -> tuple[str | int, ...]:
    return ("caps", cap) if own is not None and (common is None or own <= common) else ("steps",)


def _allowed(cap: str, own: int | None, common: int | None, allowed: int) -> str:
    if own is not None and (common is None or own <= common):
        return f"but caps.{cap} allows {allowed}; leave some out, space them or raise it"
    if common is not None:
        return f"but DUNNOCK_CAP_{cap.upper()} allows {allowed}; leave some out or space them"
    return f"allowed are {allowed} where no cap says otherwise; leave some out, space them or say caps.{cap}"


def _from(found: Busiest) -> str:
    when = f"{found.from_day} days after" if found.from_day >= 0 else f"{-found.from_day} days before"
    return f"from {when} the due date"


def _when(found: Busiest) -> str:
    return f"{abs(found.from_day)} days {'after' if found.from_day >= 0 else 'before'} the due date"


def _said(apart: timedelta) -> str:
    return f"{apart / timedelta(hours=1):g} hours" if apart else "at the same time"
