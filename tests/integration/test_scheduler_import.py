"""Many invoices in one body: committed by the thousand, answered line by line, in flat memory."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.scheduler.api.body_lines import LONGEST_LINE, TooLong, lines
from services.scheduler.handlers import import_invoices
from tests.integration.scheduler_app import Scheduler, invoice, scheduler

NDJSON = {"content-type": "application/x-ndjson"}
CSV = {"content-type": "text/csv; charset=utf-8"}
HEADER = "invoice_id,number,issue_date,due_date,currency,amount,customer_id,customer_name,email,phone,attributes.region"


@pytest.fixture
async def app(database_dsn: str, tmp_path: Path) -> AsyncIterator[Scheduler]:
    async with scheduler(database_dsn, tmp_path) as running:
        yield running


async def sent(app: Scheduler, body: Any, headers: dict[str, str]) -> list[dict[str, Any]]:
    answer = await app.http.post("/v1/invoices/import", content=body, headers=headers, timeout=120)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def ndjson(*bodies: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(body).encode() + b"\n" for body in bodies)


def row(nth: int, **changes: str) -> str:
    values = {
        "invoice_id": f"INV-{nth}",
        "number": f"2026/{nth}",
        "issue_date": "2026-01-10",
        "due_date": "2030-03-15",
        "currency": "EUR",
        "amount": "10.00",
        "customer_id": f"C-{nth}",
        "customer_name": "Ana",
        "email": f"ana{nth}@example.com",
        "phone": "",
        "attributes.region": "north",
        **changes,
    }
    return ",".join(values.values())


async def test_good_lines_are_created_bad_ones_told_and_none_disturbs_another(app: Scheduler):
    body = b"\n".join(
        [
            ndjson(invoice()).strip(),
            b"{broken",
            ndjson(invoice(invoice_id="INV-2", amount="-1")).strip(),
            b"",
            ndjson(invoice(invoice_id="INV-3", flow="nobody")).strip(),
            b"[1, 2]",
            ndjson(invoice(invoice_id="INV-4")).strip() + b"\r",
        ]
    )

    answer = await sent(app, body, NDJSON)

    assert [(line["line"], line["invoice_id"], line["status"]) for line in answer] == [
        (1, "INV-1", "created"),
        (2, None, "error"),
        (3, "INV-2", "error"),
        (5, "INV-3", "error"),
        (6, None, "error"),
        (7, "INV-4", "created"),
    ]
    assert [line["problem"]["status"] for line in answer if line["status"] == "error"] == [400, 422, 422, 422]
    assert answer[2]["problem"]["errors"][0]["pointer"] == "/amount"
    assert await app.value("SELECT array_agg(ref ORDER BY ref) FROM invoice") == ["INV-1", "INV-4"]


async def test_the_same_body_again_changes_nothing(app: Scheduler):
    body = ndjson(*(invoice(invoice_id=f"INV-{n}") for n in range(30)))
    first = await sent(app, body, NDJSON)
    before = await app.value("SELECT array_agg(id ORDER BY id) FROM reminder")

    again = await sent(app, body, NDJSON)

    assert {line["status"] for line in first} == {"created"}
    assert {line["status"] for line in again} == {"unchanged"}
    assert await app.value("SELECT array_agg(id ORDER BY id) FROM reminder") == before


async def test_an_id_that_comes_twice_is_judged_by_what_is_stored(app: Scheduler):
    await sent(app, ndjson(invoice()), NDJSON)
    body = ndjson(
        invoice(amount="9.00"),
        invoice(),
        invoice(invoice_id="INV-2"),
        invoice(invoice_id="INV-2"),
        invoice(invoice_id="INV-2", amount="2.00"),
    )

    answer = await sent(app, body, NDJSON)

    assert [line["status"] for line in answer] == ["error", "unchanged", "created", "unchanged", "error"]
    assert [line["problem"]["status"] for line in answer if "problem" in line] == [409, 409]


async def test_csv_rows_become_the_same_invoices(app: Scheduler):
    body = "\n".join([HEADER, row(1, phone="+34600111222"), row(2, email="", customer_name='"García, Ana"'), ""])

    answer = await sent(app, body.encode(), CSV)

    assert [(line["line"], line["status"]) for line in answer] == [(1, "created"), (2, "created")]
    assert await app.value("SELECT name FROM customer WHERE ref = 'C-2'") == "García, Ana"
    assert (await app.read("INV-1"))["attributes"] == {"region": "north"}
    points = (await app.http.get("/v1/customers/C-1")).json()["contact_points"]
    assert [(point["kind"], point["address"]) for point in points] == [
        ("email", "ana1@example.com"),
        ("phone", "+34600111222"),
    ]


async def test_broken_csv_lines_point_at_their_column_and_break_nothing_else(app: Scheduler):
    body = "\n".join(
        [
            HEADER,
            row(1, customer_name='"Ana'),
            row(2) + ",too many",
            row(3, email="not an address"),
            row(4, customer_name="", email="", customer_id="nobody"),
            row(5, amount="1.234,56"),
            row(6, customer_name="Añá"),
        ]
    )

    answer = await sent(app, body.encode() + b"\n\xff\xfe,\n", CSV)

    assert [line["status"] for line in answer] == ["error"] * 5 + ["created", "error"]
    problems = [line["problem"] for line in answer if "problem" in line]
    assert [problem["status"] for problem in problems] == [400, 400, 422, 422, 400, 400]
    assert problems[2]["errors"][0]["pointer"] == "/email"
    assert problems[3]["errors"][0]["pointer"] == "/customer_id"


async def test_text_that_a_spreadsheet_would_run_stays_text(app: Scheduler):
    formula = "=HYPERLINK('http://evil.example')"
    await sent(app, "\n".join([HEADER, row(1, number=formula, customer_name="@SUM(1+1)")]).encode(), CSV)

    assert (await app.read("INV-1"))["number"] == formula


async def test_a_csv_from_a_spreadsheet_may_use_semicolons_and_a_byte_order_mark(app: Scheduler):
    body = "\ufeff" + "\r\n".join([HEADER, row(1)]).replace(",", ";")

    answer = await sent(app, body.encode(), CSV)

    assert [line["status"] for line in answer] == ["created"]


@pytest.mark.parametrize(
    ("header", "status"),
    [("invoice_id,colour\n1,red", 422), ("invoice_id,invoice_id\n1,1", 422), ('"invoice_id\n1', 400), ("", 400)],
)
async def test_a_csv_header_that_cannot_be_read_refuses_the_whole(app: Scheduler, header: str, status: int):
    answer = await app.http.post("/v1/invoices/import", content=header.encode(), headers=CSV)

    assert answer.status_code == status


async def test_another_media_type_is_a_415(app: Scheduler):
    answer = await app.http.post("/v1/invoices/import", content=b"{}", headers={"content-type": "application/json"})

    assert answer.status_code == 415


async def test_a_line_that_is_too_long_is_told_and_the_next_one_taken(app: Scheduler):
    async def body() -> AsyncIterator[bytes]:
        yield ndjson(invoice()) + b'{"number": "'
        for _ in range(LONGEST_LINE // 65_536 + 2):
            yield b"x" * 65_536
        yield b'"}\n' + ndjson(invoice(invoice_id="INV-3"))

    answer = await sent(app, body(), NDJSON)

    assert [(line["line"], line["status"]) for line in answer] == [(1, "created"), (2, "error"), (3, "created")]
    assert answer[1]["problem"]["status"] == 413


async def test_lines_come_out_whole_however_the_body_is_cut():
    text = b"one\n\ntwo\r\n" + b"y" * 12 + b"\nthree"
    for size in range(1, len(text) + 1):

        async def chunks(step: int = size) -> AsyncIterator[bytes]:
            for at in range(0, len(text), step):
                yield text[at : at + step]

        found = [line async for some in lines(chunks(), longest=10) for line in some]
        assert found == [b"one", b"", b"two", TooLong(), b"three"], size


async def test_a_batch_that_the_database_refuses_loses_only_the_line_that_is_to_blame(
    app: Scheduler, monkeypatch: pytest.MonkeyPatch
):
    await app.fetch("ALTER TABLE invoice ADD CONSTRAINT not_seven CHECK (number <> '2026/7')")
    body = ndjson(*(invoice(invoice_id=f"INV-{n}", number=f"2026/{n}") for n in range(20)))

    answer = await sent(app, body, NDJSON)

    assert [line["line"] for line in answer if line["status"] == "error"] == [8]
    assert await app.value("SELECT count(*) FROM invoice") == 19


async def test_lines_are_committed_while_the_body_still_comes(app: Scheduler):
    seen: list[int] = []

    async def body() -> AsyncIterator[bytes]:
        for start in range(0, 3000, 1000):
            yield ndjson(*(invoice(invoice_id=f"INV-{n}") for n in range(start, start + 1000)))
        async with asyncio.timeout(60):
            while await app.value("SELECT count(*) FROM invoice") < 2000:
                await asyncio.sleep(0.05)
        seen.append(await app.value("SELECT count(*) FROM invoice"))
        yield ndjson(invoice(invoice_id="INV-last"))

    answer = await sent(app, body(), NDJSON)

    assert seen[0] >= 2000
    assert len(answer) == 3001
    assert {line["status"] for line in answer} == {"created"}


async def test_a_client_that_goes_away_leaves_whole_batches_and_may_send_again(app: Scheduler):
    whole = ndjson(*(invoice(invoice_id=f"INV-{n}") for n in range(1500)))
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": whole, "more_body": True},
        {"type": "http.disconnect"},
    ]
    headers = {**app.http.headers, **NDJSON}
    scope = {
        "type": "http", "method": "POST", "path": "/v1/invoices/import", "query_string": b"", "http_version": "1.1",
        "scheme": "http", "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(_: object) -> None:
        raise AssertionError("nobody is left to answer")

    await app.asgi(scope, receive, send)

    assert await app.value("SELECT count(*) FROM invoice") == 1000
    answer = await sent(app, whole, NDJSON)
    assert [line["status"] for line in answer] == ["unchanged"] * 1000 + ["created"] * 500
    assert await app.value("SELECT count(*) FROM reminder") == 1500 * 7


async def test_two_imports_of_the_same_file_at_once_store_it_once(app: Scheduler):
    body = ndjson(
        *(invoice(invoice_id=f"INV-{n}", customer={"customer_id": f"C-{n % 7}", "name": "A"}) for n in range(300))
    )
    backwards = b"".join(reversed(body.splitlines(keepends=True)))

    answers = await asyncio.gather(*(sent(app, one, NDJSON) for one in (body, backwards, body)))

    assert sorted(line["status"] for answer in answers for line in answer) == ["created"] * 300 + ["unchanged"] * 600
    assert await app.value("SELECT count(*) FROM reminder") == 300 * 7


async def test_memory_does_not_grow_with_the_body(app: Scheduler, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(import_invoices, "LINES_A_BATCH", 100)

    async def peak(start: int, count: int) -> int:
        async def body() -> AsyncIterator[bytes]:
            for n in range(start, start + count):
                yield ndjson(invoice(invoice_id=f"INV-{n}"))

        tracemalloc.start()
        async with app.http.stream("POST", "/v1/invoices/import", content=body(), headers=NDJSON) as answer:
            assert answer.status_code == 200
            async for _ in answer.aiter_raw():
                pass
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    await peak(0, 300)
    small, large = await peak(1000, 400), await peak(2000, 2000)

    assert large < 1.5 * small + 1_000_000


async def test_a_key_without_the_scope_imports_nothing(app: Scheduler):
    key = (await app.http.post("/v1/api-keys", json={"name": "reader", "scopes": ["invoices:read"]})).json()["key"]
    answer = await app.http.post(
        "/v1/invoices/import", content=ndjson(invoice()), headers={**NDJSON, "Authorization": f"Bearer {key}"}
    )

    assert answer.status_code == 403
    assert isinstance(answer, httpx.Response)
    assert await app.value("SELECT count(*) FROM invoice") == 0
