"""A communication flow as a clerk writes it: what goes out before, on and after which day, to whom, and until when.

What must stay true:
- `Flow.parse` is the only door: it refuses a faulty flow whole, with one error per fault, each with its place;
- a flow never changes after it was read; `Flow.parse(flow.to_dict()) == flow`;
- what was once stored stays readable: what is asked of new flows only stands in `verification`.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StrictInt, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from shared.flow.calendar import Window
from shared.flow.faults import faults_of
from shared.flow.notation import Clock, Duration, Weekdays
from shared.flow.steps import Group, Name, OnUnknown, Step
from shared.flow.timetable import CountedStep, DatedStep, Timetable
from shared.flow.when import Anchor, Part
from shared.routing.channels import ChannelName

MOST_STEPS = 50
SOME_MONDAY = date(2024, 1, 1).toordinal()
_MOST_TIMETABLES = 4096


def _some_steps(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    if not 1 <= len(steps) <= MOST_STEPS:
        raise ValueError(f"a flow has 1 to {MOST_STEPS} steps, this one has {len(steps)}")
    return steps


class Start(StrEnum):
    ANY = "any"
    ISSUED_TODAY = "issued_today"


class Missed(StrEnum):
    SEND_LATE = "send_late"
    SKIP = "skip"
    LATEST_ONLY = "latest_only"


class CatchUp(Part):
    missed: Missed = Missed.LATEST_ONLY
    max_late: Duration = timedelta(days=3)


class ContactWindow(Part):
    opens: Clock = Field(alias="from")
    closes: Clock = Field(alias="to")
    days: Weekdays = (0, 1, 2, 3, 4, 5, 6)
    holidays: Literal["avoid", "ignore"] = "ignore"

    @model_validator(mode="after")
    def _opens_before_it_closes(self) -> Self:
        if self.opens >= self.closes:
            raise ValueError("from must be earlier than to; a window does not reach over midnight")
        return self

    def as_window(self) -> Window:
        return Window(self.opens, self.closes, frozenset(self.days), self.holidays == "avoid")


class Caps(Part):
    """At most so many reminders to a customer, over all channels and invoices; beside those that hold for all flows."""

    per_day: Annotated[StrictInt, Field(ge=1, le=100)] | None = None
    per_week: Annotated[StrictInt, Field(ge=1, le=500)] | None = None
    gap: Duration | None = None


class Flow(Part):
    name: Name
    start: Start = Start.ANY
    catch_up: CatchUp = CatchUp()
    contact_window: ContactWindow | None = None
    channel_windows: dict[ChannelName, ContactWindow] | None = None
    caps: Caps | None = None
    group: Group | None = None
    on_unknown: OnUnknown | None = None
    steps: Annotated[tuple[Step, ...], AfterValidator(_some_steps), Field(json_schema_extra={"minItems": 1})]

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> "Flow":
        """Raises pydantic's ValidationError with one entry per fault; its `loc` is the place in `data`."""
        flow = cls.model_validate(data)
        faults = [
            InitErrorDetails(
                type=PydanticCustomError("flow", "{detail}", {"detail": fault.detail}),
                loc=fault.place,
                input=fault.input,
            )
            for fault in faults_of(flow)
        ]
        if faults:
            raise ValidationError.from_exception_data(cls.__name__, faults)
        return flow

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, in the words of the language, defaults included."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def step(self, step_id: str) -> Step:
        """KeyError when there is none: a row's step is always one of its own flow version."""
        return self._steps_by_id[step_id]

    def anchored(self, anchor: Anchor) -> tuple[Step, ...]:
        """The steps on or after issue, around the due date, on payment or a broken promise, in the order of the flow."""
        return self._steps_by_anchor[anchor]

    @cached_property
    def grouped(self) -> frozenset[str]:
        """The ids of the steps whose reminders to one customer ride on one message."""
        return frozenset(s.id for s in self.steps if s.may_group and (s.group or self.group) is Group.CUSTOMER)

    def on_unknown_of(self, step: Step) -> str | None:
        """As it is kept with a reminder; None: as the payment source says, or nobody has to be asked."""
        said = (step.on_unknown or self.on_unknown) if step.requires_open else None
        return said and said.value

    def severity(self, step_id: str) -> int:
        """Later steps are more severe: about how many days after the due date it begins to speak."""
        return self.step(step_id).when.offset

    @cached_property
    def window(self) -> Window:
        """Without a contact window: any hour of any day."""
        return self.contact_window.as_window() if self.contact_window else Window()

    def window_of(self, channel: str) -> Window | None:
        """The channel's own hours, inside the contact window; None: those of the contact window."""
        return self._own_windows.get(channel)

    @cached_property
    def _own_windows(self) -> Mapping[str, Window]:
        return {channel: window.as_window() for channel, window in (self.channel_windows or {}).items()}

    @cached_property
    def counts_business_days(self) -> bool:
        return any(
            step.when.counts_business_days or (step.repeat and step.repeat.every.counts_business_days)
            for step in self.anchored(Anchor.DUE)
        )

    @cached_property
    def timetable(self) -> Timetable:
        """Of any due date; where business days count, of a Monday without holidays around it."""
        return self._timetable(SOME_MONDAY, None)

    def timetable_of(self, due: int, country: str | None) -> Timetable:
        """Of the due date with this ordinal, for a customer in this country."""
        if not self.counts_business_days:
            return self.timetable
        found = self._timetables.get((due, country))
        if found is None:
            if len(self._timetables) >= _MOST_TIMETABLES:
                self._timetables.clear()
            found = self._timetables[due, country] = self._timetable(due, country)
        return found

    def _timetable(self, due: int, country: str | None) -> Timetable:
        return Timetable(
            _dated(index, step, due, country) for index, step in enumerate(self.steps) if step.when.anchor is Anchor.DUE
        )

    @cached_property
    def _timetables(self) -> dict[tuple[int, str | None], Timetable]:
        return {}

    @cached_property
    def _steps_by_id(self) -> dict[str, Step]:
        return {step.id: step for step in self.steps}

    @cached_property
    def _steps_by_anchor(self) -> dict[Anchor, tuple[Step, ...]]:
        return {anchor: tuple(step for step in self.steps if step.when.anchor is anchor) for anchor in Anchor}


def _dated(index: int, step: Step, due: int, country: str | None) -> DatedStep:
    first, repeat = step.when.day(due, country), step.repeat
    times = (repeat.times or 1) if repeat else 1
    known = (index, step.id, first - due, step.when.minute)
    if repeat is None or not repeat.every.counts_business_days:
        every = repeat.every.day_from(0, 1, None) if repeat else 0
        return DatedStep(*known, every, times, step.speaks)
    days = [first]
    while len(days) < times:
        days.append(repeat.every.day_from(days[-1], 1, country))
    return CountedStep(*known, 1, times, step.speaks, tuple(day - due for day in days))
