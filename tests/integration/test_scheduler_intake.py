"""Invoices through POST: what is stored, planned, refused."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.scheduler.api.examples import IN_PARTS, INVOICE
from tests.integration.scheduler_app import CUSTOMER, Scheduler, invoice, scheduler

TABLES = ("invoice", "installment", "reminder", "customer", "contact_point", "event", "hold")


@pytest.fixture
async def app(database_dsn: str, tmp_path: Path) -> AsyncIterator[Scheduler]:
    async with scheduler(database_dsn, tmp_path) as running:
        yield running


async def stored(app: Scheduler) -> dict[str, int]:
    return {table: await app.value(f"SELECT count(*) FROM {table}") for table in TABLES}


def steps(answer: dict[str, Any], state: str | None = None) -> list[str]:
    return [row["step"] for row in answer["reminders"] if state in (None, row["state"])]


async def test_an_accepted_invoice_is_answered_with_its_planned_reminders(app: Scheduler):
    answer = await app.http.post("/v1/invoices", json=invoice())

    assert answer.status_code == 201
    assert answer.headers["Location"] == "/v1/invoices/INV-1"
    body = answer.json()
    assert steps(body, "pending") == ["deliver-invoice", "upcoming", "due-today", "overdue", "delinquent"]
    assert steps(body, "waiting") == ["delinquent.then", "thank-you"]
    assert body["payment_reference"] == "RF47INV1"
    assert [row["due_at"] for row in body["reminders"] if row["step"] == "due-today"] == ["2030-03-15T08:00:00Z"]
    assert (await app.read())["status"] == "open"


async def test_the_examples_of_the_documentation_are_accepted(app: Scheduler):
    first = await app.http.post("/v1/invoices", json=INVOICE)
    second = await app.http.post("/v1/invoices", json=IN_PARTS)

    assert [201, 201] == [first.status_code, second.status_code]
    assert first.json()["document"] == {"filename": "invoice.pdf", "media_type": "application/pdf", "size": 9}


async def test_the_same_invoice_again_is_answered_and_changes_nothing(app: Scheduler):
    first = await app.accept()
    before = await stored(app)

    again = await app.http.post("/v1/invoices", json=invoice(amount="1250"))

    assert again.status_code == 200
    assert [row["reminder_id"] for row in again.json()["reminders"]] == [
        row["reminder_id"] for row in first["reminders"]
    ]
    assert await stored(app) == before


async def test_the_same_id_with_other_content_is_a_conflict_that_changes_nothing(app: Scheduler):
    await app.accept()
    before = await stored(app)

    other = invoice(amount="9.00", customer={**CUSTOMER, "name": "Somebody Else"})
    answer = await app.http.post("/v1/invoices", json=other)

    assert answer.status_code == 409
    assert "INV-1" in answer.json()["detail"]
    assert await stored(app) == before
    assert await app.value("SELECT name FROM customer") == "Ana García"


async def test_each_installment_has_its_own_reminders_and_the_invoice_one_delivery(app: Scheduler):
    parts = [{"due_date": "2030-05-15", "amount": "750.00"}, {"due_date": "2030-03-15", "amount": "500.00"}]

    body = await app.accept(due_date=..., amount=..., installments=parts)

    assert [(part["no"], part["due_date"], part["amount"]) for part in body["installments"]] == [
        (1, "2030-03-15", "500.00"),
        (2, "2030-05-15", "750.00"),
    ]
    assert body["amount"] == "1250.00"
    assert [row["installment"] for row in body["reminders"] if row["step"] == "due-today"] == [1, 2]
    assert steps(body).count("deliver-invoice") == 1


async def test_a_customer_whom_nobody_can_reach_is_accepted(app: Scheduler):
    body = await app.accept(customer={"customer_id": "C-2", "name": "Nobody"})

    assert body["customer_id"] == "C-2"


async def test_an_address_that_is_no_longer_listed_is_retired_and_used_again_when_it_returns(app: Scheduler):
    await app.accept()
    mail = {"kind": "email", "address": "new@example.com"}
    await app.accept(invoice_id="INV-2", customer={**CUSTOMER, "contact_points": [mail]})
    live = "SELECT array_agg(address ORDER BY address) FROM contact_point WHERE retired_at IS NULL"
    assert await app.value(live) == ["new@example.com"]

    await app.accept(invoice_id="INV-3")
    assert await app.value(live) == ["+34600111222", "ana@example.com"]

    await app.accept(invoice_id="INV-4", customer={"customer_id": "C-1", "name": "Ana García"})
    assert await app.value(live) == ["+34600111222", "ana@example.com"]


async def test_an_old_backlog_is_held_and_says_so(app: Scheduler):
    body = await app.accept(issue_date="2020-01-01", due_date="2020-02-01")

    assert body["hold"]["kind"] == "backlog"
    texts = [item["text"] for item in (await app.http.get("/v1/invoices/INV-1/timeline")).json()["items"]]
    assert any("came long after its due date" in text for text in texts)


async def test_a_payment_that_came_first_makes_the_invoice_paid_at_once(app: Scheduler):
    source = await app.value("INSERT INTO source (ref, kind, config) VALUES ('bank', 'hmac', '{}') RETURNING id")
    await app.fetch(
        "SELECT * FROM record_payment($1, 'P-1', 'confirmed', 'e1', 1250, 'EUR', 'INV-1', NULL, NULL, now(), NULL, NULL, "
        "interval '1 second', NULL)",
        source,
    )

    body = await app.accept()

    assert body["status"] == "paid"
    assert body["open_amount"] == "0.00"
    assert "due-today" in steps(body, "cancelled")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"colour": "red"}, "/colour"),
        ({"amount": 12.5}, "/amount"),
        ({"amount": "-1.00"}, "/amount"),
        ({"amount": "NaN"}, "/amount"),
        ({"amount": "0.00"}, "/amount"),
        ({"amount": "1.001"}, "/amount"),
        ({"amount": "1" * 16}, "/amount"),
        ({"currency": "EURO"}, "/currency"),
        ({"currency": "JPY", "amount": "10.5"}, "/amount"),
        ({"due_date": "2026-01-09"}, "/due_date"),
        ({"due_date": "2026-02-30"}, "/due_date"),
        ({"due_date": "2999-01-01"}, "/due_date"),
        ({"due_date": ...}, "/due_date"),
        ({"invoice_id": "a/b"}, "/invoice_id"),
        ({"invoice_id": ...}, "/invoice_id"),
        ({"number": ""}, "/number"),
        ({"customer": ..., "customer_id": "nobody"}, "/customer_id"),
        ({"customer": ...}, "/customer_id"),
        ({"customer_id": "C-2"}, "/customer_id"),
        ({"creditor_id": "nobody"}, "/creditor_id"),
        ({"flow": "nobody"}, "/flow"),
        ({"payment_url": "javascript:alert(1)"}, "/payment_url"),
        ({"payment_url": "https://["}, "/payment_url"),
        ({"installments": [{"due_date": "2030-01-01", "amount": "1.00"}]}, "/due_date"),
        ({"installments": []}, "/installments"),
        ({"customer": {**CUSTOMER, "timezone": "Mars/Base"}}, "/customer/timezone"),
        ({"customer": {**CUSTOMER, "nick": "x"}}, "/customer/nick"),
        ({"customer": {**CUSTOMER, "contact_points": [{"kind": "email", "address": "a\r\nBcc: b@c.de"}]}},
         "/customer/contact_points/0/address"),
        ({"customer": {**CUSTOMER, "contact_points": [{"kind": "phone", "address": "12"}]}},
         "/customer/contact_points/0/address"),
        ({"customer": {**CUSTOMER, "contact_points": [{"kind": "email", "address": "a@b.example", "channels": ["sms"]}]}},
         "/customer/contact_points/0/channels"),
        ({"document": {"filename": "a.pdf", "media_type": "application/pdf", "content_base64": "%%"}},
         "/document/content_base64"),
        ({"document": {"filename": "a.pdf", "media_type": "pdf", "content_base64": "QQ=="}}, "/document/media_type"),
        ({"document": {"filename": "a.pdf", "media_type": "application/pdf"}}, "/document"),
        ({"document": {"filename": "a.pdf", "media_type": "application/pdf", "url": "http://169.254.169.254/"}},
         "/document/url"),
        ({"document": {"filename": "a.pdf", "media_type": "application/pdf", "url": "https://[64:ff9b::a00:1]/a.pdf"}},
         "/document/url"),
        ({"document": {"filename": "a.pdf", "media_type": "application/pdf", "url": "https://0x7f.1/a.pdf"}},
         "/document/url"),
        ({"customer": {**CUSTOMER, "contact_points": [{"kind": "url", "address": "https://169.254.169.254/latest"}]}},
         "/customer/contact_points/0/address"),
        ({"customer": {**CUSTOMER, "contact_points": [{"kind": "push", "address": "{\"endpoint\": 1}"}]}},
         "/customer/contact_points/0/address"),
        ({"attributes": {"text": "x" * 20_000}}, "/attributes"),
    ],
)  # fmt: skip
async def test_a_wrong_value_is_a_422_that_points_at_it_and_stores_nothing(
    app: Scheduler, changes: dict[str, Any], pointer: str
):
    before = await stored(app)

    answer = await app.http.post("/v1/invoices", json=invoice(**changes))

    assert answer.status_code == 422, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert await stored(app) == before


@pytest.mark.parametrize(
    "body", [b"{", b'{"amount": NaN}', b'{"a": 1, "a": 2}', b"[" * 100_000, b"\xff", b'{"number": "\\u0000"}']
)
async def test_what_is_not_json_of_one_meaning_is_a_400(app: Scheduler, body: bytes):
    answer = await app.http.post("/v1/invoices", content=body, headers={"content-type": "application/json"})

    assert answer.status_code == 400
    assert await app.value("SELECT count(*) FROM invoice") == 0


async def test_a_document_over_20_mib_is_a_413(app: Scheduler):
    content = base64.b64encode(b"x" * (20 * 1024 * 1024 + 1)).decode()
    document = {"filename": "a.pdf", "media_type": "application/pdf", "content_base64": content}

    answer = await app.http.post("/v1/invoices", json=invoice(document=document))

    assert answer.status_code == 413
    assert await app.value("SELECT count(*) FROM invoice") == 0


async def test_control_characters_in_a_name_become_blanks(app: Scheduler):
    await app.accept(customer={**CUSTOMER, "name": "Ana\r\nBcc: all@example.com {{7*7}}"})

    assert await app.value("SELECT name FROM customer") == "Ana Bcc: all@example.com {{7*7}}"


async def test_the_same_idempotency_key_has_one_effect_and_one_answer_also_at_the_same_time(app: Scheduler):
    headers = {"Idempotency-Key": "k-1"}

    answers = await asyncio.gather(*(app.http.post("/v1/invoices", json=invoice(), headers=headers) for _ in range(8)))

    assert [201] * 8 == [answer.status_code for answer in answers]
    assert all(answer.json() == answers[0].json() for answer in answers)
    other = await app.http.post("/v1/invoices", json=invoice(invoice_id="INV-2"), headers=headers)
    assert other.status_code == 422
    assert await app.value("SELECT count(*) FROM invoice") == 1


async def test_twenty_senders_of_the_same_invoice_make_one(app: Scheduler):
    answers = await asyncio.gather(*(app.http.post("/v1/invoices", json=invoice()) for _ in range(20)))

    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert (await stored(app))["reminder"] == 7


async def test_what_is_due_at_once_is_published_without_waiting_for_the_next_look(app: Scheduler):
    body = await app.accept()
    delivery = next(row["reminder_id"] for row in body["reminders"] if row["step"] == "deliver-invoice")

    async with asyncio.timeout(10):
        while not app.published:
            await asyncio.sleep(0.01)

    assert app.published == [("dispatch.bulk.v1", delivery)]


async def test_lists_run_page_by_page_and_filter(app: Scheduler):
    for number in range(5):
        await app.accept(invoice_id=f"INV-{number}", due_date=f"2030-03-1{number}")
    await app.http.post("/v1/invoices/INV-4/void")

    first = (await app.http.get("/v1/invoices", params={"limit": 3})).json()
    rest = (await app.http.get("/v1/invoices", params={"limit": 3, "cursor": first["next_cursor"]})).json()
    refs = [item["invoice_id"] for item in first["items"] + rest["items"]]
    assert refs == ["INV-4", "INV-3", "INV-2", "INV-1", "INV-0"]
    assert rest["next_cursor"] is None
    for query, expected in (
        ({"status": "void"}, ["INV-4"]),
        ({"due_to": "2030-03-11"}, ["INV-1", "INV-0"]),
        ({"due_from": "2030-03-13", "status": "open"}, ["INV-3"]),
        ({"customer_id": "nobody"}, []),
    ):
        found = (await app.http.get("/v1/invoices", params=query)).json()["items"]
        assert [item["invoice_id"] for item in found] == expected
    assert (await app.http.get("/v1/invoices", params={"cursor": "%%"})).status_code == 400
    assert (await app.http.get("/v1/invoices", params={"due_to": "soon"})).status_code == 422
    assert (await app.http.get("/v1/invoices/nobody")).status_code == 404


async def test_a_list_without_push_addresses_leaves_the_browser_that_the_customer_subscribed(app: Scheduler):
    await app.accept()
    token = "dA1b2C3d4E5:APA91bHun4MxP5egoKMwt2KZFBaFUH-1RYqx"
    await app.value(
        "INSERT INTO contact_point (customer_id, kind, address) SELECT id, 'push', $1 FROM customer RETURNING id", token
    )

    async def in_use() -> list[str]:
        rows = await app.fetch("SELECT kind FROM contact_point WHERE retired_at IS NULL ORDER BY kind")
        return [row["kind"] for row in rows]

    await app.accept(invoice_id="INV-2", customer={**CUSTOMER, "contact_points": CUSTOMER["contact_points"][:1]})
    assert await in_use() == ["email", "push"]
    other = {"kind": "push", "address": token.replace("APA91", "APA92")}
    await app.accept(invoice_id="INV-3", customer={**CUSTOMER, "contact_points": [other]})
    assert await in_use() == ["push"]
