"""What a communication flow says, and when. Pure."""

from shared.flow.calendar import FIRST_DAY, FOREVER, LAST_DAY, Calendar, NeverOpens, Window, calendar_of, may_interrupt
from shared.flow.conditions import ConditionInputs, Verdict, judge
from shared.flow.ground import Ground
from shared.flow.reading import FlowTextError, read_yaml, shipped, standard, write_yaml
from shared.flow.schema import flow_schema
from shared.flow.spec import Caps, CatchUp, ContactWindow, Flow, Missed, Start
from shared.flow.steps import MAIN_LEG, MOST_TOGETHER, THEN_LEG, Escalate, Group, OnUncertain, OnUnknown, Step, Then
from shared.flow.verification import Finding, Verified, verify
from shared.flow.when import Anchor, Repeat, When

__all__ = [
    "FIRST_DAY",
    "FOREVER",
    "LAST_DAY",
    "MAIN_LEG",
    "MOST_TOGETHER",
    "THEN_LEG",
    "Anchor",
    "Calendar",
    "Caps",
    "CatchUp",
    "ConditionInputs",
    "ContactWindow",
    "Escalate",
    "Finding",
    "Flow",
    "FlowTextError",
    "Ground",
    "Group",
    "Missed",
    "NeverOpens",
    "OnUncertain",
    "OnUnknown",
    "Repeat",
    "Start",
    "Step",
    "Then",
    "Verdict",
    "Verified",
    "When",
    "Window",
    "calendar_of",
    "flow_schema",
    "judge",
    "may_interrupt",
    "read_yaml",
    "shipped",
    "standard",
    "verify",
    "write_yaml",
]
