"""Whatever flow one can write comes back as it was, from JSON and from YAML, and its JSON Schema lets it pass."""

import json

import jsonschema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.flow import Flow, flow_schema, read_yaml, shipped, write_yaml

NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,6}[a-z0-9]", fullmatch=True)
CHANNELS = st.lists(
    st.sampled_from(["email", "sms", "rcs", "whatsapp", "voice", "push", "http"]), min_size=1, max_size=4, unique=True
)
CLOCKS = st.integers(0, 1439).map(lambda minute: f"{minute // 60:02}:{minute % 60:02}")
SPANS = st.tuples(st.sampled_from(["days", "business_days", "weeks"]), st.integers(1, 60)).map(
    lambda one: {one[0]: one[1]}
)
CONDITIONS = st.sampled_from(
    ["invoice.open_amount > 20.0", "days_past_due > 3 && history.sent < 9", "customer.attributes['vip'] == 'no: #1'",
     "history.last_outcome == \"undelivered\"", "!has(invoice.attributes.x)"]
)  # fmt: skip
SENTENCES = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\x7f"), min_size=1, max_size=40)
DURATIONS = st.sampled_from(["P1D", "PT12H", "P3DT30M", "PT90M"])


@st.composite
def whens(draw, anchors=("due",)):
    anchor = draw(st.sampled_from(anchors))
    word = draw(st.sampled_from(["on", "after", "before"] if anchor == "due" else ["on", "after"]))
    when = {word: anchor} | ({} if word == "on" else draw(SPANS))
    at = draw(st.none() | CLOCKS)
    return when | ({"at": at} if at and not (word == "on" and anchor in ("issue", "payment")) else {})


@st.composite
def steps(draw, index):
    step = {"id": f"s{index}-{draw(NAMES)}", "only_if": draw(st.none() | CONDITIONS)}
    kind = draw(st.sampled_from(["message", "message", "broadcast", "escalate", "stop"]))
    if kind == "stop":
        return step | {"when": draw(whens()), "stop": True}
    if kind == "escalate":
        return step | {"when": draw(whens()), "escalate": {"to": draw(SENTENCES), "note": draw(st.none() | SENTENCES)}}
    step |= {"when": draw(whens(("issue", "due", "payment", "broken_promise"))), "message": draw(NAMES)}
    step |= {"channels" if kind == "message" else "broadcast": draw(CHANNELS)}
    step |= {"attach": draw(st.none() | st.just("document"))}
    paid, due = "payment" in step["when"].values(), "due" in step["when"].values()
    step |= {"requires_open": False if paid else draw(st.booleans())}
    if due and step["requires_open"]:
        every = draw(st.integers(1, 30) | SPANS)
        step |= {
            "repeat": draw(st.none() | st.just({"every": every, "until": "paid", "times": draw(st.integers(1, 12))}))
        }
    if due and step["requires_open"]:
        step |= {"group": draw(st.none() | st.sampled_from(["customer", "none"]))}
    if kind == "message":
        step |= {"then": draw(st.none() | st.fixed_dictionaries({"message": NAMES, "channels": CHANNELS}))}
        step |= {"fallback_after": draw(st.none() | DURATIONS)}
        step |= {"on_uncertain": draw(st.none() | st.sampled_from(["assume_sent", "resend", "next_channel"]))}
    return step


@st.composite
def flows(draw):
    window = {
        "from": "08:00",
        "to": draw(st.sampled_from(["19:00", "24:00", "08:30"])),
        "days": draw(st.sampled_from(["mon-sat", ["thu", "mon"], "sun"])),
    }
    data = {
        "name": draw(NAMES),
        "start": draw(st.sampled_from(["any", "issued_today"])),
        "catch_up": {"missed": draw(st.sampled_from(["send_late", "skip", "latest_only"])), "max_late": draw(DURATIONS)},
        "contact_window": draw(st.none() | st.just(window | {"holidays": draw(st.sampled_from(["avoid", "ignore"]))})),
        "group": draw(st.none() | st.sampled_from(["customer", "none"])),
        "channel_windows": draw(st.none() | st.just({"voice": window | {"from": "08:00", "to": "08:30"}})),
        "caps": draw(st.none() | st.just({"per_day": 1, "per_week": 3, "gap": "PT12H"})),
        "steps": [draw(steps(index)) for index in range(draw(st.integers(1, 5)))],
    }  # fmt: skip
    return _said(data)


def _said(value):
    """Without what was left open."""
    if isinstance(value, dict):
        return {name: _said(part) for name, part in value.items() if part is not None}
    return [_said(part) for part in value] if isinstance(value, list) else value


@given(flows())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_flow_comes_back_from_json_and_from_yaml_without_loss(data):
    flow = Flow.parse(data)
    written = flow.to_dict()
    assert Flow.parse(json.loads(json.dumps(written))) == flow
    assert read_yaml(write_yaml(flow)) == written
    assert Flow.parse(read_yaml(write_yaml(flow))) == flow


@given(flows())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_can_be_read_fits_the_published_schema(data):
    checker = jsonschema.Draft202012Validator(flow_schema())
    assert [error.message for error in checker.iter_errors(data)] == []
    assert [error.message for error in checker.iter_errors(Flow.parse(data).to_dict())] == []


def test_the_schema_refuses_what_is_no_flow():
    checker = jsonschema.Draft202012Validator(flow_schema())
    good = shipped()["standard"].to_dict()
    wrongs: list[dict[str, object]] = [{"steps": []}, {"colour": 1}, {"start": "never"}, {"steps": [{"id": "a"}]}]
    for wrong in wrongs:
        assert list(checker.iter_errors({**good, **wrong})) != []
