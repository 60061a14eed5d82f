"""What a communication flow says, and when. Pure."""

from shared.flow.calendar import FIRST_DAY, FOREVER, LAST_DAY, Calendar, NeverOpens, Window, calendar_of, may_interrupt
from shared.flow.conditions import ConditionInputs, Verdict, judge
from shared.flow.reading import FlowTextError, read_yaml, standard
from shared.flow.spec import Anchor, CatchUp, ContactWindow, Flow, Missed, OnUncertain, Repeat, Start, Step, Then, When

__all__ = [
    "FIRST_DAY",
    "FOREVER",
    "LAST_DAY",
    "Anchor",
    "Calendar",
    "CatchUp",
    "ConditionInputs",
    "ContactWindow",
    "Flow",
    "FlowTextError",
    "Missed",
    "NeverOpens",
    "OnUncertain",
    "Repeat",
    "Start",
    "Step",
    "Then",
    "Verdict",
    "When",
    "Window",
    "calendar_of",
    "judge",
    "may_interrupt",
    "read_yaml",
    "standard",
]
