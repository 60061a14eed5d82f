"""Customers answer on the page that their message links: and what they say is heeded, day by day."""

import re
from urllib.parse import urlsplit

import httpx
import pytest

from tests.scenarios.story import Case

FIRST, UPCOMING, DUE, LATE = (
    "day 1 email deliver-invoice",
    "day 10 email upcoming",
    "day 15 email due-today",
    "day 18 email overdue",
)


def link(case: Case) -> str:
    """Of the newest message: the page's path."""
    found = re.findall(r"http://\S+/pay/[\w-]{22}(?!\S)", str(case.messages()[-1]["text"]))
    return str(urlsplit(found[0]).path)


def answer(case: Case, what: str, **form: str) -> httpx.Response:
    """By the page's form, as a browser sends it; the page that comes of it."""
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": "null"}
    client = case.world.client
    taken = client.post(f"{link(case)}/{what}", data={"lang": "en", **form}, headers=headers)
    assert taken.status_code == 303, taken.text
    return client.get(taken.headers["location"])


def test_i_have_paid_gives_the_money_five_days(case: Case) -> None:
    case.invoice(due=15)
    case.clock("day 14")
    assert "We have noted that you have paid" in answer(case, "paid").text
    case.clock("day 22")

    assert case.sent() == [FIRST, UPCOMING]  # due-today and overdue fell into those days
    assert [case.state(step) for step in ("due-today", "overdue")] == ["skipped: said_paid", "skipped: said_paid"]
    assert "'due-today' was not sent: the customer says that it is paid (until " in " ".join(case.timeline())


def test_who_has_paid_is_thanked_at_once(case: Case) -> None:
    case.invoice(due=15)
    case.clock("day 14")
    answer(case, "paid")
    case.clock("day 15 10:00")
    case.pay()

    assert case.sent() == [FIRST, UPCOMING, "day 15 email thank-you"]
    assert "All paid. Thank you!" in case.world.client.get(link_of_first(case)).text


def test_a_promise_that_is_kept_ends_in_thanks(case: Case) -> None:
    case.invoice(due=15)
    case.clock("day 12")
    assert "You will pay by" in answer(case, "promise", date1=case.date(20).isoformat(), amount1="").text
    case.clock("day 20 11:00")
    case.pay()
    case.clock("day 33")

    assert case.sent() == [FIRST, UPCOMING, "day 20 email thank-you"]
    assert "day 21: The customer kept the promise." in case.timeline()


def test_a_promise_that_is_broken_goes_on_with_what_comes_next(case: Case) -> None:
    case.invoice(due=15)
    case.clock("day 12")
    answer(case, "promise", date1=case.date(16).isoformat(), amount1="")
    case.clock("day 19")

    assert case.sent()[:2] == [FIRST, UPCOMING]
    assert LATE in case.sent()
    assert case.state("due-today") == "skipped: promise"
    broken = [line for line in case.timeline() if "broken" in line]
    assert broken == ["day 17: The promised day passed without the payment; the promise is broken."]


def test_a_promise_in_parts_is_judged_part_by_part(case: Case) -> None:
    case.invoice(due=15)
    case.clock("day 12")
    parts = {"date1": case.date(16).isoformat(), "amount1": "40", "date2": case.date(30).isoformat(), "amount2": ""}
    assert "You will pay €40.00 by" in answer(case, "promise", **parts).text
    case.clock("day 15")
    case.pay("40.00", "first")
    case.clock("day 24")
    assert case.sent() == [FIRST, UPCOMING]  # the first part came, so the rest is waited for

    case.clock("day 32")
    told = [line for line in case.timeline() if "promise" in line and "stops" not in line and "not sent" not in line]
    assert told == [
        "day 17: The customer kept the promise of 40.00 EUR.",
        "day 31: The promised day passed without the payment; the promise is broken.",
    ]


def test_the_first_part_that_does_not_come_ends_the_whole_promise(case: Case) -> None:
    case.invoice(due=15)
    case.clock("day 12")
    parts = {"date1": case.date(16).isoformat(), "amount1": "40", "date2": case.date(30).isoformat(), "amount2": ""}
    answer(case, "promise", **parts)
    case.clock("day 19")

    assert LATE in case.sent()
    assert case.read()["hold"] is None


def test_a_dispute_stops_this_invoice_and_no_other(case: Case) -> None:
    case.invoice(due=15)
    case.clock("day 9")
    answer(case, "dispute", reason="not_received", note="Nothing came.")
    other = f"{case.ref}-other"
    case.world.call("POST", "/v1/invoices", {**case.body("ana@x.sandbox.test", None, 15, "50.00"), "invoice_id": other})
    case.clock("day 16")

    assert case.sent() == [FIRST]
    found = case.world.call("GET", f"/sandbox/messages?invoice_id={other}")["items"]
    assert [one["step"] for one in found] == ["deliver-invoice", "upcoming", "due-today"]
    [hold] = [one for one in case.world.call("GET", "/v1/holds?limit=200")["items"] if one["invoice_id"] == case.ref]
    assert (hold["kind"], hold["reason"], hold["note"], hold["said_by"]) == (
        "dispute",
        "not_received",
        "Nothing came.",
        "customer",
    )
    case.world.call("POST", f"/v1/invoices/{other}/void")


@pytest.mark.parametrize(("language", "subject"), [("es", "Vence hoy"), ("pt", "Vence hoje")])
def test_the_language_that_is_chosen_is_that_of_the_next_message(case: Case, language: str, subject: str) -> None:
    case.invoice(due=15)
    case.clock("day 11")
    answer(case, "preferences", language=language, channel="")
    case.clock("day 16")

    assert case.messages()[-1]["subject"].startswith(subject)


def test_a_renewed_link_is_the_one_in_the_next_message(case: Case) -> None:
    case.invoice(due=15)
    old = link(case)
    fresh = case.world.call("POST", f"/v1/pay-links/{case.ref}", {})["path"]
    assert case.world.client.get(old).status_code == 404
    case.clock("day 11")

    assert link(case) == fresh
    assert case.world.client.get(fresh).status_code == 200


def link_of_first(case: Case) -> str:
    path = str(case.world.call("GET", f"/v1/pay-links/{case.ref}")["path"])
    return f"{path}?lang=en"
