"""The same invoices, foreseen and for real: the messages of each day, by channel, are those that the dry run said.

Five flows walk the same days side by side, on the ledger, with the loops of the scheduler and a dispatcher that sends.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.scheduler.settings import SchedulerSettings
from tests.integration.dispatcher_running import Dispatcher, running
from tests.integration.scheduler_app import Scheduler, scheduler

START, DAYS = datetime(2027, 3, 1, 5, tzinfo=UTC), 26  # a Monday; the clocks change on the way
ZONE = ZoneInfo("Europe/Madrid")
CAPS = {"per_day": 1, "per_week": 3}
FLOWS: dict[str, dict[str, Any]] = {
    "plain": {},
    "grouped": {"group": "customer"},
    "capped": {"caps": CAPS},
    "grouped-and-capped": {"group": "customer", "caps": CAPS},
    "spaced": {
        "caps": {"gap": "PT20H"},
        "group": "customer",
        "channel_windows": {"sms": {"from": "10:00", "to": "12:00"}},
    },
}
WENT = """
SELECT (a.at AT TIME ZONE 'Europe/Madrid')::date, a.channel, a.carried_by IS NOT NULL, a.cost, f.name, r.step
  FROM attempt a JOIN reminder r ON r.id = a.reminder_id JOIN flow_version f ON f.id = r.flow_version_id
 WHERE a.state IN ('accepted', 'delivered')
"""
LEFT_OUT = """
SELECT f.name, r.step, r.reason, count(*) FROM reminder r JOIN flow_version f ON f.id = r.flow_version_id
 WHERE r.state IN ('skipped', 'failed') GROUP BY 1, 2, 3
"""
QUEUED = "SELECT id FROM reminder WHERE state = 'queued' ORDER BY urgent DESC, due_at, id LIMIT 50"
NEXT = "SELECT min(due_at) FROM reminder WHERE state = 'pending'"
RESTS = """
SELECT NOT EXISTS (SELECT FROM reminder WHERE state IN ('queued', 'sending') OR (state = 'pending' AND due_at <= business_now()))
"""


def flow(**top: Any) -> dict[str, Any]:
    def step(name: str, days: int, **more: Any) -> dict[str, Any]:
        when = {"on": "due"} if days == 0 else {"days": abs(days), "after" if days > 0 else "before": "due"}
        return {"id": name, "when": when, "message": name, "channels": ["email", "sms"], **more}

    window = {"from": "09:00", "to": "13:00", "days": "mon-fri"}
    calls = {"message": "overdue", "channels": ["sms", "email"], "then": {"message": "pay-link", "channels": ["email"]}}
    steps = [
        {
            "id": "deliver",
            "when": {"on": "issue"},
            "message": "invoice",
            "channels": ["email", "sms"],
            "requires_open": False,
        },
        step("upcoming", -4),
        step("due-today", 0),
        step("overdue", 3, only_if="history.sent < 9"),
        step("again", 8, repeat={"every": 7, "until": "paid", "times": 3}, **calls),
    ]
    return {"contact_window": window, "catch_up": {"missed": "latest_only", "max_late": "P2D"}, "steps": steps, **top}


@dataclass(slots=True)
class Both:
    """One database: `plans` foresees and queues, `sends` sends."""

    plans: Scheduler
    sends: Dispatcher

    async def dry_run(self, name: str) -> dict[str, Any]:
        answer = await self.plans.http.post("/v1/flows/dry-run", json={"flow": name, "days": DAYS, "following": name})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def to(self, moment: datetime) -> None:
        await self.plans.value("UPDATE business_clock SET ahead = $1::timestamptz - clock_timestamp()", moment)

    async def walk(self, until: datetime) -> None:
        """From one due moment to the next, each to its end."""
        await self._rest()
        while (due := await self.plans.value(NEXT)) is not None and due <= until:
            await self.to(due)
            await self._rest()

    async def _rest(self) -> None:
        async with asyncio.timeout(60):
            while not await self.plans.value(RESTS):
                queued = [row[0] for row in await self.plans.fetch(QUEUED)]
                if queued:
                    await self.sends.send(*queued)
                else:
                    await asyncio.sleep(0.01)


@pytest.fixture
async def both(database_dsn: str, tmp_path: Path) -> AsyncIterator[Both]:
    async with AsyncExitStack() as stack:
        sends = await stack.enter_async_context(running(database_dsn, tmp_path / "sends"))
        plans = await stack.enter_async_context(
            scheduler(database_dsn, tmp_path / "plans", settings=SchedulerSettings(due_poll=0.02, sweep_poll=60))
        )
        found = Both(plans, sends)
        await found.to(START)
        yield found


def invoices(name: str) -> Iterator[dict[str, Any]]:
    """Of three customers: one who owes a lot at once, one by phone alone, one with an invoice of another creditor."""
    for number, (customer, due) in enumerate(
        [
            ("a", 5),
            ("a", 5),
            ("a", 6),
            ("a", 9),
            ("a", 12),
            ("b", 7),
            ("b", 8),
            ("b", 8),
            ("c", 10),
            ("c", 10),
            ("c", 10),
        ]
    ):
        phone = {"kind": "phone", "address": f"+3460011{number:02}{len(name):02}"}
        email = {"kind": "email", "address": f"{customer}@{name}.example.com"}
        yield {
            "invoice_id": f"{name}-{number}",
            "number": f"{number}",
            "creditor_id": "other" if number == 10 else "default",
            "customer": {
                "customer_id": f"{name}-{customer}",
                "name": "Ana",
                "timezone": ZONE.key,
                "country": "ES",
                "contact_points": [phone if customer == "b" else email],
            },
            "issue_date": "2027-03-01",
            "due_date": (date(2027, 3, 1) + timedelta(days=due)).isoformat(),
            "currency": "EUR",
            "amount": "100.00",
            "flow": name,
        }


def counted(body: dict[str, Any]) -> dict[tuple[str, str], int]:
    return {(one["date"], one["channel"]): one["messages"] for one in body["sends"]}


async def test_what_a_dry_run_says_of_each_day_is_what_that_day_brings(both: Both) -> None:
    await both.plans.http.put("/v1/creditors/other", json={"name": "Other Ltd"})
    for name, top in FLOWS.items():
        answer = await both.plans.http.put(f"/v1/flows/{name}", json=flow(**top))
        assert answer.status_code == 201, answer.text
        for body in invoices(name):
            await both.plans.accept(**body)
    foreseen = {name: await both.dry_run(name) for name in FLOWS}

    await both.walk(START + timedelta(days=DAYS))

    went = [tuple(row) for row in await both.plans.fetch(WENT)]
    skipped = await both.plans.fetch(LEFT_OUT)
    for name, said in foreseen.items():
        mine = [row for row in went if row[4] == name]
        assert counted(said) == Counter((str(day), channel) for day, channel, rides, *_ in mine if not rides), name
        rode = {one["step"]: one["reminders"] for one in said["rode_along"]}
        assert rode == Counter(row[5] for row in mine if row[2]), name
        left_out = {(one["step"], one["reason"]): one["reminders"] for one in said["skipped"]}
        assert left_out == {(step, reason): n for flow_name, step, reason, n in skipped if flow_name == name}, name
        mails = sum(Decimal(one["cost"]) for one in said["sends"] if one["channel"] == "email")
        assert mails == sum(row[3] for row in mine if row[1] == "email"), name
    assert {name for name, said in foreseen.items() if said["rode_along"]} == {
        "grouped",
        "grouped-and-capped",
        "spaced",
    }
    assert {name for name, said in foreseen.items() if "cap" in {one["reason"] for one in said["moved"]}} == {
        "capped", "grouped-and-capped", "spaced",
    }  # fmt: skip
