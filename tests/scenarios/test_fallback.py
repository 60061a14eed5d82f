"""A channel that does not get through: the next one speaks, and says so; the bad address is not used again."""

import pytest

from tests.scenarios.story import Case

PHONE = "+4915112345678"
VERSIONS = "[flow 'standard', version 1; text 'invoice' in en, as shipped]"
GONE = "5.1.1 failed smtp; 550 5.1.1 The email account does not exist"


def test_after_a_bounce_the_text_message_says_so_and_later_reminders_start_there(case: Case) -> None:
    document = {"filename": "invoice.pdf", "media_type": "application/pdf", "content_base64": "JVBERi0xLjQKJSVFT0YK"}
    case.invoice(email="bounce@x.sandbox.test", phone=PHONE, document=document)

    assert case.sent() == ["day 1 email deliver-invoice", "day 1 sms deliver-invoice"]
    assert case.tries("deliver-invoice") == ["email undelivered", "sms delivered"]
    text = case.messages()[1]["text"]
    assert f"our email about invoice {case.ref} did not reach you" in text
    assert text.count("/pay/") == 2
    assert case.suppressed() == ["email bounced"]
    told = [line.removeprefix("day 1: ") for line in case.timeline()]
    assert told == [
        "The invoice was accepted and 7 messages were planned.",
        f"'deliver-invoice' went out by email to b***@x.sandbox.test {VERSIONS}.",
        f"'deliver-invoice' did not arrive by email to b***@x.sandbox.test ({GONE}); the address is no longer used: bounced.",
        f"'deliver-invoice' went out by SMS to +4*****5678 {VERSIONS}.",
        "'deliver-invoice' arrived by SMS to +4*****5678.",
    ]

    case.clock("day 19")
    assert case.sent()[2:] == ["day 10 sms upcoming", "day 15 sms due-today", "day 18 sms overdue"]
    assert "did not reach you" not in case.messages()[2]["text"]


def test_a_report_about_an_address_that_the_mailbox_sends_on_to_does_not_bar_the_mailbox(case: Case) -> None:
    case.invoice(email="forwarded@x.sandbox.test", phone=PHONE)

    assert case.sent() == ["day 1 email deliver-invoice", "day 1 sms deliver-invoice"]
    assert case.tries("deliver-invoice") == ["email undelivered", "sms delivered"]
    assert case.suppressed() == []
    assert any("sent on by the mailbox to another address" in line for line in case.timeline())


def test_a_mailbox_refused_at_the_door_gives_way_at_once(case: Case) -> None:
    case.invoice(email="reject@x.sandbox.test", phone=PHONE)

    assert case.sent() == ["day 1 sms deliver-invoice"]
    assert case.tries("deliver-invoice") == ["email rejected", "sms delivered"]
    assert "did not reach you" in case.messages()[0]["text"]


def test_a_server_that_says_later_for_ever_is_given_up(case: Case) -> None:
    case.invoice(email="tempfail@x.sandbox.test", phone=PHONE)
    assert case.sent() == []
    case.clock("day 2")

    assert case.sent() == ["day 1 sms deliver-invoice"]
    assert case.tries("deliver-invoice") == [*["email notsent"] * 5, "email rejected", "sms delivered"]


@pytest.mark.parametrize(
    ("phone", "tried", "barred"),
    [
        ("+15005550003", "sms undelivered", ["sms invalid"]),  # accepted, then a signed callback with 30005
        ("+15005550009", "sms rejected", ["sms invalid"]),  # refused with 21614: not a mobile
    ],
)
def test_a_phone_that_cannot_be_reached_gives_way_to_the_mail(
    case: Case, phone: str, tried: str, barred: list[str]
) -> None:
    case.invoice(phone=phone, customer={"preferred_channel": "sms"})
    assert case.tries("deliver-invoice") == [tried, "email accepted"]
    assert case.suppressed() == barred

    case.clock("day 11")
    assert case.tries("upcoming") == ["email accepted"]


@pytest.mark.parametrize("phone", ["+15005550003", "+15005550009"])
def test_without_another_channel_the_delivery_fails_with_the_reason(case: Case, phone: str) -> None:
    case.invoice(email="reject@x.sandbox.test", phone=phone)

    assert case.state("deliver-invoice") == "failed: no_channel_left"
    assert case.timeline()[-1].startswith("day 1: 'deliver-invoice' ")
    case.clock("day 11")
    assert case.state("upcoming") == "failed: no_usable_contact"


def test_who_presses_stop_in_a_mail_gets_text_messages_from_then_on(case: Case) -> None:
    case.invoice(phone=PHONE)
    path = case.opt_out_path()
    assert "<button" in case.world.client.get(path).text
    assert case.suppressed() == []  # looking changes nothing

    for _ in range(2):
        pressed = case.world.client.post(path, data={"List-Unsubscribe": "One-Click"}, headers={"Authorization": ""})
        assert pressed.status_code == 200
    assert case.suppressed() == ["email opted_out"]
    case.clock("day 11")
    assert case.sent() == ["day 1 email deliver-invoice", "day 10 sms upcoming"]
    assert "did not reach you" not in case.messages()[1]["text"]
