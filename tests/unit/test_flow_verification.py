"""Every kind of fault that a flow can have: each with its exact words and its place; none on the flows that are shipped."""

import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError

from shared.flow import Flow, Ground, faults, shipped, verify
from shared.flow.verification import Severity, kind_of, kinds
from shared.kernel.caps import Caps

CHANNELS = ("email", "sms", "rcs", "whatsapp", "voice", "push", "http")
WRITTEN = {"nowhere": (), "only-here": ("fr",)}
GROUND = Ground(
    prices={name: Decimal("0.05") for name in CHANNELS},
    texts=lambda message, _: frozenset(WRITTEN.get(message, ("en", "es", "pt"))),
    locales=("en", "es-CO", "pt"),
)
DELIVERY = {
    "id": "deliver",
    "when": {"on": "issue"},
    "message": "invoice",
    "channels": ["email"],
    "requires_open": False,
}
THANKS = {
    "id": "thanks",
    "when": {"on": "payment"},
    "message": "thank-you",
    "channels": ["email"],
    "requires_open": False,
}
WINDOW = {"from": "08:00", "to": "19:00"}


def after(days, step_id="a", **said):
    when = {"days": abs(days), "after" if days > 0 else "before": "due"} if days else {"on": "due"}
    when |= said.pop("when", {})
    base = {"id": step_id, "when": when}
    if not {"escalate", "stop"} & said.keys():
        base |= {"message": f"m-{step_id}"}
        base |= {} if "broadcast" in said else {"channels": ["email", "sms"]}
    return base | said


def flow(*steps, **top):
    """Between a delivery and thanks: index 1 is the first of `steps`."""
    return {"name": "f", "contact_window": WINDOW, "steps": [DELIVERY, *steps, THANKS], **top}


def repeat(times, every=7):
    return {"every": every, "until": "paid", "times": times}


FAULTS = {
    "named-twice": (
        flow(after(1), after(2)),
        ("steps", 2, "id"),
        "step 'a' is already steps[1]; give each step its own id",
    ),
    "repeats-without-a-date": (
        flow({**after(1), "when": {"on": "broken_promise"}, "repeat": repeat(2)}, after(3, "b")),
        ("steps", 1, "repeat"),
        "step 'a' is on broken_promise, which comes once; only steps around the due date repeat",
    ),
    "repeats-after-payment": (
        flow(after(-1, repeat=repeat(2), requires_open=False), after(3, "b")),
        ("steps", 1, "requires_open"),
        "step 'a' repeats until paid, so it requires an open invoice; remove requires_open: false",
    ),
    "repeats-without-end": (
        flow(after(1, repeat={"every": 7, "until": "paid"})),
        ("steps", 1, "repeat", "times"),
        "step 'a' repeats without end; say how often in all, such as times: 12",
    ),
    "thanks-that-never-go": (
        flow(after(1), {**THANKS, "id": "b", "message": "m", "requires_open": True}),
        ("steps", 2, "requires_open"),
        "step 'b' is on payment, when nothing is open any more; say requires_open: false",
    ),
    "follows-a-broadcast": (
        flow(after(1, broadcast=["email", "sms"], then={"message": "x", "channels": ["sms"]})),
        ("steps", 1, "then"),
        "step 'a' is a broadcast, so 'then' would follow several messages; use channels instead",
    ),
    "fallback-of-a-broadcast": (
        flow(after(1, broadcast=["email", "sms"], fallback_after="PT1H")),
        ("steps", 1, "fallback_after"),
        "step 'a' is a broadcast: each of its messages has one channel and no next one; remove fallback_after",
    ),
    "acts-without-a-date": (
        flow(after(1), {"id": "b", "when": {"on": "broken_promise"}, "stop": True}),
        ("steps", 2, "when"),
        "step 'b' is not around the due date; only there a step may say stop",
    ),
    "acts-without-a-debt": (
        flow(after(1), after(2, "b", escalate={"to": "x"}, requires_open=False)),
        ("steps", 2, "requires_open"),
        "step 'b' is about an open invoice; remove requires_open: false",
    ),
    "fallback-at-once": (
        flow(after(1, fallback_after="PT0S")),
        ("steps", 1, "fallback_after"),
        "step 'a' would fall back before a receipt can come; give fallback_after some time",
    ),
    "groups-what-is-alone": (
        flow(after(-1, group="customer", requires_open=False)),
        ("steps", 1, "group"),
        "step 'a' is about one invoice, whatever else the customer owes; remove group",
    ),
    "checks-what-nobody-owes": (
        flow(after(-1, on_unknown="hold", requires_open=False), after(3, "b")),
        ("steps", 1, "on_unknown"),
        "step 'a' goes whether or not the invoice is paid, so nobody is asked; remove on_unknown",
    ),
    "hours-that-never-meet": (
        flow(after(1), channel_windows={"sms": {"from": "19:00", "to": "20:00"}}),
        ("channel_windows", "sms"),
        "the hours of 'sms' lie outside the contact window, so it never goes; let them overlap",
    ),
    "reserved-name": (
        flow(after(1), name="dry-run"),
        ("name",),
        "'dry-run' is an address of the API; give the flow another name",
    ),
    "says-the-same-twice": (
        flow(after(1), after(1, "b", message="m-a")),
        ("steps", 2),
        "step 'b' says the same as 'a' at the same time; remove one of them",
    ),
    "wrong-order": (
        flow(after(5), after(2, "b")),
        ("steps", 2),
        "step 'b' comes before 'a' but stands below it; move it up, so that the flow reads as a calendar",
    ),
    "out-of-reach": (
        flow(after(5, "end", stop=True), after(9, "b")),
        ("steps", 2),
        "step 'b' is never reached: 'end' has ended the follow-up by then; move it before that, or give the stop an only_if",
    ),
    "never-in-its-window": (
        flow({**after(1), "when": {"business_days": 2, "after": "due"}}, contact_window={**WINDOW, "days": ["sat", "sun"]}),
        ("steps", 1, "when"),
        ("step 'a' counts business days, but the contact window is open on sat, sun only, so it can never go on its day; "
        "open a weekday or count days"),
    ),
    "contradicts-its-day": (
        flow(after(3, only_if="days_past_due > 90")),
        ("steps", 1, "only_if"),
        "the condition of step 'a' holds on none of its days: days_past_due > 90; correct one of them",
    ),
    "condition-breaks": (
        flow(after(3, only_if="invoice.amount > 5.0 || invoice.gross > 1.0")),
        ("steps", 1, "only_if"),
        "the condition of step 'a' fails on some invoices: invoice, customer and history have no field 'gross'",
    ),
    "repeats-for-years": (
        flow(after(3, repeat=repeat(500))),
        ("steps", 1, "repeat", "times"),
        "step 'a' repeats for 10 years; say fewer times, so that it ends within 5",
    ),
    "too-many-contacts": (
        flow(after(1, broadcast=["email", "sms"], repeat=repeat(9, every=1))),
        ("steps",),
        ("up to 14 messages go to a customer within 7 days (from 1 days after the due date), allowed are 7 where no cap says "
        "otherwise; leave some out, space them or say caps.per_week"),
    ),
    "too-many-a-day": (
        flow(after(3, broadcast=["email", "sms"]), caps={"per_day": 1}),
        ("caps", "per_day"),
        ("up to 2 messages go to a customer on one day (3 days after the due date), but caps.per_day allows 1; leave some out, "
        "space them or raise it"),
    ),
    "closer-than-the-gap": (
        flow(after(1), after(3, "b", when={"at": "10:00"}), caps={"gap": "P3D"}),
        ("steps",),
        "'b' comes 49 hours after 'a', but caps.gap is P3D, so it waits, and may be too late then; space them or shorten the gap",
    ),
    "reminds-who-has-paid": (
        flow(after(1, requires_open=False)),
        ("steps", 1, "requires_open"),
        "step 'a' would also go to those who have paid; remove requires_open: false",
    ),
    "nobody-sends": (
        flow(after(1, channels=["fax-by-pigeon"])),
        ("steps",),
        "nobody offers a channel of this flow (email, sms); configure a provider or name other channels",
    ),
    "no-words": (
        flow(after(1, then={"message": "nowhere", "channels": ["sms"]})),
        ("steps", 1, "then", "message"),
        "message 'nowhere' of step 'a' has no text for sms in any language; PUT /v1/templates/nowhere first, or use another",
    ),
    "no-words-for-some": (
        flow(after(1, message="only-here")),
        ("steps", 1, "message"),
        ("message 'only-here' of step 'a' has no text for email, sms in es-CO, pt, and none in en to stand in; "
        "PUT /v1/templates/only-here in es-CO or en first"),
    ),
    "reaches-nobody": (
        flow(after(1, channels=["voice"]), after(2, "b")),
        ("steps", 1, "channels"),
        "nobody offers voice, so step 'a' reaches nobody until a provider is configured",
    ),
    "goes-without": (
        flow(after(1, broadcast=["email", "voice"])),
        ("steps", 1, "broadcast"),
        "nobody offers voice; step 'a' goes without",
    ),
    "not-their-language": (
        flow(after(1)),
        ("steps", 0, "message"),
        "message 'invoice' of step 'deliver' has no text in fr-CA; who speaks that gets another language",
    ),
    "nobody-gets-the-invoice": (
        flow(steps=[after(1), THANKS]),
        ("steps",),
        "no step is on issue, so this flow does not deliver the invoice; add one with 'on: issue'",
    ),
    "nobody-is-reminded": (
        flow(after(-1)),
        ("steps",),
        "no message goes on or after the due date, so who does not pay is never asked again; add one",
    ),
    "nobody-is-thanked": (
        flow(steps=[DELIVERY, after(1)]),
        ("steps",),
        "no step is on payment, so who pays never learns that the money came; add one with 'on: payment'",
    ),
    "outside-the-window": (
        flow(after(1, when={"at": "21:00"})),
        ("steps", 1, "when", "at"),
        "step 'a' says 21:00, when the contact window is closed (open from 08:00 to 19:00); it goes at 18:30",
    ),
    "narrow-window": (
        flow(after(1), contact_window={"from": "09:00", "to": "09:45"}),
        ("contact_window",),
        "the contact window is open for 45 minutes a day; an outage of that length loses the day, so open it longer",
    ),
    "one-day-a-week": (
        flow(after(1), contact_window={**WINDOW, "days": "tue"}),
        ("contact_window", "days"),
        "the contact window opens on one day a week, so all that falls due in between goes on that day; name more days",
    ),
    "no-window": (
        flow(after(1), contact_window=None),
        (),
        "without a contact_window calls and texts may come at any hour (step 'a'); say one",
    ),
    "wakes-people": (
        flow(after(1), contact_window={"from": "06:00", "to": "22:00"}),
        ("contact_window",),
        ("the contact window reaches from 06:00 to 22:00; calls and texts before 07:00 or after 21:00 are forbidden in many "
        "countries, so narrow it"),
    ),
    "condition-of-nothing": (
        flow(after(1, only_if="1 == 2")),
        ("steps", 1, "only_if"),
        "the condition of step 'a' asks for nothing of the invoice and never holds; remove it or the step",
    ),
    "two-on-one-day": (
        flow(after(1), after(1, "b")),
        ("steps", 2, "when"),
        "steps 'a' and 'b' fall on the same day and both go out; use one, or a broadcast",
    ),
    "repeats-once": (
        flow(after(1, repeat=repeat(1))),
        ("steps", 1, "repeat", "times"),
        "step 'a' repeats 1 time in all, which is no repeat; remove repeat or say more times",
    ),
    "every-day": (
        flow(after(1, repeat=repeat(5, every={"business_days": 1}))),
        ("steps", 1, "repeat", "every"),
        "step 'a' goes out day after day; people stop reading then, so say every: 3 or more",
    ),
    "long-after-due": (
        flow(after(500)),
        ("steps", 1, "when"),
        "step 'a' comes 500 days after the due date; is that meant?",
    ),
    "long-before-due": (
        flow(after(-90), after(1, "b")),
        ("steps", 1, "when"),
        "step 'a' comes 90 days before the due date, when most invoices are not issued yet; it is left out for those",
    ),
    "nothing-to-fall-back-to": (
        flow(after(1, channels=["sms"], fallback_after="PT1H")),
        ("steps", 1, "fallback_after"),
        "step 'a' has one channel and nothing to fall back to; remove fallback_after or add a channel",
    ),
    "falls-back-too-late": (
        flow(after(1, fallback_after="P5D"), after(4, "b")),
        ("steps", 1, "fallback_after"),
        "step 'a' falls back 5 days later, but the next step speaks after 3; shorten fallback_after",
    ),
    "no-next-channel": (
        flow(after(1, channels=["sms"], on_uncertain="next_channel")),
        ("steps", 1, "on_uncertain"),
        "step 'a' has one channel and no next one; say on_uncertain: assume_sent or add a channel",
    ),
    "may-go-twice": (
        flow(after(1, on_uncertain="resend")),
        ("steps", 1, "on_uncertain"),
        "step 'a' is sent again when nobody knows whether it went, so customers may get it twice; assume_sent avoids that",
    ),
    "sends-unchecked": (
        flow(after(1, on_unknown="send")),
        ("steps", 1, "on_unknown"),
        ("step 'a' goes out also while nobody can say whether it is paid, so who has paid may be reminded; hold waits for "
        "the answer"),
    ),
    "then-repeats-it": (
        flow(after(1, then={"message": "m-a", "channels": ["sms"]})),
        ("steps", 1, "then", "message"),
        "what follows step 'a' says the same again; give then another message or remove it",
    ),
    "then-on-the-same-channel": (
        flow(after(1, channels=["sms"], then={"message": "x", "channels": ["sms"]})),
        ("steps", 1, "then", "channels"),
        "what follows step 'a' goes over sms again at once; say both in one message",
    ),
    "carries-no-files": (
        flow(after(1, channels=["sms"], attach="document")),
        ("steps", 1, "attach"),
        "no channel of step 'a' carries files (sms), so the document goes as a link; add email or remove attach",
    ),
    "all-at-once": (
        flow(after(1, broadcast=["email", "sms", "voice"])),
        ("steps", 1, "broadcast"),
        "step 'a' reaches a customer 3 times at the same moment, each billed; use channels if one is enough",
    ),
    "broadcast-of-one": (
        flow(after(1, broadcast=["sms"])),
        ("steps", 1, "broadcast"),
        "step 'a' broadcasts over one channel; say channels, with others to fall back to",
    ),
    "no-time-to-catch-up": (
        flow(after(1), catch_up={"missed": "send_late", "max_late": "P0D"}),
        ("catch_up", "max_late"),
        "max_late is nothing, so whatever an outage delays past its day is dropped; say some days, such as P3D",
    ),
    "speaks-of-the-past": (
        flow(after(1), catch_up={"missed": "send_late", "max_late": "P30D"}),
        ("catch_up", "max_late"),
        "what was missed goes out up to 30 days late, when it may say what is no longer so; shorten max_late",
    ),
    "drops-what-was-missed": (
        flow(after(1), catch_up={"missed": "skip"}),
        ("catch_up", "missed"),
        ("missed: skip drops all that an outage delays past its day, also reminders that nobody repeats; "
        "latest_only sends the last one"),
    ),
    "hands-over-early": (
        flow(after(-2, escalate={"to": "x"}), after(1, "b")),
        ("steps", 1, "when"),
        "step 'a' hands the invoice to a person before it is overdue; say some days after due",
    ),
}  # fmt: skip
GROUNDS = {
    "no-words-for-some": replace(GROUND, locales=("fr-CA", "es-CO", "pt")),
    "nobody-sends": Ground(prices={"push": Decimal(1)}, texts=GROUND.texts),
    "reaches-nobody": Ground(prices={"email": Decimal(1), "sms": Decimal(1)}, texts=GROUND.texts),
    "goes-without": Ground(prices={"email": Decimal(1), "sms": Decimal(1)}, texts=GROUND.texts),
    "not-their-language": Ground(texts=GROUND.texts, locales=("en-GB", "fr-CA")),
}
FAULTS["nobody-sends"] = (flow(after(1)), *FAULTS["nobody-sends"][1:])


@pytest.mark.parametrize("kind", FAULTS)
def test_each_kind_is_named_with_its_place_and_what_to_do(kind):
    data, place, detail = FAULTS[kind]
    found = verify(Flow.model_validate(data), GROUNDS.get(kind, GROUND))
    mine = [(one.place, one.detail) for one in (*found.errors, *found.warnings) if one.kind == kind]
    assert mine[0] == (place, detail)
    assert {one.kind for one in found.errors} - {kind} == set(), "the others are good, or only odd"


@pytest.mark.parametrize(
    ("own", "common", "place", "detail"),
    [
        ({"per_week": 1}, Caps(), ("caps", "per_week"), "but caps.per_week allows 1; leave some out, space them or raise it"),
        (None, Caps(per_week=1), ("steps",), "but DUNNOCK_CAP_PER_WEEK allows 1; leave some out or space them"),
        ({"per_week": 9}, Caps(per_week=1), ("steps",), "but DUNNOCK_CAP_PER_WEEK allows 1; leave some out or space them"),
        ({"per_week": 1}, Caps(per_week=9), ("caps", "per_week"),
         "but caps.per_week allows 1; leave some out, space them or raise it"),
    ],
)  # fmt: skip
def test_contacts_a_week_are_judged_by_the_stricter_of_the_flows_caps_and_the_deployments(own, common, place, detail):
    found = verify(
        Flow.parse(flow(after(1), after(5, "b"), **({"caps": own} if own else {}))), replace(GROUND, caps=common)
    )
    said = f"up to 2 messages go to a customer within 7 days (from 1 days after the due date), {detail}"
    assert [(one.place, one.detail) for one in found.errors if one.kind == "too-many-contacts"] == [(place, said)]


def test_what_the_caps_allow_is_no_fault_however_much_it_is():
    daily = flow(after(1, broadcast=["email", "sms"], repeat=repeat(9, every=1)))
    found = verify(Flow.parse(daily), replace(GROUND, caps=Caps(per_week=14, per_day=2)))
    assert [one.kind for one in found.errors] == []


def test_neither_the_delivery_nor_thanks_nor_what_follows_a_call_counts_as_a_contact():
    call = after(1, channels=["voice"], then={"message": "pay-link", "channels": ["sms"]})
    found = verify(Flow.parse(flow(call, caps={"per_day": 1, "per_week": 1})), GROUND)
    assert (found.errors, found.worst.contacts_a_week) == ((), 1)


@pytest.mark.parametrize(
    ("top", "common", "many"),
    [
        ({}, Caps(), None),
        ({"caps": {"per_week": 3}}, Caps(), 3),
        ({"caps": {"per_week": 3}}, Caps(per_week=2), 2),
        ({"caps": {"per_day": 1}}, Caps(), 7),
        ({"caps": {"gap": "P2D"}}, Caps(), 4),
        ({"group": "customer"}, Caps(), 14),
        ({"group": "customer", "caps": {"per_week": 5}}, Caps(), 5),
        ({"group": "customer", "contact_window": {**WINDOW, "days": "mon-fri"}}, Caps(), 10),
    ],
)
def test_with_caps_or_one_message_for_all_a_customer_with_many_invoices_hears_no_more_than_so_much(top, common, many):
    steps = (after(1), after(5, "b", when={"at": "10:00"}))
    worst = verify(Flow.parse(flow(*steps, **top)), replace(GROUND, caps=common)).worst
    assert (worst.contacts_of_many, worst.contacts_a_week) == (many, 2)


def test_a_case_costs_no_more_than_its_weeks_let_out():
    dear = flow(after(1, repeat=repeat(20, every=1)))
    assert [verify(Flow.parse(dear), replace(GROUND, caps=caps)).worst.messages_a_case for caps in (Caps(), Caps(per_week=2))] == [
        22, 12,
    ]  # fmt: skip
    assert verify(Flow.parse(dear), replace(GROUND, caps=Caps(gap=timedelta(days=7)))).worst.contacts_a_week == 2


def test_a_text_that_stands_in_is_odd_and_one_that_does_not_is_a_fault():
    one = Flow.parse(flow(after(1, message="m")))
    texts = {"m": {"es"}, "invoice": {"en"}, "thank-you": {"en"}}
    found = verify(one, replace(GROUND, texts=lambda message, _: frozenset(texts[message]), locales=("es", "pt")))
    assert [(one.kind, one.place) for one in found.errors] == [("no-words-for-some", ("steps", 1, "message"))]
    odd = [(one.kind, one.place) for one in found.warnings if one.kind == "not-their-language"]
    assert odd == [("not-their-language", ("steps", 0, "message")), ("not-their-language", ("steps", 2, "message"))]


def test_there_is_a_test_for_every_kind_and_every_kind_is_known():
    assert sorted(FAULTS) == sorted(kind for kind, _, _ in kinds())
    assert len(FAULTS) > 30


def test_errors_refuse_and_warnings_do_not():
    severities = {kind: severity for kind, severity, _ in kinds()}
    for kind, (data, *_) in FAULTS.items():
        found = verify(Flow.model_validate(data), GROUNDS.get(kind, GROUND))
        errors, warnings = {one.kind for one in found.errors}, {one.kind for one in found.warnings}
        assert (kind in errors, kind in warnings) == (
            severities[kind] is Severity.ERROR,
            severities[kind] is Severity.WARNING,
        )


def test_what_was_stored_before_there_was_a_verification_can_still_be_read():
    """Stored versions are read by `Flow.parse`, which asks for no more than it did when they were stored."""
    unread = {kind_of(kind) for kind in faults.KINDS}
    for kind, (data, *_) in FAULTS.items():
        if kind not in unread:
            assert Flow.parse(data).to_dict()["name"] == data["name"]
        if kind in unread:
            with pytest.raises(ValidationError):
                Flow.parse(data)


def test_the_shipped_flows_raise_no_alarm():
    for good in shipped().values():
        found = verify(good, GROUND)
        assert (good.name, found.errors, found.warnings) == (good.name, (), ())


def test_while_no_dispatcher_has_said_what_it_has_nobody_is_missed():
    found = verify(shipped()["standard"], Ground(prices=None, texts=GROUND.texts))
    assert (found.errors, found.warnings) == ((), ())


def test_all_faults_come_at_once():
    data = flow(
        after(5, repeat={"every": 3}),
        after(2, "b", requires_open=False),
        after(2, "c", message="nowhere"),
        name="schema",
    )
    found = verify(Flow.model_validate(data), GROUND)
    assert [one.kind for one in found.errors] == [
        "repeats-without-end", "reserved-name", "wrong-order", "wrong-order", "reminds-who-has-paid", "no-words",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "contacts", "messages", "cost"),
    [("standard", 2, 109, "8.55"), ("gentle", 1, 6, "0.60"), ("strict", 4, 20, "2.15")],
)
def test_the_worst_case_of_the_shipped_flows(name, contacts, messages, cost):
    worst = verify(shipped()[name], GROUND).worst
    assert (worst.contacts_a_week, worst.messages_a_case, str(worst.cost_a_case)) == (contacts, messages, cost)


def test_the_table_in_the_schedulers_page_lists_every_kind():
    page = (Path(__file__).parents[2] / "services" / "scheduler" / "README.md").read_text("utf-8")
    table = re.findall(r"^\| `([a-z-]+)` \| (error|warning) \| (.+) \|$", page, re.MULTILINE)
    assert table == [(kind, severity.value, meaning) for kind, severity, meaning in kinds()]
