"""A communication flow as a clerk writes it: what goes out before, on and after which day, to whom, and until when.

What must stay true:
- `Flow.parse` is the only door: it refuses a faulty flow whole, with one error per fault, each with its place;
- a flow never changes after it was read; `Flow.parse(flow.to_dict()) == flow`.
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from shared.flow import conditions
from shared.flow.calendar import Window
from shared.flow.faults import faults_of
from shared.flow.notation import Clock, Duration, Weekdays
from shared.flow.timetable import DatedStep, Timetable
from shared.routing.channels import Channel

DEFAULT_AT = 9 * 60
MOST_STEPS = 50

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?$")]
Days = Annotated[StrictInt, Field(ge=1, le=1000)]


def _some_distinct(channels: tuple[Channel, ...]) -> tuple[Channel, ...]:
    if not channels:
        raise ValueError("name at least one channel")
    if len(set(channels)) < len(channels):
        raise ValueError("a channel is named twice; each is tried once, so name it once")
    return channels


def _some_steps(steps: tuple["Step", ...]) -> tuple["Step", ...]:
    if not 1 <= len(steps) <= MOST_STEPS:
        raise ValueError(f"a flow has 1 to {MOST_STEPS} steps, this one has {len(steps)}")
    return steps


# Counted after reading and not by Field(min_length): pydantic would also count the faulty ones as missing.
Channels = Annotated[tuple[Channel, ...], AfterValidator(_some_distinct), Field(json_schema_extra={"minItems": 1})]


class Anchor(StrEnum):
    ISSUE = "issue"
    DUE = "due"
    PAYMENT = "payment"
    PARENT = "parent"  # the end of the reminder that a `then` follows


class Start(StrEnum):
    ANY = "any"
    ISSUED_TODAY = "issued_today"


class Missed(StrEnum):
    SEND_LATE = "send_late"
    SKIP = "skip"
    LATEST_ONLY = "latest_only"


class OnUncertain(StrEnum):
    ASSUME_SENT = "assume_sent"
    RESEND = "resend"
    NEXT_CHANNEL = "next_channel"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class When(_Part):
    """`{on: issue | due | payment}`, or `{days: N, before | after: due}`; around the due date with `at`."""

    on: Literal["issue", "due", "payment"] | None = None
    before: Literal["due"] | None = None
    after: Literal["due"] | None = None
    days: Days | None = None
    at: Annotated[Clock, Field(lt=1440)] | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        words = [word for word in ("on", "before", "after") if getattr(self, word) is not None]
        if len(words) != 1:
            raise ValueError(f"say exactly one of on, before, after; found {', '.join(words) or 'none'}")
        if self.on is None and self.days is None:
            raise ValueError(f"'{words[0]}: due' needs days, such as days: 3")
        if self.on is not None and self.days is not None:
            raise ValueError(f"'on: {self.on}' takes no days; write before or after instead of on")
        if self.on in ("issue", "payment") and self.at is not None:
            raise ValueError(f"'on: {self.on}' goes out at once and takes no time of day; remove at")
        return self

    @cached_property
    def anchor(self) -> Anchor:
        return Anchor(self.on or "due")

    @property
    def offset(self) -> int:
        """Days after the due date, negative before."""
        return -(self.days or 0) if self.before else self.days or 0


class Repeat(_Part):
    """Again `every` days, `times` in all (the first included), while the invoice is open."""

    every: Days
    until: Literal["paid"] = "paid"
    times: Annotated[StrictInt, Field(ge=1, le=1000)]


class Then(_Part):
    """Follows the step once it ended, once per occurrence."""

    message: Name
    channels: Channels


class CatchUp(_Part):
    missed: Missed = Missed.LATEST_ONLY
    max_late: Duration = timedelta(days=3)


class ContactWindow(_Part):
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


class Step(_Part):
    id: Name
    when: When
    repeat: Repeat | None = None
    only_if: Annotated[str, AfterValidator(conditions.check)] | None = None
    message: Name
    attach: Literal["document"] | None = None
    channels: Channels
    then: Then | None = None
    requires_open: StrictBool = True
    fallback_after: Duration | None = None
    on_uncertain: OnUncertain | None = None

    @property
    def when_uncertain(self) -> OnUncertain:
        """The delivery goes again under the same Message-ID; a reminder is rather taken as sent than doubled."""
        if self.on_uncertain is not None:
            return self.on_uncertain
        return OnUncertain.RESEND if self.when.anchor is Anchor.ISSUE else OnUncertain.ASSUME_SENT

    @property
    def urgent(self) -> bool:
        """The due-day step and the thank-you; a `then` is urgent too."""
        return self.when.on in ("due", "payment")


class Flow(_Part):
    name: Name
    start: Start = Start.ANY
    catch_up: CatchUp = CatchUp()
    contact_window: ContactWindow | None = None
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
        """The steps on issue, around the due date, or on payment, in the order of the flow."""
        return self._steps_by_anchor[anchor]

    @cached_property
    def window(self) -> Window:
        """Without a contact window: any hour of any day."""
        return self.contact_window.as_window() if self.contact_window else Window()

    @cached_property
    def timetable(self) -> Timetable:
        return Timetable(
            DatedStep(
                index=index,
                id=step.id,
                offset=step.when.offset,
                at=DEFAULT_AT if step.when.at is None else step.when.at,
                every=step.repeat.every if step.repeat else 0,
                times=step.repeat.times if step.repeat else 1,
            )
            for index, step in enumerate(self.steps)
            if step.when.anchor is Anchor.DUE
        )

    @cached_property
    def _steps_by_id(self) -> dict[str, Step]:
        return {step.id: step for step in self.steps}

    @cached_property
    def _steps_by_anchor(self) -> dict[Anchor, tuple[Step, ...]]:
        return {anchor: tuple(step for step in self.steps if step.when.anchor is anchor) for anchor in Anchor}
