"""Hard only on evidence; everything that is no bounce is told apart."""

from time import process_time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.domain.bounce_words import GONE, OTHERWISE
from services.dispatcher.domain.bounce_words import plain as words_of
from services.dispatcher.domain.bounces import BounceKind, classify, judge, sent_on
from tests.bounce_accuracy.__main__ import ENOUGH, JUDGED, LABELS, RIGHT, labels
from tests.doubles.bounces import dsn, plain


@pytest.mark.parametrize(
    ("status", "diagnostic", "kind"),
    [
        ("5.1.1", "550 5.1.1 <ana@customer.test>: user unknown", BounceKind.HARD),
        ("5.1.10", "550 5.1.10 RESOLVER.ADR.RecipientNotFound", BounceKind.HARD),
        ("5.1.2", "host not found", BounceKind.HARD),
        ("5.2.1", "550 5.2.1 mailbox disabled", BounceKind.HARD),
        ("5.0.0", "550 5.1.1 no such user here", BounceKind.HARD),
        ("5.0.0", "550 Requested action not taken: mailbox unavailable", BounceKind.HARD),
        ("5.4.1", "550 5.4.1 Recipient address rejected: Access denied", BounceKind.HARD),
        ("5.2.2", "552 5.2.2 mailbox full", BounceKind.SOFT),
        ("5.0.0", "552 user over quota", BounceKind.SOFT),
        ("5.7.1", "550 5.7.1 message rejected as spam", BounceKind.SOFT),
        ("5.7.26", "550 5.7.26 unauthenticated mail", BounceKind.SOFT),
        ("5.3.4", "552 message too large", BounceKind.SOFT),
        ("4.4.7", "delivery time expired", BounceKind.SOFT),
        ("4.2.2", "mailbox full", BounceKind.SOFT),
        ("5.0.0", "", BounceKind.SOFT),
    ],
)
def test_a_delivery_status_is_judged_by_its_code_then_its_words(status: str, diagnostic: str, kind: BounceKind) -> None:
    bounce = classify(dsn(status, diagnostic))

    assert kind == bounce.kind
    assert "ana@customer.test" == bounce.address


@pytest.mark.parametrize(
    ("failed", "another"),
    [
        ("ana@customer.test", False),
        ("<ANA@Customer.Test>", False),
        ("ana@mx1.customer.test", False),
        ("ana+old@customer.test", False),
        ("ana@customer.test (Ana Silva)", False),
        ('"ana"@customer.test.', False),
        ("", False),
        ("ana", False),
        ("ana@gmail.test", True),
        ("anabel@customer.test", True),
        ("ana@notcustomer.test", True),
    ],
)
def test_a_report_about_another_mailbox_is_told_from_one_about_ours(failed: str, another: bool) -> None:
    assert another == sent_on("ana@customer.test", failed)
    assert another == sent_on("Ana+facturas@customer.test", failed)
    assert not sent_on("ana@bücher.test", "ana@xn--bcher-kva.test")


def test_the_address_of_a_report_is_the_one_we_wrote_to_and_the_final_one_the_one_that_failed() -> None:
    mail = dsn("5.1.1", "gone", to="ana@gmail.test").replace(
        b"Final-Recipient", b"Original-Recipient: rfc822;ana@customer.test\r\nFinal-Recipient"
    )

    bounce = classify(mail)

    assert ("ana@customer.test", "ana@gmail.test") == (bounce.address, bounce.final)


def test_a_server_that_still_tries_has_not_failed() -> None:
    assert BounceKind.DELAYED == classify(dsn("4.4.1", "connection timed out", action="delayed")).kind
    assert BounceKind.UNKNOWN == classify(dsn("2.0.0", "ok", action="relayed")).kind


@pytest.mark.parametrize(
    "mail",
    [
        plain("Out of office: Re: Factura", "I am away.", "ana@customer.test", Auto_Submitted="auto-replied"),
        plain("Respuesta automática: Factura", "Estoy fuera.", "ana@customer.test"),
        plain("Re: Factura", "On holiday", "ana@customer.test", Precedence="auto_reply"),
        plain("Fwd", "550 5.1.1 user unknown, I quote", "ana@customer.test", X_Autoreply="yes"),
    ],
)
def test_an_absence_note_is_no_bounce(mail: bytes) -> None:
    assert BounceKind.OUT_OF_OFFICE == classify(mail).kind


@pytest.mark.parametrize(
    "mail",
    [
        plain("Please confirm your email to Ana", "Click here.", "ana@customer.test", Auto_Submitted="auto-replied"),
        plain("Sender verification required", "Prove that you are a person.", "ana@customer.test"),
        plain("Re: Factura", "Your mail waits.", "ana@customer.test", X_Boxbe_Message_ID="1"),
        plain("Confirme su correo para Ana", "Pulse aquí.", "ana@customer.test"),
    ],
)
def test_a_filter_that_asks_who_we_are_is_a_challenge(mail: bytes) -> None:
    assert BounceKind.CHALLENGE == classify(mail).kind


def test_a_server_that_could_not_confirm_an_address_reports_a_bounce_and_no_challenge() -> None:
    mail = plain("Could not confirm your email", "550 5.1.1 user unknown")
    assert BounceKind.HARD == classify(mail).kind


def test_a_feedback_report_is_a_complaint() -> None:
    mail = (
        b"From: fbl@mx.test\r\nSubject: complaint\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/report; report-type=feedback-report; boundary="B"\r\n\r\n'
        b"--B\r\nContent-Type: text/plain\r\n\r\nabuse\r\n--B\r\nContent-Type: message/feedback-report\r\n\r\n"
        b"Feedback-Type: abuse\r\n\r\n--B--\r\n"
    )

    assert BounceKind.COMPLAINT == classify(mail).kind


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("ana@customer.test\n550 5.1.1 The email account that you tried to reach does not exist", BounceKind.HARD),
        ("The following address failed: 550 user unknown", BounceKind.HARD),
        ("552 5.2.2 The mailbox is over its quota", BounceKind.SOFT),
        ("451 4.3.0 could not deliver, giving up", BounceKind.SOFT),
        ("Something went wrong", BounceKind.SOFT),
        ("Something went wrong\n--- Original message ---\n550 5.1.1 user unknown", BounceKind.SOFT),
        ("Your message has not yet been delivered. We will continue to try.", BounceKind.DELAYED),
        ("El usuario no existe en este servidor", BounceKind.HARD),
        ("This user doesn't have an account here (ana@customer.test)", BounceKind.HARD),
        ("<b>Unable to deliver</b>: the user&#39;s mailbox is full", BounceKind.SOFT),
    ],
)
def test_a_server_without_the_standard_report_is_read_by_its_own_words_only(body: str, kind: BounceKind) -> None:
    assert kind == classify(plain("Mail delivery failed", body)).kind


def test_what_a_server_says_without_a_failure_is_kept_as_unknown() -> None:
    assert BounceKind.UNKNOWN == classify(plain("Notice", "Something went wrong")).kind


def test_a_subject_that_repeats_ours_is_no_reason() -> None:
    assert (
        BounceKind.HARD
        == classify(plain("Undeliverable: Your storage invoice", "<ana@customer.test>: no such user")).kind
    )


def test_an_absence_note_is_known_by_its_encoded_subject() -> None:
    mail = plain("=?iso-8859-1?Q?Respuesta_autom=E1tica?=", "Estoy fuera.", "ana@customer.test")
    assert BounceKind.OUT_OF_OFFICE == classify(mail).kind


def test_a_report_without_a_diagnosis_is_judged_by_what_it_tells_people() -> None:
    mail = dsn("5.0.0", "").replace(b"could not deliver your mail", b"found no such user here")
    assert BounceKind.HARD == classify(mail).kind


def test_a_code_is_not_overruled_by_its_own_explanation_nor_by_what_is_quoted() -> None:
    quoted = dsn("5.1.1", "").replace(b"your mail.", b"your mail about a storage quota.")
    assert BounceKind.HARD == classify(quoted).kind
    explained = dsn("5.1.1 (bad destination mailbox address)", "550 max message size exceeded")
    assert BounceKind.SOFT == classify(explained).kind


@pytest.mark.parametrize("code", ["5.2.2", "5.2.3", "5.3.4"])
def test_a_code_that_says_full_or_too_large_is_soft_whatever_the_words(code: str) -> None:
    assert BounceKind.SOFT == judge(code, "user unknown")


def test_where_words_say_both_the_code_decides() -> None:
    assert [BounceKind.HARD, BounceKind.SOFT] == [judge(code, "user unknown, blocked") for code in ("5.1.1", "5.7.1")]


def test_no_phrase_stands_under_two_reasons() -> None:
    phrases = [phrase for table in (GONE, OTHERWISE) for each in table.values() for phrase in each]
    assert sorted(set(phrases)) == sorted(phrases)
    assert [] == [phrase for phrase in phrases if words_of(phrase).strip() != phrase]


@pytest.mark.parametrize(
    "mail",
    [
        dsn("5.1.1", "550 user \0 unknown", to="an\0a@customer.test"),
        dsn("5.1.1", "550 user unknown").replace(b"unknown", b"unknown \xed\xa0\x80\xff"),
        plain("Undeliverable =?utf-8?B?AAA=?= \0", "no such user \0"),
    ],
)
def test_what_is_kept_of_a_mail_fits_into_a_database(mail: bytes) -> None:
    bounce = classify(mail)

    assert BounceKind.HARD == bounce.kind
    assert "\0" not in bounce.detail + bounce.code + bounce.address
    assert bounce.detail.encode()


def test_a_reply_of_a_person_is_kept_as_unknown() -> None:
    assert BounceKind.UNKNOWN == classify(plain("Re: Factura", "I paid 550 euros yesterday", "ana@customer.test")).kind


def test_every_label_of_the_measured_mails_is_one_that_the_measure_knows_and_is_given_once() -> None:
    named = [
        name
        for kinds in yaml.safe_load(LABELS.read_text()).values()
        for names in kinds.values()
        for name in names.split()
    ]
    assert sorted(labels()) == sorted(named)
    assert set(labels().values()) == set(RIGHT)
    assert len([kind for kind in labels().values() if kind in JUDGED]) >= ENOUGH


@given(st.binary(max_size=2000))
def test_no_mail_breaks_the_reader(raw: bytes) -> None:
    assert classify(raw).kind in BounceKind


HEADS = b"From: mailer-daemon@customer.test\r\nSubject: failure notice\r\n"


@pytest.mark.parametrize(
    "mail",
    [
        HEADS + b"\r\n" + b"\n" * 500_000,
        HEADS + b"\r\n" + b"a" * 500_000,
        HEADS + b"\r\n" + b"5." * 250_000,
        HEADS + b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--a\r\n\r\nx\r\n" * 40_000,
        b"From: " + b"noreply@" * 60_000 + b"\r\n\r\nx",
        dsn("5.0.0", "x" * 500_000),
    ],
    ids=["lines", "word", "numbers", "parts", "sender", "diagnosis"],
)
def test_no_mail_keeps_the_reader_busy(mail: bytes) -> None:
    """A minute and more when each line, or each place in a long word, is read to the end of the mail."""
    began = process_time()
    assert classify(mail).kind in {BounceKind.SOFT, BounceKind.UNKNOWN}
    assert process_time() - began < 20


def test_deeply_nested_parts_are_read_in_bounds() -> None:
    mail = b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (level, level) for level in range(2000)
    )

    assert BounceKind.UNKNOWN == classify(mail).kind
