"""The timeline's sentences: none is missing, all can be read."""

import re
from pathlib import Path

import pytest

from services.scheduler.domain.planned import SkipReason
from services.scheduler.domain.sentences import HOLDS, REASONS, SENTENCES, Said, sentence
from shared.states import AttemptState, ClosedAs, HoldKind

WRITERS = [Path("shared/ledger/ledger.sql"), *Path("services").rglob("*.py")]
KIND = re.compile(r"'((?:invoice|reminder|attempt|payment|hold|contact|promise|call|reply)\.[a-z_]+)'")
BUILT = {f"attempt.{state}" for state in AttemptState if state not in (AttemptState.STARTED, AttemptState.RESENT)}
BUILT |= {f"invoice.{state}" for state in ClosedAs} | {
    f"payment.{kind}" for kind in ("confirmed", "pending", "reversed")
}


def test_every_kind_of_event_that_is_written_has_a_sentence():
    written = {kind for path in WRITERS for kind in KIND.findall(path.read_text("utf-8"))} | BUILT

    assert written - SENTENCES.keys() == set()
    assert len(written) > 20


def test_every_reason_has_its_words():
    assert {reason.value for reason in SkipReason} - REASONS.keys() == set()
    assert {kind.value for kind in HoldKind} - HOLDS.keys() == set()


@pytest.mark.parametrize("kind", sorted(SENTENCES))
def test_no_sentence_breaks_on_an_event_without_data(kind: str):
    text = sentence(kind, Said({}))

    assert text.endswith(".")
    assert text[0].isupper() or text[0] == "'"


@pytest.mark.parametrize(
    ("kind", "said", "text"),
    [
        (
            "reminder.unknown",
            Said({"step": "overdue", "on_unknown": "send", "says": "flow"}, "overdue"),
            "'overdue' goes all the same: nobody could say whether the invoice is paid (its flow says on_unknown: send).",
        ),
        (
            "reminder.unknown",
            Said({"step": "overdue", "on_unknown": "hold", "says": "source"}, "overdue"),
            "'overdue' waits: nobody could say whether the invoice is paid (the payment source says on_unknown: hold).",
        ),
        (
            "attempt.rejected",
            Said(
                {"channel": "email", "detail": "550 unknown user", "suppressed": "invalid"},
                "upcoming",
                "a***@example.com",
            ),
            "'upcoming' was refused by email to a***@example.com (550 unknown user); the address is no longer used: invalid.",
        ),
        (
            "attempt.notsent",  # it may have been cancelled meanwhile: no word of a next try
            Said({"channel": "email", "detail": "hand-off window over"}, "overdue"),
            "'overdue' could not be handed over for email (hand-off window over): nothing went out.",
        ),
        (
            "attempt.missed",
            Said({"channel": "voice", "detail": "busy"}, "overdue"),
            "'overdue' found nobody by call (busy).",
        ),
        ("reminder.cancelled", Said({"reason": "paid"}, "overdue"), "'overdue' was cancelled: it is paid."),
        ("payment.confirmed", Said({"amount": "10.00", "currency": "EUR"}), "A payment of 10.00 EUR came in."),
        ("hold.released", Said({"hold": "dispute"}), "A dispute ended and stops no reminders any more."),
        ("payment.reversed", Said({}), "A payment was taken back: all of it."),
        (
            "attempt.accepted",
            Said({"channel": "sms"}, "overdue", flow="flow 'gentle', version 2", wording="overdue/sms/pt-BR@3"),
            "'overdue' went out by SMS [flow 'gentle', version 2; text 'overdue' in pt-BR, version 3].",
        ),
        (
            "attempt.accepted",
            Said({"channel": "sms"}, "overdue", wording="late/sms/en@shipped-0a1b2c3d"),
            "'overdue' went out by SMS [text 'late' in en, as shipped].",
        ),
        (
            "attempt.accepted",
            Said({"channel": "email"}, "overdue", wording="overdue/email/pt@3 banner@2 acme@1"),
            "'overdue' went out by email [text 'overdue' in pt, version 3; picture 'banner', version 2; picture 'acme', version 1].",
        ),
        ("something.new", Said({"reason": "paid"}), "something.new: it is paid."),
    ],
)
def test_a_sentence_says_what_where_and_why(kind: str, said: Said, text: str):
    assert sentence(kind, said) == text


@pytest.mark.parametrize("reason", sorted(REASONS))
@pytest.mark.parametrize("kind", ["reminder.skipped", "reminder.failed", "reminder.moved"])
def test_a_decision_names_its_step_its_reason_and_the_version_of_its_flow(kind: str, reason: str):
    text = sentence(kind, Said({"reason": reason}, "overdue", flow="flow 'standard', version 3"))

    assert text.startswith("'overdue' ")
    assert REASONS[reason] in text
    assert text.endswith(" [flow 'standard', version 3].")


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        (
            "reminder.skipped",
            {"reason": "condition", "detail": "invoice.open_amount > 20.0, with invoice.open_amount 12.5"},
            "'overdue' was not sent: its condition does not hold (invoice.open_amount > 20.0, with invoice.open_amount 12.5)",
        ),
        (
            "reminder.skipped",
            {"reason": "dispute", "until": "2026-12-24T08:00:00+01:00"},
            "'overdue' was not sent: the invoice is disputed (until 2026-12-24 07:00 UTC)",
        ),
        (
            "reminder.moved",
            {"reason": "window", "until": "2026-12-24T08:00:00+00:00"},
            "'overdue' goes later: the contact window was closed (until 2026-12-24 08:00 UTC)",
        ),
        (
            "reminder.capped",
            {"today": 2, "per_day": 2, "this_week": 3, "per_week": 5},
            "'overdue' waits: the customer was written to often enough for now (2 of 2 today, 3 of 5 this week)",
        ),
        (
            "reminder.capped",
            {"gap": 3600},
            "'overdue' waits: the customer was written to often enough for now (at least 3600 seconds between two)",
        ),
        (
            "reminder.grouped",
            {"invoices": 3, "says": "last", "carried_by": "I-7"},
            "'overdue' rides with others: one message for 3 open invoices, in the words of 'last', sent with that of invoice I-7",
        ),
    ],
)
def test_a_decision_tells_its_inputs(kind: str, data: dict[str, object], said: str):
    assert f"{said}." == sentence(kind, Said(data, "overdue"))


def test_every_reason_that_the_ledger_gives_has_its_words():
    sql = Path("shared/ledger/ledger.sql").read_text("utf-8")
    given = set(re.findall(r"'reason', '([a-z_]+)'|(?<!_)reason = '([a-z_]+)'", sql))

    assert {one or other for one, other in given} - REASONS.keys() == set()
    assert len(given) >= 2
