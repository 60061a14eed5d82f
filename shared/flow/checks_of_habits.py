"""What works in a flow and is rarely meant. One function per kind; its first line is the table's."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

from shared.flow import conditions
from shared.flow.conditions import ConditionInputs, judge
from shared.flow.ground import Ground
from shared.flow.notation import write_clock
from shared.flow.spec import Flow, Missed
from shared.flow.steps import OnUncertain, OnUnknown, Step
from shared.flow.when import Anchor
from shared.routing.channels import Channel, traits_of

Found = Iterator[tuple[tuple[str | int, ...], str]]

EARLY, LATE = 7 * 60, 21 * 60
NARROW = 120
LONG_BEFORE, LONG_AFTER = -60, 366
LONG_LATE = timedelta(days=14)


def nobody_gets_the_invoice(flow: Flow, _: Ground) -> Found:
    """no step on issue"""
    if not any(step.when.on == "issue" for step in flow.steps):
        yield ("steps",), "no step is on issue, so this flow does not deliver the invoice; add one with 'on: issue'"


def nobody_is_reminded(flow: Flow, _: Ground) -> Found:
    """no message on or after the due date"""
    if not any(step.speaks and step.when.anchor is Anchor.DUE and step.when.offset >= 0 for step in flow.steps):
        yield ("steps",), "no message goes on or after the due date, so who does not pay is never asked again; add one"


def nobody_is_thanked(flow: Flow, _: Ground) -> Found:
    """no step on payment"""
    if not flow.anchored(Anchor.PAYMENT):
        yield (
            ("steps",),
            "no step is on payment, so who pays never learns that the money came; add one with 'on: payment'",
        )


def outside_the_window(flow: Flow, _: Ground) -> Found:
    """a time of day at which the contact window is closed"""
    window = flow.window
    for index, step in enumerate(flow.steps):
        at = step.when.minute
        if step.when.at is not None and not window.opens <= at < window.closes:
            hours = f"open from {write_clock(window.opens)} to {write_clock(window.closes)}"
            goes = write_clock(window.opens if at < window.opens else max(window.closes - 30, window.opens))
            detail = f"step '{step.id}' says {write_clock(at)}, when the contact window is closed ({hours})"
            yield ("steps", index, "when", "at"), f"{detail}; it goes at {goes}"


def narrow_window(flow: Flow, _: Ground) -> Found:
    """a contact window of less than two hours a day"""
    if flow.contact_window and (minutes := flow.window.closes - flow.window.opens) < NARROW:
        detail = f"the contact window is open for {minutes} minutes a day; an outage of that length loses the day"
        yield ("contact_window",), f"{detail}, so open it longer"


def one_day_a_week(flow: Flow, _: Ground) -> Found:
    """a contact window that opens on one weekday only"""
    if len(flow.window.weekdays) == 1:
        detail = "the contact window opens on one day a week, so all that falls due in between goes on that day"
        yield ("contact_window", "days"), f"{detail}; name more days"


def no_window(flow: Flow, _: Ground) -> Found:
    """channels that interrupt without a contact window"""
    loud = [step.id for step in flow.steps if _interrupts(step)]
    if flow.contact_window is None and loud:
        yield (), f"without a contact_window calls and texts may come at any hour (step '{loud[0]}'); say one"


def wakes_people(flow: Flow, _: Ground) -> Found:
    """a contact window that opens before 7 or closes after 21 o'clock"""
    window = flow.window
    if flow.contact_window and (window.opens < EARLY or window.closes > LATE) and any(map(_interrupts, flow.steps)):
        hours = f"from {write_clock(window.opens)} to {write_clock(window.closes)}"
        detail = (
            f"the contact window reaches {hours}; calls and texts before 07:00 or after 21:00 are forbidden in many"
        )
        yield ("contact_window",), f"{detail} countries, so narrow it"


def condition_of_nothing(flow: Flow, _: Ground) -> Found:
    """a condition that asks for nothing"""
    for index, step in enumerate(flow.steps):
        if step.only_if is not None and not conditions.reads(step.only_if):
            always = "always" if judge(step.only_if, ConditionInputs.example(0)).holds else "never"
            detail = f"the condition of step '{step.id}' asks for nothing of the invoice and {always} holds"
            yield ("steps", index, "only_if"), f"{detail}; remove it or the step"


def two_on_one_day(flow: Flow, _: Ground) -> Found:
    """two steps on one day"""
    dated = [step for step in flow.timetable.steps if step.speaks]
    for one, other in pairwise(sorted(dated, key=lambda step: (step.offset, step.index))):
        if one.offset == other.offset:
            detail = f"steps '{one.id}' and '{other.id}' fall on the same day and both go out; use one, or a broadcast"
            yield ("steps", other.index, "when"), detail


def repeats_once(flow: Flow, _: Ground) -> Found:
    """a repeat of one time"""
    for index, step in enumerate(flow.steps):
        if step.repeat and step.repeat.times == 1:
            detail = f"step '{step.id}' repeats 1 time in all, which is no repeat; remove repeat or say more times"
            yield ("steps", index, "repeat", "times"), detail


def every_day(flow: Flow, _: Ground) -> Found:
    """a repeat on every day"""
    for index, step in enumerate(flow.steps):
        if step.repeat and 1 in (step.repeat.every.days, step.repeat.every.business_days):
            detail = f"step '{step.id}' goes out day after day; people stop reading then, so say every: 3 or more"
            yield ("steps", index, "repeat", "every"), detail


def long_after_due(flow: Flow, _: Ground) -> Found:
    """a step more than a year after the due date"""
    for dated in flow.timetable.steps:
        if dated.offset > LONG_AFTER:
            detail = f"step '{dated.id}' comes {dated.offset} days after the due date; is that meant?"
            yield ("steps", dated.index, "when"), detail


def long_before_due(flow: Flow, _: Ground) -> Found:
    """a step more than two months before the due date"""
    for dated in flow.timetable.steps:
        if dated.offset < LONG_BEFORE:
            detail = (
                f"step '{dated.id}' comes {-dated.offset} days before the due date, when most invoices are not issued"
            )
            yield ("steps", dated.index, "when"), f"{detail} yet; it is left out for those"


def nothing_to_fall_back_to(flow: Flow, _: Ground) -> Found:
    """fallback_after with one channel"""
    for index, step in enumerate(flow.steps):
        if step.fallback_after and step.channels and len(step.channels) == 1:
            detail = (
                f"step '{step.id}' has one channel and nothing to fall back to; remove fallback_after or add a channel"
            )
            yield ("steps", index, "fallback_after"), detail


def falls_back_too_late(flow: Flow, _: Ground) -> Found:
    """a fallback after the next step has spoken"""
    for dated in flow.timetable.steps:
        step, following = flow.steps[dated.index], flow.timetable.following(dated.offset)
        if step.fallback_after and following is not None and step.fallback_after.days >= following - dated.offset:
            days = following - dated.offset
            detail = (
                f"step '{step.id}' falls back {step.fallback_after.days} days later, but the next step speaks after"
            )
            yield ("steps", dated.index, "fallback_after"), f"{detail} {days}; shorten fallback_after"


def no_next_channel(flow: Flow, _: Ground) -> Found:
    """on_uncertain: next_channel with one channel"""
    for index, step in enumerate(flow.steps):
        if step.on_uncertain is OnUncertain.NEXT_CHANNEL and step.channels and len(step.channels) == 1:
            detail = f"step '{step.id}' has one channel and no next one; say on_uncertain: assume_sent or add a channel"
            yield ("steps", index, "on_uncertain"), detail


def may_go_twice(flow: Flow, _: Ground) -> Found:
    """on_uncertain: resend on a reminder"""
    for index, step in enumerate(flow.steps):
        if step.on_uncertain is OnUncertain.RESEND and step.when.on != "issue":
            detail = f"step '{step.id}' is sent again when nobody knows whether it went, so customers may get it twice"
            yield ("steps", index, "on_uncertain"), f"{detail}; assume_sent avoids that"


def sends_unchecked(flow: Flow, _: Ground) -> Found:
    """on_unknown: send"""
    said = "while nobody can say whether it is paid, so who has paid may be reminded; hold waits for the answer"
    if flow.on_unknown is OnUnknown.SEND:
        yield ("on_unknown",), f"what this flow says goes out also {said}"
    for index, step in enumerate(flow.steps):
        if step.on_unknown is OnUnknown.SEND:
            yield ("steps", index, "on_unknown"), f"step '{step.id}' goes out also {said}"


def then_repeats_it(flow: Flow, _: Ground) -> Found:
    """a `then` with the step's own message"""
    for index, step in enumerate(flow.steps):
        if step.then and step.then.message == step.message:
            detail = f"what follows step '{step.id}' says the same again; give then another message or remove it"
            yield ("steps", index, "then", "message"), detail


def then_on_the_same_channel(flow: Flow, _: Ground) -> Found:
    """a `then` over the step's only channel"""
    for index, step in enumerate(flow.steps):
        if step.then and step.channels and len(step.channels) == 1 and step.then.channels == step.channels:
            detail = (
                f"what follows step '{step.id}' goes over {step.channels[0]} again at once; say both in one message"
            )
            yield ("steps", index, "then", "channels"), detail


def carries_no_files(flow: Flow, _: Ground) -> Found:
    """an attachment on channels without files"""
    for index, step in enumerate(flow.steps):
        named = step.broadcast or step.channels or ()
        if step.attach and Channel.EMAIL not in named:
            detail = (
                f"no channel of step '{step.id}' carries files ({', '.join(named)}), so the document goes as a link"
            )
            yield ("steps", index, "attach"), f"{detail}; add email or remove attach"


def all_at_once(flow: Flow, _: Ground) -> Found:
    """a broadcast over more than two channels"""
    for index, step in enumerate(flow.steps):
        if step.broadcast and len(step.broadcast) > 2:
            detail = f"step '{step.id}' reaches a customer {len(step.broadcast)} times at the same moment, each billed"
            yield ("steps", index, "broadcast"), f"{detail}; use channels if one is enough"


def broadcast_of_one(flow: Flow, _: Ground) -> Found:
    """a broadcast over one channel"""
    for index, step in enumerate(flow.steps):
        if step.broadcast and len(step.broadcast) == 1:
            detail = f"step '{step.id}' broadcasts over one channel; say channels, with others to fall back to"
            yield ("steps", index, "broadcast"), detail


def no_time_to_catch_up(flow: Flow, _: Ground) -> Found:
    """max_late of nothing"""
    if not flow.catch_up.max_late and flow.catch_up.missed is not Missed.SKIP:
        detail = "max_late is nothing, so whatever an outage delays past its day is dropped; say some days, such as P3D"
        yield ("catch_up", "max_late"), detail


def speaks_of_the_past(flow: Flow, _: Ground) -> Found:
    """max_late of more than two weeks"""
    if flow.catch_up.max_late > LONG_LATE and flow.catch_up.missed is not Missed.SKIP:
        days = flow.catch_up.max_late.days
        detail = (
            f"what was missed goes out up to {days} days late, when it may say what is no longer so; shorten max_late"
        )
        yield ("catch_up", "max_late"), detail


def drops_what_was_missed(flow: Flow, _: Ground) -> Found:
    """missed: skip"""
    if flow.catch_up.missed is Missed.SKIP:
        detail = "missed: skip drops all that an outage delays past its day, also reminders that nobody repeats"
        yield ("catch_up", "missed"), f"{detail}; latest_only sends the last one"


def hands_over_early(flow: Flow, _: Ground) -> Found:
    """a person is called before the invoice is overdue"""
    for index, step in enumerate(flow.steps):
        if step.escalate and step.when.offset <= 0:
            detail = f"step '{step.id}' hands the invoice to a person before it is overdue; say some days after due"
            yield ("steps", index, "when"), detail


HABITS = (
    nobody_gets_the_invoice,
    nobody_is_reminded,
    nobody_is_thanked,
    outside_the_window,
    narrow_window,
    one_day_a_week,
    no_window,
    wakes_people,
    condition_of_nothing,
    two_on_one_day,
    repeats_once,
    every_day,
    long_after_due,
    long_before_due,
    nothing_to_fall_back_to,
    falls_back_too_late,
    no_next_channel,
    may_go_twice,
    sends_unchecked,
    then_repeats_it,
    then_on_the_same_channel,
    carries_no_files,
    all_at_once,
    broadcast_of_one,
    no_time_to_catch_up,
    speaks_of_the_past,
    drops_what_was_missed,
    hands_over_early,
)


def _interrupts(step: Step) -> bool:
    named = [*(step.broadcast or step.channels or ()), *(step.then.channels if step.then else ())]
    return any(not traits_of(channel).discreet for channel in named)
