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
            "attempt.rejected",
            Said(
                {"channel": "email", "detail": "550 unknown user", "suppressed": "invalid"},
                "upcoming",
                "a***@example.com",
            ),
            "'upcoming' was refused by email to a***@example.com (550 unknown user); the address is no longer used: invalid.",
        ),
        ("reminder.cancelled", Said({"reason": "paid"}, "overdue"), "'overdue' was cancelled: it is paid."),
        ("payment.confirmed", Said({"amount": "10.00", "currency": "EUR"}), "A payment of 10.00 EUR came in."),
        ("payment.reversed", Said({}), "A payment was taken back: all of it."),
        ("something.new", Said({"reason": "paid"}), "something.new: it is paid."),
    ],
)
def test_a_sentence_says_what_where_and_why(kind: str, said: Said, text: str):
    assert sentence(kind, said) == text
