"""What is asked of a polled source, and what its answers mean."""

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from services.payments.domain.poll_settings import HttpPollSettings, without_secrets
from services.payments.domain.polling import Debt, Open, Unknown, questions, words


def settings(**more: Any) -> HttpPollSettings:
    base = {
        "kind": "http_poll",
        "url": "https://erp.example.com/i/{invoice_id}",
        "read": {"open_amount": "open", "paid": "paid"},
    }
    return HttpPollSettings.model_validate(base | more)


def debt(number: int, customer: str = "c/1", currency: str = "EUR") -> Debt:
    return Debt(number, f"INV:{number}", f"No {number}", f"RF{number}", currency, customer)


BATCH = {"url": "https://erp.example.com/open?c={customer_id}&i={invoice_ids}", "items": "items", "invoice_id": "id"}


def test_one_question_an_invoice_with_its_ids_escaped() -> None:
    asked = list(questions(settings(), [debt(1), debt(2)]))
    assert [one.url for one in asked] == ["https://erp.example.com/i/INV%3A1", "https://erp.example.com/i/INV%3A2"]


def test_one_question_a_customer_where_the_source_takes_several() -> None:
    debts = [debt(1), debt(2, "c2"), debt(3)]
    asked = list(questions(settings(batch=BATCH), debts))
    assert [one.url for one in asked] == [
        "https://erp.example.com/open?c=c%2F1&i=INV%3A1%2CINV%3A3",
        "https://erp.example.com/open?c=c2&i=INV%3A2",
    ]
    assert [[one.id for one in question.debts] for question in asked] == [[1, 3], [2]]


def test_a_batch_takes_no_more_than_its_most() -> None:
    asked = list(questions(settings(batch={**BATCH, "most": 2}), [debt(n) for n in range(5)]))
    assert [len(one.debts) for one in asked] == [2, 2, 1]


def test_a_body_is_filled_in_and_stays_json() -> None:
    body = {"query": {"id": '{invoice_id} "{customer_id}"', "deep": ["{number}", 1]}}
    (asked,) = questions(settings(method="POST", body=body), [debt(1, 'c"2')])
    assert asked.body == rb'{"query":{"id":"INV:1 \"c\"2\"","deep":["No 1",1]}}'


@pytest.mark.parametrize(
    ("answer", "currency", "reading", "word"),
    [
        ({"open": "12.50"}, "EUR", {"open_amount": "open"}, Open(Decimal("12.50"))),
        ({"open": 12.5}, "EUR", {"open_amount": "open"}, Open(Decimal("12.5"))),
        ({"open": 0}, "EUR", {"open_amount": "open"}, Open(Decimal(0))),
        ({"open": 1250}, "EUR", {"open_amount": "open", "amount": "minor"}, Open(Decimal("12.50"))),
        ({"open": 1250}, "JPY", {"open_amount": "open", "amount": "minor"}, Open(Decimal(1250))),
        ({"open": 1250.0}, "EUR", {"open_amount": "open", "amount": "minor"}, Open(Decimal("12.50"))),
        ({"state": "PAID"}, "EUR", {"paid": "state == 'PAID'"}, Open(Decimal(0))),
        ({"state": "SENT"}, "EUR", {"paid": "state == 'PAID'"}, Open(None)),
        ({"open": None, "paid": True}, "EUR", {"open_amount": "open", "paid": "paid"}, Open(Decimal(0))),
        ({"open": "5.00", "cur": "EUR"}, "EUR", {"open_amount": "open", "currency": "cur"}, Open(Decimal("5.00"))),
    ],
)
def test_an_answer_is_read(answer: Any, currency: str, reading: dict[str, str], word: Open) -> None:
    asked = settings(read=reading)
    (question,) = questions(asked, [debt(1, currency=currency)])
    assert words(asked, question, answer) == {1: word}


@pytest.mark.parametrize(
    "answer",
    [{}, None, [], "paid", {"open": "a lot"}, {"open": "NaN"}, {"open": -1}, {"open": "12.505"}, {"open": True},
     {"paid": "yes"}, {"paid": 1}, {"open": "1e400"}, {"open": {"value": 1}}, {"open": "1_250"}],
)  # fmt: skip
def test_what_cannot_be_read_is_no_answer(answer: Any) -> None:
    asked = settings()
    (question,) = questions(asked, [debt(1)])
    assert isinstance(words(asked, question, answer)[1], Unknown)


@pytest.mark.parametrize(
    "amount", [0.75, 1250.5, "0.75", "1_250", "12 50", "1e-1", "1e999999999", "1e-999999999", "1e15", "9" * 5000]
)
def test_smallest_units_with_a_fraction_are_no_answer_and_pay_nothing(amount: Any) -> None:
    asked = settings(read={"open_amount": "open", "amount": "minor"})
    (question,) = questions(asked, [debt(1)])
    assert isinstance(words(asked, question, {"open": amount})[1], Unknown)


def test_another_currency_is_no_answer() -> None:
    asked = settings(read={"open_amount": "open", "currency": "cur"})
    (question,) = questions(asked, [debt(1)])
    for said in ({"open": "0", "cur": "USD"}, {"open": "0"}):
        assert isinstance(words(asked, question, said)[1], Unknown)


def test_what_is_missing_in_a_list_is_what_the_settings_say() -> None:
    answer = {"items": [{"id": "INV:1", "open": "3.00"}, {"id": "INV:9", "open": "1.00"}]}
    for missing, word in (("paid", Open(Decimal(0))), ("unknown", Unknown("it is not in the list"))):
        asked = settings(batch={**BATCH, "missing": missing})
        (question,) = questions(asked, [debt(1), debt(2)])
        assert words(asked, question, answer) == {1: Open(Decimal("3.00")), 2: word}


def test_an_error_page_with_a_list_nowhere_pays_nothing() -> None:
    asked = settings(batch={**BATCH, "missing": "paid"})
    (question,) = questions(asked, [debt(1)])
    assert isinstance(words(asked, question, {"error": "maintenance"})[1], Unknown)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"url": "https://erp.example.com/i"}, "{invoice_id}"),
        ({"url": "https://erp.example.com/i/{id}"}, "no other placeholder"),
        ({"url": "https://{invoice_id}.example.com/"}, "host without placeholders"),
        ({"url": "ftp://erp.example.com/{invoice_id}"}, "must begin with https://"),
        ({"read": {}}, "'open_amount' or 'paid'"),
        ({"read": {"open_amount": "open["}}, "JMESPath"),
        ({"batch": {**BATCH, "url": "https://erp.example.com/all"}}, "{customer_id}"),
        ({"headers": {"Host": "other"}}, "header"),
        ({"headers": {"X-A": "b\r\nX-C: d"}}, "printable"),
        ({"timeout_seconds": 31}, "less than or equal to 30"),
    ],
)
def test_settings_that_could_not_be_asked_with_are_refused(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(**changed)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("url", "shown", "secrets"),
    [
        ("https://erp.test/i/{invoice_id}", "https://erp.test/i/{invoice_id}", 0),
        ("https://erp.test/i@x/{number}?", "https://erp.test/i@x/{number}?", 0),
        ("https://me:pw@erp.test/?i={number}", "https://***@erp.test/?i={number}", 1),
        ("https://erp.test/?k=a=b&i={number}&d=&t=c", "https://erp.test/?k=***&i={number}&d=&t=***", 2),
        ("https://erp.test/{number}?key", "https://erp.test/{number}?***", 1),
    ],
)
def test_what_a_url_keeps_secret_is_not_shown(url: str, shown: str, secrets: int) -> None:
    assert without_secrets(url) == (shown, secrets)
