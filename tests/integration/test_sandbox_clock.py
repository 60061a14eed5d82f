"""The movable clock over HTTP, on a timeline whose every instant sends a mail through the real relay."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiosmtplib
import httpx
import pytest

from tests.servers.sandbox import Running, running_sandbox

DAY = timedelta(days=1)


class Days:
    """A ledger in small: mails that fall due at planned instants, a bounce that brings the next one."""

    def __init__(self) -> None:
        self.offset = timedelta()
        self.planned: list[tuple[datetime, str]] = []
        self.visited: list[datetime] = []
        self.smtp_port = 0
        self.sending = 0
        self.stuck = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    async def next_instant(self, before: datetime) -> datetime | None:
        return min((at for at, _ in self.planned if at <= before), default=None)

    async def move_to(self, instant: datetime) -> None:
        self.offset = instant - datetime.now(UTC)
        self.visited.append(instant)
        self._send_due()

    async def quiet(self) -> bool:
        self._send_due()
        return not self.stuck and self.sending == 0

    def plan(self, at: datetime, to: str) -> None:
        self.planned.append((at, to))

    def _send_due(self) -> None:
        now = datetime.now(UTC) + self.offset
        due = [(at, to) for at, to in self.planned if at <= now]
        self.planned = [entry for entry in self.planned if entry not in due]
        for _, to in due:
            self.sending += 1
            task = asyncio.create_task(self._send(to))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, to: str) -> None:
        raw = f"Message-ID: <r1.1@d.example>\r\nTo: {to}\r\n\r\nPay\r\n"
        await aiosmtplib.send(
            raw, sender="b@d.example", recipients=[to], hostname="127.0.0.1", port=self.smtp_port, start_tls=False
        )
        self.sending -= 1


@pytest.fixture
def days() -> Days:
    return Days()


@pytest.fixture
async def running(tmp_path: Path, days: Days) -> AsyncIterator[Running]:
    async with running_sandbox(tmp_path, days, stall_seconds=0.5) as running:
        days.smtp_port = int(running.sandbox.smtp_url.rpartition(":")[2])
        yield running


@pytest.fixture
async def client(running: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=running.url, timeout=20) as client:
        yield client


async def test_every_instant_on_the_way_is_visited_in_order_and_stamped(
    client: httpx.AsyncClient, running: Running, days: Days
) -> None:
    start = await days.now()
    for day in (9, 2, 5):
        days.plan(start + day * DAY, f"day{day}@customer.example")
    answer = await client.post("/sandbox/clock", json={"advance": "P7D"})
    assert answer.status_code == 200
    assert abs(datetime.fromisoformat(answer.json()["now"]) - (start + 7 * DAY)) < timedelta(seconds=20)
    messages = await running.sandbox.store.messages()
    assert [message.to for message in messages] == ["day2@customer.example", "day5@customer.example"]
    assert [(message.sent_at - start).days for message in messages] == [2, 5]
    assert days.visited[:2] == [start + 2 * DAY, start + 5 * DAY]


async def test_time_stands_until_the_bounce_has_arrived(
    client: httpx.AsyncClient, running: Running, days: Days
) -> None:
    days.plan(await days.now() + DAY, "bounce@shop.sandbox.test")
    await client.post("/sandbox/clock", json={"advance": "P2D"})
    assert len(running.bounces.got) == 1
    assert running.sandbox.owes() == 0


async def test_time_moves_to_an_instant_but_never_back(client: httpx.AsyncClient, days: Days) -> None:
    assert (await client.post("/sandbox/clock", json={"to": "2090-12-24T12:00:00+02:00"})).status_code == 200
    now = datetime.fromisoformat((await client.get("/sandbox/clock")).json()["now"])
    assert now >= datetime(2090, 12, 24, 10, tzinfo=UTC)
    back = await client.post("/sandbox/clock", json={"to": "2090-12-24T09:00:00Z"})
    assert (back.status_code, back.headers["content-type"]) == (422, "application/problem+json")
    assert "only moves forward" in back.json()["detail"]


async def test_what_does_not_settle_is_named(client: httpx.AsyncClient, days: Days) -> None:
    days.stuck = True
    answer = await client.post("/sandbox/clock", json={"advance": "PT1H"})
    assert answer.status_code == 503
    assert "reminders stay due, queued or sending" in answer.json()["detail"]


async def test_a_bounce_that_nobody_takes_is_named(client: httpx.AsyncClient, running: Running, days: Days) -> None:
    await running.bounces.stop()
    days.plan(await days.now() + DAY, "bounce@shop.sandbox.test")
    answer = await client.post("/sandbox/clock", json={"advance": "P2D"})
    assert answer.status_code == 503
    assert "the doubles still owe 1" in answer.json()["detail"]


async def test_callers_at_the_same_time_move_one_after_the_other(client: httpx.AsyncClient, days: Days) -> None:
    start = await days.now()
    answers = await asyncio.gather(*(client.post("/sandbox/clock", json={"advance": "P1D"}) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert (await days.now() - start).days == 4


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"advance": "P1D", "to": "2090-01-01T00:00:00Z"},
        {"advance": "3 days"},
        {"advance": "P"},
        {"advance": "P1DT"},
        {"advance": "-P1D"},
        {"advance": 3},
        {"advance": "P99999Y"},
        {"advance": "P999999999999D"},
        {"to": "tomorrow"},
        {"to": "2090-01-01T00:00:00"},
        {"advance": "P1D", "fast": True},
        [],
        "P1D",
    ],
)
async def test_a_malformed_move_is_a_problem_and_moves_nothing(
    client: httpx.AsyncClient, days: Days, body: object
) -> None:
    answer = await client.post("/sandbox/clock", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert days.visited == []


async def test_broken_json_is_a_problem(client: httpx.AsyncClient) -> None:
    answer = await client.post("/sandbox/clock", content=b"{", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


@pytest.mark.parametrize(
    ("duration", "days_later"), [("P3D", 3), ("P2W", 14), ("PT36H", 1.5), ("P1DT12H", 1.5), ("PT0.5S", 0.5 / 86400)]
)
async def test_durations_are_read_as_iso_8601(
    client: httpx.AsyncClient, days: Days, duration: str, days_later: float
) -> None:
    start = await days.now()
    assert (await client.post("/sandbox/clock", json={"advance": duration})).status_code == 200
    assert timedelta() <= await days.now() - start - days_later * DAY < timedelta(seconds=20)
