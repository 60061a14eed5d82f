"""The flow language: what is read, what is refused, and with which words."""

import copy
from datetime import timedelta

import pytest
from pydantic import ValidationError

from shared.flow import (
    Anchor,
    Flow,
    FlowTextError,
    Missed,
    OnUncertain,
    Start,
    flow_schema,
    read_yaml,
    shipped,
    standard,
    write_yaml,
)
from shared.flow.calendar import Window


def flow_with(step=None, **top):
    first = {"id": "a", "when": {"on": "due"}, "message": "m", "channels": ["email"]}
    return {"name": "f", "steps": [first | (step or {})]} | top


def faults(data):
    with pytest.raises(ValidationError) as caught:
        Flow.parse(data)
    return [(entry["loc"], entry["msg"].removeprefix("Value error, ")) for entry in caught.value.errors()]


def test_the_standard_flow_says_what_its_page_says():
    flow = standard()
    assert [step.id for step in flow.steps] == [
        "deliver-invoice",
        "upcoming",
        "due-today",
        "overdue",
        "delinquent",
        "thank-you",
    ]
    assert [step.when.offset for step in flow.steps] == [0, -5, 0, 3, 10, 0]
    assert [step.requires_open for step in flow.steps] == [False, True, True, True, True, False]
    assert flow.start is Start.ANY
    assert (flow.catch_up.missed, flow.catch_up.max_late) == (Missed.LATEST_ONLY, timedelta(days=3))
    assert flow.window == Window(480, 1140, frozenset(range(6)), True)
    delinquent = flow.step("delinquent")
    assert (delinquent.repeat.every.days, delinquent.repeat.until, delinquent.repeat.times) == (7, "paid", 52)
    assert delinquent.then.channels == ("sms", "email")
    assert delinquent.only_if == "invoice.open_amount > 20.0"


def test_a_flow_comes_back_from_its_own_words():
    flow = standard()
    assert flow.timetable.following(0) == 3
    assert Flow.parse(flow.to_dict()) == flow
    assert Flow.parse(flow.to_dict()).to_dict() == flow.to_dict()


@pytest.mark.parametrize(
    ("extra", "written"),
    [
        ({"fallback_after": "PT12H"}, {"fallback_after": "PT12H"}),
        ({"when": {"days": 2, "before": "due", "at": "17:05"}}, {"when": {"before": "due", "days": 2, "at": "17:05"}}),
        ({"on_uncertain": "next_channel"}, {"on_uncertain": "next_channel"}),
        ({"requires_open": False}, {"requires_open": False}),
    ],
)
def test_what_is_written_is_written_back(extra, written):
    assert Flow.parse(flow_with(extra)).to_dict()["steps"][0].items() >= written.items()


def test_the_delivery_is_resent_when_uncertain_and_a_reminder_is_taken_as_sent():
    assert standard().step("deliver-invoice").when_uncertain is OnUncertain.RESEND
    assert standard().step("overdue").when_uncertain is OnUncertain.ASSUME_SENT
    assert Flow.parse(flow_with({"on_uncertain": "resend"})).steps[0].when_uncertain is OnUncertain.RESEND


def test_only_the_due_day_and_the_thank_you_are_urgent():
    assert [step.id for step in standard().steps if step.urgent] == ["due-today", "thank-you"]


def test_steps_stand_by_their_anchor():
    flow = standard()
    assert [step.id for step in flow.anchored(Anchor.ISSUE)] == ["deliver-invoice"]
    assert [step.id for step in flow.anchored(Anchor.DUE)] == ["upcoming", "due-today", "overdue", "delinquent"]


def test_without_a_contact_window_every_hour_is_open():
    assert Flow.parse(flow_with()).window == Window()


@pytest.mark.parametrize(
    ("days", "read"),
    [("mon-fri", {0, 1, 2, 3, 4}), ("sat-mon", {0, 5, 6}), ("wed", {2}), (["thu", "mon"], {0, 3}), ("tue-tue", {1})],
)
def test_days_are_a_range_a_list_or_one_day(days, read):
    window = {"from": "08:00", "to": "24:00", "days": days}
    assert Flow.parse(flow_with(contact_window=window)).window.weekdays == read


@pytest.mark.parametrize(
    ("step", "place", "message"),
    [
        ({"colour": 1}, ("colour",), "Extra inputs are not permitted"),
        ({"when": {"on": "due", "after": "due"}}, ("when",), "say exactly one of on, before, after; found on, after"),
        ({"when": {"days": 3}}, ("when",), "say exactly one of on, before, after; found none"),
        ({"when": {"after": "due"}}, ("when",), "'after: due' needs days, such as days: 3"),
        ({"when": {"on": "due", "days": 1}}, ("when",), "'on: due' takes no days; write before or after instead of on"),
        (
            {"when": {"on": "issue", "at": "09:00"}},
            ("when",),
            "'on: issue' goes out at once and takes no time of day; remove at",
        ),
        ({"when": {"days": 0, "after": "due"}}, ("when", "days"), "Input should be greater than or equal to 1"),
        ({"when": {"days": -3, "after": "due"}}, ("when", "days"), "Input should be greater than or equal to 1"),
        ({"when": {"days": "3", "after": "due"}}, ("when", "days"), "Input should be a valid integer"),
        ({"when": {"days": True, "after": "due"}}, ("when", "days"), "Input should be a valid integer"),
        ({"when": {"days": 3, "before": "issue"}}, ("when", "before"), "Input should be 'due'"),
        (
            {"when": {"on": "due", "at": "9:00"}},
            ("when", "at"),
            'a time of day is written "HH:MM" in quotes, such as "09:00"',
        ),
        (
            {"when": {"on": "due", "at": "25:00"}},
            ("when", "at"),
            'a time of day is written "HH:MM" in quotes, such as "09:00"',
        ),
        (
            {"when": {"on": "due", "at": 540}},
            ("when", "at"),
            'a time of day is written "HH:MM" in quotes, such as "09:00"',
        ),
        ({"when": {"on": "due", "at": "24:00"}}, ("when", "at"), "Input should be less than 1440"),
        (
            {"channels": ["email", "email"]},
            ("channels",),
            "a channel is named twice; each is tried once, so name it once",
        ),
        ({"channels": []}, ("channels",), "name at least one channel"),
        ({"requires_open": "no"}, ("requires_open",), "Input should be a valid boolean"),
        (
            {"repeat": {"every": 7, "until": "paid"}},
            ("repeat", "times"),
            "step 'a' repeats without end; say how often in all, such as times: 12",
        ),
        (
            {"repeat": {"every": 0, "until": "paid", "times": 2}},
            ("repeat", "every", "days"),
            "Input should be greater than or equal to 1",
        ),
        (
            {"repeat": {"every": {"weeks": 2, "days": 1}, "until": "paid", "times": 2}},
            ("repeat", "every"),
            "say exactly one of days, business_days, weeks; found days, weeks",
        ),
        (
            {"repeat": {"every": {"business_days": 1000}, "until": "paid", "times": 1000}},
            ("repeat",),
            "a repeat of weeks or business days ends within 7000 days; say fewer times",
        ),
        (
            {"when": {"days": 1, "weeks": 1, "after": "due"}},
            ("when",),
            "say only one of days, business_days, weeks; found days, weeks",
        ),
        (
            {"when": {"on": "due", "weeks": 1}},
            ("when",),
            "'on: due' takes no weeks; write before or after instead of on",
        ),
        ({"when": {"after": "broken_promise"}}, ("when",), "'after: broken_promise' needs days, such as days: 3"),
        ({"broadcast": ["sms"]}, (), "say channels (one after the other) or broadcast (all at once); found both"),
        ({"stop": True}, (), "say exactly one of message, escalate, stop; found message, stop"),
        ({"message": None, "escalate": {"to": "x"}}, (), "'escalate' sends nothing and takes no channels; remove it"),
        ({"stop": False}, ("stop",), "Input should be True"),
        ({"escalate": {"to": "a\nb"}}, ("escalate", "to"), "String should match pattern '^[^\\x00-\\x1f\\x7f]*$'"),
        (
            {"fallback_after": "1 day"},
            ("fallback_after",),
            'a duration is written as in ISO 8601, such as "P3D" or "PT12H"',
        ),
        (
            {"fallback_after": "Px"},
            ("fallback_after",),
            "not an ISO 8601 duration of days, hours and minutes: 'Px'",
        ),
        ({"fallback_after": "P9000D"}, ("fallback_after",), "a duration here is at most 366 days"),
        (
            {"fallback_after": "PT0S"},
            ("fallback_after",),
            "step 'a' would fall back before a receipt can come; give fallback_after some time",
        ),
        (
            {"when": {"on": "issue"}, "repeat": {"every": 7, "until": "paid", "times": 2}},
            ("repeat",),
            "step 'a' is on issue, which comes once; only steps around the due date repeat",
        ),
        (
            {"requires_open": False, "repeat": {"every": 7, "until": "paid", "times": 2}},
            ("requires_open",),
            "step 'a' repeats until paid, so it requires an open invoice; remove requires_open: false",
        ),
        (
            {"when": {"on": "payment"}},
            ("requires_open",),
            "step 'a' is on payment, when nothing is open any more; say requires_open: false",
        ),
    ],
)
def test_a_faulty_step_is_refused_at_its_place(step, place, message):
    assert faults(flow_with(step)) == [(("steps", 0, *place), message)]


@pytest.mark.parametrize(
    ("top", "place", "message"),
    [
        ({"steps": []}, ("steps",), "a flow has 1 to 50 steps, this one has 0"),
        (
            {"contact_window": {"from": "19:00", "to": "08:00"}},
            ("contact_window",),
            "from must be earlier than to; a window does not reach over midnight",
        ),
        (
            {"contact_window": {"from": "08:00", "to": "19:00", "days": []}},
            ("contact_window", "days"),
            'days are written as a range, "mon-sat", or as a list, ["mon", "thu"]',
        ),
        (
            {"contact_window": {"from": "08:00", "to": "19:00", "days": "mon-sam"}},
            ("contact_window", "days"),
            "unknown day 'sam'; the days are mon, tue, wed, thu, fri, sat, sun",
        ),
        ({"contact_window": {"from": "08:00"}}, ("contact_window", "to"), "Field required"),
        ({"start": "tomorrow"}, ("start",), "Input should be 'any' or 'issued_today'"),
        (
            {"catch_up": {"max_late": 3}},
            ("catch_up", "max_late"),
            'a duration is written as in ISO 8601, such as "P3D" or "PT12H"',
        ),
    ],
)
def test_a_faulty_flow_is_refused_at_its_place(top, place, message):
    assert faults(flow_with(**top)) == [(place, message)]


def test_every_fault_is_named_at_once():
    data = flow_with({"channels": ["fax"], "only_if": "1 +", "colour": 1}, start="never")
    assert sorted(str(place) for place, _ in faults(data)) == sorted(
        str(place)
        for place in [("start",), ("steps", 0, "channels", 0), ("steps", 0, "only_if"), ("steps", 0, "colour")]
    )


def test_a_step_named_twice_is_refused_with_both_places():
    data = flow_with()
    data["steps"].append(copy.deepcopy(data["steps"][0]))
    expected = (("steps", 1, "id"), "step 'a' is already steps[0]; give each step its own id")
    assert faults(data) == [expected]


def test_yaml_words_stay_words():
    assert read_yaml("{on: issue, off: 08:30, no: yes, days: 5, open: true, nothing: ~, x: 20.5}") == {
        "on": "issue",
        "off": "08:30",
        "no": "yes",
        "days": 5,
        "open": True,
        "nothing": None,
        "x": 20.5,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "line 2: 'a' is given twice"),
        ("a: &x [1]\nb: *x", "line 2: references (*name) are not allowed"),
        ("- 1", "a flow is a mapping that starts with name: and steps:"),
        ("", "a flow is a mapping that starts with name: and steps:"),
        ("a: [1", "line 1: expected ',' or ']', but got '<stream end>'"),
        ("a: !!python/object/apply:os.system [x]", "line 1: types (!!name) are not allowed"),
        ("x: 1\na: !!int '_'", "line 2: types (!!name) are not allowed"),
        ("a: !!timestamp x", "line 1: types (!!name) are not allowed"),
        ("a: " + "1" * 5000, "the text is not YAML"),
        ("1: x", "line 1: a key must be a word"),
        ("{[a]: 1}", "line 1: a key must be a word"),
        ("a: " + "[" * 5000, "the text is not YAML"),
        ("a" * 300_000, "a flow has at most 262144 characters"),
        ("a: \x00", "the text is not YAML"),
    ],
)
def test_text_that_is_no_flow_is_refused_with_its_line(text, message):
    with pytest.raises(FlowTextError) as caught:
        read_yaml(text)
    assert str(caught.value).startswith(message)


def test_a_flow_groups_its_reminders_but_never_the_delivery_the_thanks_or_a_step_that_says_none():
    flow = Flow.parse({**shipped()["standard"].to_dict(), "group": "customer"})
    alone = flow.to_dict()
    alone["steps"][3]["group"] = "none"

    assert {"upcoming", "due-today", "overdue", "delinquent"} == flow.grouped
    assert {"upcoming", "due-today", "delinquent"} == Flow.parse(alone).grouped
    assert frozenset() == standard().grouped
    assert flow == Flow.parse(read_yaml(write_yaml(flow)))
    assert "group" in flow_schema()["properties"]
