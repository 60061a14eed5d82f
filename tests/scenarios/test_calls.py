"""An unpaid invoice is called about: who answers, what is heard, what a key brings, and when the telephone rings again."""

import pytest

from tests.scenarios.story import Case

ANSWERS, NO_ANSWER, BUSY, MACHINE = "+4915112345678", "+15005550010", "+15005550011", "+15005550012"
PRESSES_1, PRESSES_3, PRESSES_9, REPEATS = "+15005550013", "+15005550015", "+15005550016", "+15005550017"


def calls(case: Case) -> list[str]:
    return [one for one in case.hours() if " voice " in one or ".then" in one]


def spoken(case: Case) -> str:
    return " ".join(str(one["text"]) for one in case.messages() if one["channel"] == "voice").replace("\n", " ")


def test_a_delinquent_customer_presses_1_and_has_the_pay_link_at_once(case: Case) -> None:
    case.invoice(email=None, phone=PRESSES_1, amount="480.50")
    case.clock("day 26")

    assert calls(case) == ["day 25 09:00 voice delinquent", "day 25 09:00 sms delinquent.then"]
    text = case.messages()[-1]["text"]
    assert "/pay/" in text
    assert f"Hello Ana, this is Your company. Your invoice {case.ref} over 480 euros and 50 cents was due on" in spoken(
        case
    )
    assert "press 1." in spoken(case)
    assert case.state("delinquent") == "delivered: receipt"
    told = [line.partition(": ")[2] for line in case.timeline() if line.startswith("day 25")]
    assert "The customer pressed a key in the call and gets the payment link at once." in told
    case.pay("480.50")
    assert case.sent()[-1] == "day 26 sms thank-you"


def test_who_listens_and_hangs_up_gets_the_link_when_the_call_has_ended(case: Case) -> None:
    case.invoice(email=None, phone=ANSWERS)
    case.clock("day 26")

    assert calls(case) == ["day 25 09:00 voice delinquent", "day 25 09:00 sms delinquent.then"]
    assert case.tries("delinquent") == ["voice delivered"]


@pytest.mark.parametrize("phone", [NO_ANSWER, BUSY, MACHINE])
def test_who_is_not_reached_is_called_again_two_hours_later_and_twice_a_day(case: Case, phone: str) -> None:
    case.invoice(email=None, phone=phone)
    case.clock("day 28")

    assert calls(case) == [
        "day 25 09:00 voice delinquent",
        "day 25 11:00 voice delinquent",
        "day 26 09:00 voice delinquent",
        "day 26 11:00 voice delinquent",
    ]
    assert case.tries("delinquent") == ["voice missed"] * 3 + ["voice undelivered"]
    assert case.state("delinquent") == "failed: no_channel_left"
    assert case.state("delinquent.then") == "cancelled: parent_did_not_go"


def test_a_machine_hears_no_name_no_invoice_and_no_amount(case: Case) -> None:
    case.invoice(email=None, phone=MACHINE)
    case.clock("day 25")

    heard = spoken(case)
    assert "This is a message from Your company. Please call us back" in heard
    for secret in ("Ana", case.ref, "100", "invoice", "due"):
        assert secret not in heard


def test_key_9_ends_the_calls_and_not_the_texts(case: Case) -> None:
    case.invoice(email=None, phone=PRESSES_9)
    case.clock("day 33")

    assert case.suppressed() == ["voice opted_out"]
    assert calls(case) == ["day 25 09:00 voice delinquent", "day 25 09:00 sms delinquent.then"]
    assert case.state("delinquent", 2) == "failed: no_usable_contact"


def test_key_2_repeats_and_key_3_connects(case: Case) -> None:
    case.invoice(email=None, phone=REPEATS)
    case.clock("day 26")
    assert spoken(case).count("is still open") == 2

    second = Case(case.world)
    second.invoice(email=None, phone=PRESSES_3)
    second.clock("day 26")
    assert "[connected to +15005550014]" in spoken(second)
    second.forget()


def test_a_payment_during_the_calls_ends_them(case: Case) -> None:
    case.invoice(email=None, phone=NO_ANSWER)
    case.clock("day 25 10:00")
    case.pay()
    case.clock("day 28")

    assert calls(case) == ["day 25 09:00 voice delinquent"]


def test_the_call_speaks_the_customers_language(case: Case) -> None:
    case.invoice(email=None, phone=PRESSES_1, customer={"locale": "pt"})
    case.clock("day 25")

    assert "a sua fatura" in spoken(case).lower()
    assert "prima 1" in spoken(case)


def test_a_reply_is_on_the_timeline_and_stop_ends_the_texts(case: Case) -> None:
    case.invoice(email=None, phone=ANSWERS)
    case.world.call("POST", "/sandbox/replies", {"from": ANSWERS, "body": "I will pay on Friday"})
    case.settle()
    assert "day 1: The customer answered by SMS: 'I will pay on Friday'." in case.timeline()

    case.world.call("POST", "/sandbox/replies", {"from": ANSWERS, "body": "BAJA"})
    case.settle()
    assert set(case.suppressed()) == {"sms opted_out", "rcs opted_out"}
    assert any(
        "You will get no more messages" in one["text"]
        for one in case.world.call("GET", f"/sandbox/messages?to=%2B{ANSWERS[1:]}")["items"]
    )
    case.world.call("POST", "/sandbox/replies", {"from": ANSWERS, "body": "START"})
    case.settle()
    assert case.suppressed() == []
