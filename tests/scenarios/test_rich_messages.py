"""WhatsApp and rich SMS where a customer's telephone has them, and the text message where it does not."""

from typing import Any

from tests.scenarios.story import Case

HAS_ALL, BLOCKED, HAS_NONE, READS = "+4915112345678", "+15005550030", "+15005550031", "+15005550032"


def phone(address: str, *channels: str) -> dict[str, Any]:
    return {"contact_points": [{"kind": "phone", "address": address, "channels": list(channels)}]}


def test_an_invoice_comes_as_a_card_with_its_button(case: Case) -> None:
    case.invoice(customer=phone(HAS_ALL, "rcs", "sms"))

    assert case.sent() == ["day 1 rcs deliver-invoice"]
    [card] = case.messages()
    assert f"Invoice {case.ref} from Your company: €100.00" in card["text"]
    assert "[See and pay the invoice: http" in card["text"]
    assert "/pay/" in card["text"]


def test_a_handset_that_cannot_gets_a_text_and_is_asked_again_next_time(case: Case) -> None:
    case.invoice(customer=phone(HAS_NONE, "rcs", "sms"))

    assert case.sent() == ["day 1 rcs deliver-invoice", "day 1 sms deliver-invoice"]
    assert case.tries("deliver-invoice") == ["rcs undelivered", "sms delivered"]
    assert case.suppressed() == []
    assert any("the handset cannot receive RCS" in line for line in case.timeline())


def test_an_overdue_invoice_goes_as_the_template_that_whatsapp_approved(case: Case) -> None:
    case.invoice(customer={**phone(READS, "whatsapp", "sms"), "locale": "es"})
    case.clock("day 19")

    assert case.sent()[-1] == "day 18 whatsapp overdue"
    assert f"Hola, Ana: su factura {case.ref} de Your company venció el" in case.messages()[-1]["text"]
    assert case.state("overdue") == "delivered: receipt"
    assert "day 18: 'overdue' was opened by WhatsApp to +1*****0032." in case.timeline()


def test_who_has_just_written_on_whatsapp_gets_our_own_text_there(case: Case) -> None:
    case.invoice(customer=phone(HAS_ALL, "whatsapp", "sms"))
    case.clock("day 17")
    case.world.call("POST", "/sandbox/replies", {"from": HAS_ALL, "body": "I will look", "channel": "whatsapp"})
    case.clock("day 19")

    assert case.sent()[-1] == "day 18 whatsapp overdue"
    assert case.messages()[-1]["text"].startswith(f"Your company: invoice {case.ref} was due on")
    assert case.tries("overdue") == ["whatsapp delivered"]


def test_who_blocked_us_on_whatsapp_gets_texts_from_then_on(case: Case) -> None:
    case.invoice(customer=phone(BLOCKED, "whatsapp", "sms"))
    case.clock("day 19")

    assert case.sent()[-2:] == ["day 18 whatsapp overdue", "day 18 sms overdue"]
    assert case.suppressed() == ["whatsapp opted_out"]


def test_a_number_without_whatsapp_is_not_asked_there_again(case: Case) -> None:
    case.invoice(customer=phone(HAS_NONE, "whatsapp", "sms"))
    case.clock("day 19")

    assert case.tries("overdue") == ["whatsapp undelivered", "sms delivered"]
    assert case.suppressed() == ["whatsapp invalid"]


def test_a_stop_over_whatsapp_leaves_the_texts(case: Case) -> None:
    case.invoice(customer=phone(HAS_ALL, "whatsapp", "sms"))
    case.world.call("POST", "/sandbox/replies", {"from": HAS_ALL, "body": "STOP", "channel": "whatsapp"})
    case.clock("day 19")

    assert "whatsapp opted_out" in case.suppressed()
    assert case.sent()[-1] == "day 18 sms overdue"
