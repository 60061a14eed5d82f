"""What cannot work in a flow because of when its steps go. One function per kind; its first line is the table's."""

from collections.abc import Iterator

from shared.flow import conditions
from shared.flow.conditions import ConditionInputs, judge
from shared.flow.ground import Ground
from shared.flow.notation import WEEKDAYS
from shared.flow.pace import WEEK, open_days
from shared.flow.spec import SOME_MONDAY, Flow
from shared.flow.steps import Step
from shared.flow.when import Anchor

Found = Iterator[tuple[tuple[str | int, ...], str]]
RESERVED = frozenset({"schema", "preview", "dry-run"})
LONGEST_REPEAT = 1830  # days: five years
LATER = 14  # days by which closed days may move a step


def reserved_name(flow: Flow, _: Ground) -> Found:
    """the name is an address of the API"""
    if flow.name in RESERVED:
        yield ("name",), f"'{flow.name}' is an address of the API; give the flow another name"


def says_the_same_twice(flow: Flow, _: Ground) -> Found:
    """two steps with the same message at the same time"""
    first: dict[tuple[object, ...], str] = {}
    for index, step in enumerate(flow.steps):
        said = (step.when, step.message, step.only_if)
        if step.speaks and first.setdefault(said, step.id) != step.id:
            detail = f"step '{step.id}' says the same as '{first[said]}' at the same time; remove one of them"
            yield ("steps", index), detail


def wrong_order(flow: Flow, _: Ground) -> Found:
    """a step around the due date stands below a later one"""
    latest: Step | None = None
    for index, step in _around_due(flow):
        if latest is not None and _offset(flow, step) < _offset(flow, latest):
            detail = (
                f"step '{step.id}' comes before '{latest.id}' but stands below it; move it up, so that the flow reads"
            )
            yield ("steps", index), f"{detail} as a calendar"
        elif latest is None or _offset(flow, step) > _offset(flow, latest):
            latest = step


def out_of_reach(flow: Flow, _: Ground) -> Found:
    """a step after the unconditional end of the follow-up"""
    ends = [step for _, step in _around_due(flow) if step.stop and step.only_if is None]
    end = min(ends, key=lambda step: _offset(flow, step), default=None)
    for index, step in _around_due(flow) if end else ():
        if end is not None and step is not end and _offset(flow, step) >= _offset(flow, end):
            detail = (
                f"step '{step.id}' is never reached: '{end.id}' has ended the follow-up by then; move it before that"
            )
            yield ("steps", index), f"{detail}, or give the stop an only_if"


def never_in_its_window(flow: Flow, _: Ground) -> Found:
    """a step none of whose days the contact window is ever open on"""
    calendar = open_days(flow)
    for index, step in _around_due(flow):
        dated = ((due, flow.timetable_of(due, None).step(step.id)) for due in _dues())
        if not any(
            calendar.opening(due + one.day(n)) for due, one in dated for n in range(1, min(one.times, WEEK) + 1)
        ):
            days = ", ".join(WEEKDAYS[day] for day in sorted(flow.window.weekdays))
            detail = f"step '{step.id}' counts business days, but the contact window is open on {days} only, so it can"
            yield ("steps", index, "when"), f"{detail} never go on its day; open a weekday or count days"


def contradicts_its_day(flow: Flow, _: Ground) -> Found:
    """a condition on days_past_due that fails on every day of the step"""
    for index, step in _around_due(flow):
        if step.only_if is None or conditions.reads(step.only_if) != {"days_past_due"}:
            continue
        dated = flow.timetable.step(step.id)
        days = {dated.day(n) + late for n in range(1, dated.times + 1) for late in range(-LATER, LATER + 1)}
        if not any(judge(step.only_if, ConditionInputs.example(day)).holds for day in days):
            detail = f"the condition of step '{step.id}' holds on none of its days: {step.only_if}; correct one of them"
            yield ("steps", index, "only_if"), detail


def condition_breaks(flow: Flow, _: Ground) -> Found:
    """a condition that does not type-check on other invoices"""
    for index, step in enumerate(flow.steps):
        if step.only_if is not None and (trouble := conditions.trouble(step.only_if)):
            yield ("steps", index, "only_if"), f"the condition of step '{step.id}' fails on some invoices: {trouble}"


def repeats_for_years(flow: Flow, _: Ground) -> Found:
    """a repeat that goes on for more than five years"""
    for index, step in _around_due(flow):
        dated = flow.timetable.step(step.id)
        if dated.day(dated.times) - dated.offset > LONGEST_REPEAT:
            years = (dated.day(dated.times) - dated.offset) / 365
            detail = f"step '{step.id}' repeats for {years:.0f} years; say fewer times, so that it ends within 5"
            yield ("steps", index, "repeat", "times"), detail


def reminds_who_has_paid(flow: Flow, _: Ground) -> Found:
    """a message about an overdue invoice that does not require an open one"""
    for index, step in enumerate(flow.steps):
        about_debt = step.when.anchor is Anchor.BROKEN_PROMISE or (
            step.when.anchor is Anchor.DUE and _offset(flow, step) >= 0
        )
        if step.speaks and about_debt and not step.requires_open:
            detail = f"step '{step.id}' would also go to those who have paid; remove requires_open: false"
            yield ("steps", index, "requires_open"), detail


TIME = (
    reserved_name,
    says_the_same_twice,
    wrong_order,
    out_of_reach,
    never_in_its_window,
    contradicts_its_day,
    condition_breaks,
    repeats_for_years,
    reminds_who_has_paid,
)


def _around_due(flow: Flow) -> Iterator[tuple[int, Step]]:
    return ((index, step) for index, step in enumerate(flow.steps) if step.when.anchor is Anchor.DUE)


def _offset(flow: Flow, step: Step) -> int:
    return flow.timetable.step(step.id).offset if step.when.anchor is Anchor.DUE else 0


def _dues() -> range:
    return range(SOME_MONDAY, SOME_MONDAY + WEEK)
