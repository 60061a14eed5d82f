"""An invoice that nobody pays: what goes out, when, and what the clerk can read about it."""

from collections.abc import Callable

from tests.scenarios.story import Case

NO_PHONE = "failed: no_usable_contact"


def test_an_unpaid_invoice_is_followed_up_to_the_calls_for_which_there_is_no_telephone(case: Case) -> None:
    planned = case.invoice(due=15)
    assert [f"{one['step']} {one['state']}" for one in planned["reminders"]] == [
        "deliver-invoice pending", "upcoming pending", "due-today pending", "overdue pending", "delinquent pending",
        "delinquent.then waiting", "thank-you waiting",
    ]  # fmt: skip
    case.clock("day 33")

    assert case.hours() == [
        "day 1 12:00 email deliver-invoice",
        "day 10 09:00 email upcoming",
        "day 15 09:00 email due-today",
        "day 18 09:00 email overdue",
    ]
    assert [case.state("delinquent", n) for n in (1, 2, 3)] == [NO_PHONE, NO_PHONE, "pending"]
    assert case.state("delinquent.then") == "cancelled: parent_did_not_go"
    told = [line for line in case.timeline() if "'delinquent'" in line]
    assert told == [
        f"day {day}: 'delinquent' reached nobody: there is no address that can be used [flow 'standard', version 1]."
        for day in (25, 32)
    ]


def test_the_mail_carries_the_document_and_the_links(case: Case) -> None:
    document = {"filename": "invoice.pdf", "media_type": "application/pdf", "content_base64": "JVBERi0xLjQKJSVFT0YK"}
    case.invoice(document=document)

    [mail] = case.messages()
    assert mail["attachments"] == [{"filename": "invoice.pdf", "media_type": "application/pdf", "size": 15}]
    assert mail["text"].count("/pay/") == 2
    assert "/u/" in mail["text"]
    paper = case.world.client.get(f"/v1/invoices/{case.ref}/document")
    assert paper.content == b"%PDF-1.4\n%%EOF\n"


def test_every_part_of_an_invoice_is_followed_up_by_its_own_date(case: Case) -> None:
    parts = [{"due_date": case.date(day).isoformat(), "amount": "50.00"} for day in (15, 29)]
    case.invoice(due=None, amount=None, installments=parts)
    case.clock("day 16")
    case.pay("50.00")
    case.clock("day 30")

    assert case.sent() == [
        "day 1 email deliver-invoice",
        "day 10 email upcoming",
        "day 15 email due-today",
        "day 24 email upcoming",
        "day 29 email due-today",
    ]
    assert [part["status"] for part in case.read()["installments"]] == ["paid", "open"]
    case.pay("50.00", payment="p2")
    assert case.sent()[-1] == "day 30 email thank-you"


def test_reminders_go_at_nine_in_the_customers_own_morning(case_in: Callable[[str], Case]) -> None:
    case = case_in("America/Bogota")
    case.invoice(due=15)
    case.clock("day 16")

    assert case.hours()[1:] == ["day 10 09:00 email upcoming", "day 15 09:00 email due-today"]
    assert [one["sent_at"][11:16] for one in case.messages()[1:]] == ["14:00", "14:00"]  # UTC


def test_what_falls_on_a_sunday_goes_before_it_up_to_the_due_date_and_after_it_from_then_on(case: Case) -> None:
    case.invoice(due=14)  # a Sunday
    case.clock("day 16")
    assert case.sent()[1:] == ["day 9 email upcoming", "day 13 email due-today"]

    second = Case(case.world)
    second.invoice(due=11)  # three days later is a Sunday
    second.clock("day 16")
    assert second.sent()[-1] == "day 15 email overdue"
    second.forget()


def test_a_text_message_waits_for_the_morning_in_the_customers_zone(case_in: Callable[[str], Case]) -> None:
    case = case_in("America/Bogota")
    case.clock("day 1 22:00")
    case.invoice(email="bounce@x.sandbox.test", phone="+573001234567")
    case.clock("day 2")

    assert case.hours() == ["day 1 22:00 email deliver-invoice", "day 2 08:00 sms deliver-invoice"]


def test_an_old_backlog_starts_held_and_goes_out_when_a_person_says_so(case: Case) -> None:
    old = case.body("ana@x.sandbox.test", None, -20, "100.00", issue_date=case.date(-40).isoformat())
    answer = case.world.client.post("/v1/invoices/import", json=old, headers={"content-type": "application/x-ndjson"})
    assert answer.json() == {"line": 1, "invoice_id": case.ref, "status": "created"}
    case.clock("day 3")
    assert case.sent() == []
    assert case.read()["hold"]["kind"] == "backlog"

    case.do("resume")
    case.settle()
    assert case.sent() == ["day 3 email deliver-invoice"]
    assert case.read()["hold"] is None
