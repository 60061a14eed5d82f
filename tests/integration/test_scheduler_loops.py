"""The loops: what is due goes out once, what is late finds its time, what was lost comes back."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from services.scheduler.handlers.queue_due import publish
from services.scheduler.settings import SchedulerSettings
from shared.bus.memory import MemoryBus
from shared.bus.rabbitmq import RabbitBus
from tests.integration.scheduler_app import CUSTOMER, Scheduler, invoice, scheduler
from tests.servers import warm

WEEKDAY = "2026-12-15T10:00:00Z"


@pytest.fixture
async def app(database_dsn: str, tmp_path: Path) -> AsyncIterator[Scheduler]:
    async with scheduler(database_dsn, tmp_path) as running:
        yield running


async def until(holds: Callable[[], Any], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.02)


async def set_clock(app: Scheduler, to: str) -> None:
    await app.value("UPDATE business_clock SET ahead = greatest(ahead, $1::text::timestamptz - clock_timestamp())", to)


async def rest(app: Scheduler) -> None:
    """Until nothing is due and nothing wants a plan; what is queued stays so, because nobody claims here."""
    sql = (
        "SELECT NOT EXISTS (SELECT FROM reminder WHERE state = 'pending' AND due_at <= business_now()) "
        "AND NOT EXISTS (SELECT FROM invoice WHERE replan_at <= business_now())"
    )
    await until(lambda: app.value(sql))


async def states(app: Scheduler, step: str, leg: str = "") -> list[tuple[int, str, str | None]]:
    rows = await app.fetch(
        "SELECT occurrence, state, reason FROM reminder WHERE step = $1 AND leg = $2 ORDER BY occurrence, id", step, leg
    )
    return [tuple(row) for row in rows]


async def test_each_due_reminder_is_published_once_on_the_queue_of_its_kind(app: Scheduler):
    await set_clock(app, WEEKDAY)
    await app.accept(issue_date="2026-12-01", due_date="2026-12-21")
    for moment in ("2026-12-16T08:30:00Z", "2026-12-21T08:30:00Z"):
        await set_clock(app, moment)
        await rest(app)

    await until(lambda: app.value("SELECT count(*) = 3 FROM reminder WHERE state = 'queued'"))
    await until(lambda: _published(app, 3))

    names = {row["id"]: row["step"] for row in await app.fetch("SELECT id, step FROM reminder")}
    assert sorted((queue, names[one]) for queue, one in app.published) == [
        ("dispatch.bulk.v1", "deliver-invoice"),
        ("dispatch.bulk.v1", "upcoming"),
        ("dispatch.urgent.v1", "due-today"),
    ]


async def _published(app: Scheduler, count: int) -> bool:
    return len(app.published) >= count


async def test_a_repeat_is_planned_one_occurrence_ahead_and_again_after_each(app: Scheduler):
    await set_clock(app, WEEKDAY)
    await app.accept(issue_date="2026-12-01", due_date="2027-01-11")

    await set_clock(app, "2027-01-21T10:00:00Z")
    await until(lambda: app.value("SELECT count(*) = 2 FROM reminder WHERE step = 'delinquent' AND leg = ''"))
    assert await states(app, "delinquent") == [(1, "queued", None), (2, "pending", None)]
    assert await states(app, "delinquent", "then") == [(1, "waiting", None), (2, "waiting", None)]

    await set_clock(app, "2027-01-28T10:00:00Z")
    await until(lambda: app.value("SELECT count(*) = 3 FROM reminder WHERE step = 'delinquent' AND leg = ''"))


async def test_a_condition_that_does_not_hold_skips_with_its_reason_and_the_next_occurrence_comes(app: Scheduler):
    await set_clock(app, WEEKDAY)
    await app.accept(issue_date="2026-12-01", due_date="2027-01-11", amount="20.00")

    await set_clock(app, "2027-01-21T10:00:00Z")
    await until(lambda: app.value("SELECT count(*) = 2 FROM reminder WHERE step = 'delinquent' AND leg = ''"))

    assert (await states(app, "delinquent"))[0] == (1, "skipped", "condition")
    assert (await states(app, "delinquent", "then"))[0] == (1, "cancelled", "parent_did_not_go")
    names = {row["id"]: row["step"] for row in await app.fetch("SELECT id, step FROM reminder")}
    assert "delinquent" not in {names[one] for _, one in app.published}
    items = (await app.http.get("/v1/invoices/INV-1/timeline")).json()["items"]
    [skipped] = [item for item in items if item["kind"] == "reminder.skipped" and item["data"]["step"] == "delinquent"]
    assert skipped["text"] == (
        "'delinquent' was not sent: its condition does not hold (invoice.open_amount > 20.0: false)"
        " [flow 'standard', version 1]."
    )


async def test_what_falls_due_inside_a_hold_is_skipped_and_the_delivery_waits_for_its_end(app: Scheduler):
    await set_clock(app, WEEKDAY)
    await app.http.put("/v1/customers/C-1", json={name: CUSTOMER[name] for name in ("name", "timezone", "country")})
    await app.http.post("/v1/customers/C-1/hold", json={"reason": "x", "until": "2026-12-23T10:00:00Z"})
    await app.accept(issue_date="2026-12-01", due_date="2026-12-22")

    await set_clock(app, "2026-12-22T09:00:00Z")
    await rest(app)
    assert await states(app, "due-today") == [(1, "skipped", "hold")]
    assert await states(app, "deliver-invoice") == [(1, "pending", None)]
    assert app.published == []

    await set_clock(app, "2026-12-23T10:00:01Z")
    await until(lambda: _published(app, 1))
    assert await states(app, "deliver-invoice") == [(1, "queued", None)]


async def test_a_hold_that_is_resumed_lets_the_delivery_go_at_once(app: Scheduler):
    await app.http.post("/v1/holds", json={"reason": "x"})
    await app.accept()
    await rest(app)
    assert app.published == []

    for hold in (await app.http.get("/v1/holds")).json()["items"]:
        await app.http.delete(f"/v1/holds/{hold['hold_id']}")

    await until(lambda: _published(app, 1))


async def test_what_is_late_finds_the_next_opening_or_is_skipped_by_the_rule(database_dsn: str, tmp_path: Path):
    async with scheduler(database_dsn, tmp_path) as app:
        await set_clock(app, WEEKDAY)
        await app.accept(issue_date="2026-12-01", due_date="2026-12-22")
    async with scheduler(database_dsn, tmp_path, bus=Deaf()) as app:  # nothing is queued while the broker is away
        await set_clock(app, "2026-12-22T20:00:00Z")  # the window of the due day is over
        moved = "SELECT due_at = '2026-12-23T07:00:00Z' FROM reminder WHERE step = 'due-today'"
        await until(lambda: app.value(moved))
        assert await states(app, "upcoming") == [(1, "skipped", "too_late")]

        await set_clock(app, "2027-03-01T10:00:00Z")
        await until(lambda: app.value("SELECT state = 'skipped' FROM reminder WHERE step = 'due-today'"))
        assert [state for _, state, _ in await states(app, "deliver-invoice")] == ["queued"]


class Deaf(MemoryBus):
    def ready(self) -> bool:
        return False


async def test_a_reversal_plans_anew_and_nothing_that_went_out_twice(app: Scheduler):
    await set_clock(app, WEEKDAY)
    await app.accept(issue_date="2026-12-01", due_date="2026-12-22")
    await until(lambda: _published(app, 1))
    await app.fetch(
        "INSERT INTO attempt (reminder_id, fence, invoice_id, channel, contact_point_id, provider, state, lease) "
        "SELECT r.id, 1, r.invoice_id, 'email', (SELECT min(id) FROM contact_point), 'smtp', 'accepted', now() "
        "FROM reminder r WHERE anchor = 'issue'"
    )
    await app.fetch("UPDATE reminder SET state = 'accepted', fence = 1, queued_at = NULL WHERE anchor = 'issue'")
    source = await app.value("INSERT INTO source (ref, kind, config) VALUES ('bank', 'hmac', '{}') RETURNING id")
    for kind, event, amount in (("confirmed", "e1", 1250), ("reversed", "e2", None)):
        await app.fetch(
            "SELECT * FROM record_payment($1, 'P-1', $2, $3, $4::numeric, 'EUR', 'INV-1', NULL, NULL, now(), NULL, NULL, "
            "interval '1 second', NULL)",
            source, kind, event, amount,
        )  # fmt: skip

    await rest(app)

    body = await app.read()
    assert body["status"] == "open"
    live = [row["step"] for row in body["reminders"] if row["state"] in ("pending", "waiting", "queued")]
    assert sorted(live) == ["delinquent", "delinquent.then", "due-today", "overdue", "thank-you", "upcoming"]
    assert [state for _, state, _ in await states(app, "deliver-invoice")] == ["accepted"]
    assert await app.value("SELECT max(generation) FROM reminder WHERE step = 'due-today'") == 1


async def test_a_broken_promise_is_told_once_and_a_kept_one_never(app: Scheduler):
    await set_clock(app, WEEKDAY)
    await app.accept(issue_date="2026-12-01", due_date="2027-01-22")
    await app.accept(invoice_id="INV-2", issue_date="2026-12-01", due_date="2027-01-22")
    for ref in ("INV-1", "INV-2"):
        await app.http.post(f"/v1/invoices/{ref}/promise", json={"date": "2026-12-20"})
    await app.http.post("/v1/invoices/INV-2/void")

    await set_clock(app, "2026-12-20T22:00:00Z")
    assert await app.value("SELECT count(*) FROM event WHERE kind = 'promise.broken'") == 0
    await set_clock(app, "2026-12-21T00:00:00Z")
    await until(lambda: app.value("SELECT count(*) = 1 FROM event WHERE kind = 'promise.broken'"))
    await set_clock(app, "2026-12-22T00:00:00Z")
    await until(lambda: app.value("SELECT count(*) = 0 FROM hold WHERE released_at IS NULL"))

    assert await app.value("SELECT array_agg(i.ref) FROM event e JOIN invoice i ON i.id = e.invoice_id "
                           "WHERE e.kind = 'promise.broken'") == ["INV-1"]  # fmt: skip


async def test_what_was_lost_on_the_bus_is_published_again(database_dsn: str, tmp_path: Path):
    bus = Losing()
    pace = SchedulerSettings(due_poll=0.05, sweep_poll=0.05, republish_after=0.3)
    async with scheduler(database_dsn, tmp_path, bus=bus, settings=pace) as app:
        await app.accept()
        await until(lambda: _lost(bus, 1))
        bus.loses = False
        await until(lambda: _published(app, 1))
        assert await states(app, "deliver-invoice") == [(1, "queued", None)]


async def _lost(bus: "Losing", count: int) -> bool:
    return bus.lost >= count


class Losing(MemoryBus):
    """Confirms what it then loses, as a wiped broker does."""

    loses = True
    lost = 0

    async def publish(self, queue: str, body: bytes, *, timeout: float = 5.0) -> None:
        if self.loses:
            self.lost += 1
        else:
            await super().publish(queue, body, timeout=timeout)


async def test_an_uncertain_delivery_goes_again_after_a_day_and_an_uncertain_reminder_does_not(app: Scheduler):
    await set_clock(app, WEEKDAY)
    await app.accept(issue_date="2026-12-01", due_date="2026-12-22")
    await until(lambda: _published(app, 1))
    await app.fetch(  # a dispatcher claimed both and died; one statement, because the sweeper runs meanwhile
        "WITH claimed AS (UPDATE reminder SET state = 'sending', fence = 1, lease = now(), queued_at = NULL "
        "WHERE step IN ('deliver-invoice', 'upcoming') RETURNING id, invoice_id) "
        "INSERT INTO attempt (reminder_id, fence, invoice_id, channel, contact_point_id, provider, state, lease) "
        "SELECT id, 1, invoice_id, 'email', (SELECT min(id) FROM contact_point), 'smtp', 'started', now() FROM claimed"
    )

    await until(lambda: app.value("SELECT count(*) = 2 FROM reminder WHERE state = 'uncertain'"))
    await set_clock(app, "2026-12-16T12:00:00Z")
    await until(lambda: app.value("SELECT count(*) = 0 FROM reminder WHERE state = 'uncertain'"))
    await until(lambda: _published(app, 2))

    assert [state for _, state, _ in await states(app, "deliver-invoice")] == ["queued"]
    assert [state for _, state, _ in await states(app, "upcoming")] == ["accepted"]


async def test_a_loop_survives_a_database_that_goes_away(app: Scheduler):
    await app.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    async def accepted() -> bool:
        return (await app.http.post("/v1/invoices", json=invoice())).status_code in (200, 201)

    await until(accepted)
    await until(lambda: _published(app, 1))


async def test_two_schedulers_queue_each_row_once(database_dsn: str, tmp_path: Path):
    pace = SchedulerSettings(due_poll=60, sweep_poll=60, due_batch=100)
    quick = SchedulerSettings(due_poll=0.02, sweep_poll=60, due_batch=100)
    count = 1500
    async with scheduler(database_dsn, tmp_path, settings=pace) as app:
        await app.http.post("/v1/holds", json={"reason": "until both run"})
        body = "\n".join(_line(n) for n in range(count))
        await app.http.post(
            "/v1/invoices/import", content=body.encode(), headers={"content-type": "application/x-ndjson"}, timeout=60
        )
        await rest(app)
        await app.fetch("UPDATE hold SET released_at = now()")
        await app.fetch("UPDATE reminder SET due_at = now() - interval '1 second', send_until = 'infinity' "
                        "WHERE anchor = 'issue'")  # fmt: skip
    async with (
        scheduler(database_dsn, tmp_path, settings=quick) as one,
        scheduler(database_dsn, tmp_path, settings=quick) as two,
    ):

        async def all_published() -> bool:
            return len(one.published) + len(two.published) >= count

        await until(all_published, 60)
        ids = [found for _, found in one.published + two.published]
    assert len(set(ids)) == len(ids) == count


def _line(number: int) -> str:
    import json

    return json.dumps(invoice(invoice_id=f"INV-{number}"))


async def test_reminders_reach_a_real_broker(database_dsn: str, tmp_path: Path, fresh_amqp_url: str):
    async with scheduler(database_dsn, tmp_path, bus=RabbitBus(fresh_amqp_url)) as app:
        await app.accept()
        await until(lambda: _published(app, 1))


async def test_a_publish_that_fails_is_no_error(app: Scheduler):
    closed = MemoryBus()

    assert await publish(closed, [(1, True), (2, False)]) == 0


@pytest.mark.parametrize("point", ["before_queue_commit", "after_queue_commit", "after_publish"])
async def test_a_scheduler_killed_anywhere_loses_and_doubles_nothing(
    database_dsn: str, tmp_path: Path, fresh_amqp_url: str, point: str
):
    pace = SchedulerSettings(due_poll=60, sweep_poll=60)
    async with scheduler(database_dsn, tmp_path, bus=Deaf(), settings=pace) as app:
        await app.accept()
    environment = {
        **os.environ,
        "DUNNOCK_DATABASE_URL": database_dsn, "DUNNOCK_AMQP_URL": fresh_amqp_url, "DUNNOCK_PUBLIC_URL": "http://x.example",
        "DUNNOCK_SECRET_KEY": "0123456789abcdef", "DUNNOCK_DOCUMENTS_URL": tmp_path.as_uri(), "PORT": "0",
        "DUNNOCK_TEST_FLAGS": "1", "DUNNOCK_CRASH_AT": point,
    }  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        process = warm.start("services.scheduler", env=environment, log=log)
    try:
        assert process.wait(60) == -signal.SIGKILL
    finally:
        process.kill()

    quick = SchedulerSettings(due_poll=0.05, sweep_poll=0.1, republish_after=0.5)
    async with scheduler(database_dsn, tmp_path, bus=RabbitBus(fresh_amqp_url), settings=quick) as app:
        await until(lambda: _published(app, 1))
        assert {queue for queue, _ in app.published} == {"dispatch.bulk.v1"}
        assert await states(app, "deliver-invoice") == [(1, "queued", None)]
        assert len({one for _, one in app.published}) == 1


async def test_what_rides_on_one_message_is_queued_at_once_however_small_the_batch(database_dsn: str, tmp_path: Path):
    pace = SchedulerSettings(due_poll=0.05, sweep_poll=0.1, due_batch=3)
    async with scheduler(database_dsn, tmp_path, settings=pace) as app:
        await app.http.put("/v1/flows/one-mail", json=GROUPING)
        for number in range(12):
            customer = CUSTOMER | ({} if number % 2 else {"customer_id": "C-2"})
            dates = {"issue_date": "2026-12-01", "due_date": "2026-12-21"}
            await app.accept(invoice_id=f"INV-{number}", customer=customer, flow="one-mail", **dates)

        await set_clock(app, "2026-12-21T09:30:00Z")
        await until(lambda: app.value("SELECT count(*) = 12 FROM reminder WHERE state = 'queued'"))

        told = "SELECT count(DISTINCT r.xmin::text) FROM reminder r JOIN invoice i ON i.id = r.invoice_id GROUP BY i.customer_id"
        assert [1, 1] == [row["count"] for row in await app.fetch(told)]


GROUPING = {
    "name": "one-mail",
    "group": "customer",
    "steps": [{"id": "due", "when": {"on": "due"}, "message": "due-today", "channels": ["email"]}],
}
