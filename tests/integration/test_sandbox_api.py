"""The `/sandbox` paths over HTTP: what is listed, how it is joined and paged, and the page that shows it."""

from collections.abc import AsyncIterator, Collection
from pathlib import Path

import aiosmtplib
import httpx
import pytest

from tests.servers.sandbox import Running, running_sandbox

REMINDERS = {1: ("INV-1", "upcoming"), 2: ("INV-2", "delinquent.then"), 3: ("INV-1", "due-today")}


async def reminders(ids: Collection[int]) -> dict[int, tuple[str, str]]:
    return {reminder: REMINDERS[reminder] for reminder in ids if reminder in REMINDERS}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_sandbox(tmp_path, reminders=reminders) as running:
        for reminder in (1, 2, 3, 9):
            await send(running, reminder)
        yield running


@pytest.fixture
async def client(running: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=running.url) as client:
        yield client


async def send(running: Running, reminder: int) -> None:
    raw = (
        f"Message-ID: <r{reminder}.7@dunnock.example>\r\nSubject: Number {reminder}\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Pay</p><script>alert(1)</script>\r\n"
    )
    port = int(running.sandbox.smtp_url.rpartition(":")[2])
    to = f"c{reminder % 2}@customer.example"
    await aiosmtplib.send(raw, sender="b@d.example", recipients=[to], hostname="127.0.0.1", port=port, start_tls=False)


async def ids(client: httpx.AsyncClient, query: str) -> list[str]:
    answer = await client.get(f"/sandbox/messages{query}")
    assert answer.status_code == 200
    return [item["message_id"].partition(".")[0] for item in answer.json()["items"]]


async def test_a_listed_message_has_every_field(client: httpx.AsyncClient) -> None:
    first = (await client.get("/sandbox/messages")).json()["items"][0]
    assert first.pop("sent_at").endswith("+00:00")
    assert first == {
        "message_id": "r1.7@dunnock.example",
        "channel": "email",
        "to": "c1@customer.example",
        "subject": "Number 1",
        "text": "",
        "html": "<p>Pay</p><script>alert(1)</script>\n",
        "attachments": [],
        "pictures": [],
        "status": "accepted",
        "invoice_id": "INV-1",
        "step": "upcoming",
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["r1", "r2", "r3", "r9"]),
        ("?channel=sms", []),
        ("?channel=email&to=C1@customer.example", ["r1", "r3", "r9"]),
        ("?invoice_id=INV-1", ["r1", "r3"]),
        ("?invoice_id=INV-2&to=c0@customer.example", ["r2"]),
        ("?invoice_id=INV-7", []),
    ],
)
async def test_messages_are_filtered_oldest_first(client: httpx.AsyncClient, query: str, expected: list[str]) -> None:
    assert await ids(client, query) == expected


async def test_pages_follow_each_other_without_gap(client: httpx.AsyncClient) -> None:
    first = (await client.get("/sandbox/messages?limit=3")).json()
    assert [item["subject"] for item in first["items"]] == ["Number 1", "Number 2", "Number 3"]
    assert await ids(client, f"?limit=3&cursor={first['next_cursor']}") == ["r9"]
    assert (await client.get("/sandbox/messages")).json()["next_cursor"] is None


@pytest.mark.parametrize("query", ["?limit=0", "?limit=10001", "?limit=x", "?cursor=x", "?cursor=-1"])
async def test_a_malformed_query_is_a_problem(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/sandbox/messages{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


async def test_without_a_timeline_time_is_told_but_not_moved(client: httpx.AsyncClient) -> None:
    assert (await client.get("/sandbox/clock")).json().keys() == {"now"}
    assert (await client.post("/sandbox/clock", json={"advance": "P1D"})).status_code == 503


async def test_the_page_needs_nothing_from_elsewhere_and_nothing_inline(client: httpx.AsyncClient) -> None:
    page = await client.get("/sandbox")
    assert page.status_code == 200
    assert "unsafe" not in page.headers["content-security-policy"]
    for forbidden in ("http://", "https://", "<style", "style=", "onclick", "<script>"):
        assert forbidden not in page.text
    assert (await client.get("/sandbox/page.js")).headers["content-type"].startswith("text/javascript")
    assert (await client.get("/sandbox/page.css")).headers["content-type"].startswith("text/css")


async def test_a_mail_is_shown_under_a_policy_that_runs_nothing(client: httpx.AsyncClient) -> None:
    mail = await client.get("/sandbox/messages/r1.7@dunnock.example/html")
    assert mail.text.startswith("<p>Pay</p>")
    assert mail.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert (await client.get("/sandbox/messages/unknown/html")).status_code == 404


async def test_the_double_of_any_api_keeps_what_comes(client: httpx.AsyncClient) -> None:
    answer = await client.post("/sandbox/http/erp", content=b'{"a": 1}', headers={"Idempotency-Key": "3.1"})
    assert answer.status_code == 202
    (item,) = (await client.get("/sandbox/messages?channel=http")).json()["items"]
    assert (item["to"], item["text"], item["step"]) == ("erp", '{"a": 1}', "due-today")


async def test_a_reply_needs_a_number(client: httpx.AsyncClient) -> None:
    assert (await client.post("/sandbox/replies", json={"from": "Anna", "body": "STOP"})).status_code == 422
    assert (await client.post("/sandbox/replies", json={"from": "+4915112345678", "body": "STOP"})).status_code == 202
