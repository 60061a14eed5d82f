"""A document that the ERP names by its address."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.http_answers import answering, says
from tests.integration.scheduler_app import Scheduler, invoice, scheduler

PDF = b"%PDF-1.7 the invoice"
NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture
async def app(database_dsn: str, tmp_path: Path) -> AsyncIterator[Scheduler]:
    async with scheduler(database_dsn, tmp_path) as running:
        yield running


def named(port: int, path: str = "/2026-1.pdf") -> dict[str, Any]:
    address = f"http://127.0.0.1:{port}{path}"
    return invoice(document={"filename": "2026-1.pdf", "media_type": "application/pdf", "url": address})


async def test_it_is_fetched_once_and_served_as_if_it_had_been_sent(app: Scheduler):
    async with answering(says("200 OK\r\nContent-Type: text/html", PDF)) as port:
        assert (await app.http.post("/v1/invoices", json=named(port))).status_code == 201

    kept = await app.http.get("/v1/invoices/INV-1/document")
    assert kept.content == PDF
    assert kept.headers["Content-Type"] == "application/pdf"


async def test_the_same_file_sent_as_content_is_the_same_invoice(app: Scheduler):
    async with answering(says("200 OK", PDF)) as port:
        body = named(port)
        assert (await app.http.post("/v1/invoices", json=body)).status_code == 201
        assert (await app.http.post("/v1/invoices", json=body)).status_code == 200

    content = {"filename": "2026-1.pdf", "media_type": "application/pdf"}
    content["content_base64"] = base64.b64encode(PDF).decode()
    assert (await app.http.post("/v1/invoices", json=invoice(document=content))).status_code == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("302 Found\r\nLocation: http://127.0.0.1:1/", 422),
        ("404 Not Found", 422),
        ("200 OK\r\nContent-Encoding: gzip", 503),
        ("429 Too Many Requests", 503),
        ("500 Oops", 503),
    ],
)
async def test_an_answer_that_is_not_the_document_stores_nothing(app: Scheduler, head: str, status: int):
    async with answering(says(head, b"private words")) as port:
        answer = await app.http.post("/v1/invoices", json=named(port))

    assert answer.status_code == status, answer.text
    assert "private words" not in answer.text
    if status == 422:
        assert answer.json()["errors"][0]["pointer"] == "/document/url"
    assert await app.value("SELECT count(*) FROM invoice") == 0


async def test_an_empty_document_is_refused(app: Scheduler):
    async with answering(says("200 OK")) as port:
        answer = await app.http.post("/v1/invoices", json=named(port))
    assert (answer.status_code, answer.json()["detail"]) == (422, "/document: the document is empty")


async def test_a_document_above_20_mib_is_refused_while_it_is_read(app: Scheduler):
    async with answering(says("200 OK", b"x" * (20 * 1024**2 + 1))) as port:
        answer = await app.http.post("/v1/invoices", json=named(port))
    assert answer.status_code == 413


async def test_an_address_where_nobody_answers_may_be_tried_again(app: Scheduler):
    answer = await app.http.post("/v1/invoices", json=named(1))
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "2"


async def test_a_line_of_an_import_may_name_its_document_too(app: Scheduler):
    from shared.kernel import json

    async with answering(says("200 OK", PDF)) as port:
        good, bad = named(port), {**named(port), "invoice_id": "INV-2"}
        bad["document"] = {**bad["document"], "url": "http://10.0.0.1/x.pdf"}
        body = b"\n".join(json.dumps(line) for line in (good, bad))
        answer = await app.http.post("/v1/invoices/import", content=body, headers=NDJSON)

    first, second = (json.loads(line) for line in answer.content.splitlines())
    assert first["status"] == "created"
    assert second["problem"]["errors"][0]["pointer"] == "/document/url"
    assert "private network" in second["problem"]["detail"]
