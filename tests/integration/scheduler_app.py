"""A scheduler on a real database, asked over HTTP."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from services.scheduler.settings import SchedulerSettings
from services.scheduler.wiring import build
from shared.bus.memory import MemoryBus
from shared.bus.port import Bus, Delivery
from shared.db.engine import Database
from shared.documents import Documents
from shared.messages import QUEUES, RemindersDue
from shared.outgoing import LOOPBACK, Allowed, Guard
from shared.settings import LedgerSettings
from shared.web.auth import Keys
from shared.web.service import assemble, key_lookup

KEY = "bootstrap-key-of-a-test"


@dataclass(slots=True)
class Scheduler:
    """`published`: (queue, reminder id) in the order in which they came."""

    http: httpx.AsyncClient
    db: Database
    owner: Database
    asgi: FastAPI
    published: list[tuple[str, int]] = field(default_factory=list)

    async def fetch(self, sql: str, *args: object) -> list[Any]:
        async with self.owner.connection() as connection:
            return list(await connection.fetch(sql, *args))

    async def value(self, sql: str, *args: object) -> Any:
        async with self.owner.connection() as connection:
            return await connection.fetchval(sql, *args)

    async def accept(self, **changes: Any) -> dict[str, Any]:
        """An invoice through POST; answers what the API answers."""
        answer = await self.http.post("/v1/invoices", json=invoice(**changes))
        assert answer.status_code == 201, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def read(self, invoice_id: str = "INV-1") -> dict[str, Any]:
        body: dict[str, Any] = (await self.http.get(f"/v1/invoices/{invoice_id}")).raise_for_status().json()
        return body

    async def ahead(self, interval: str) -> None:
        """Moves business time."""
        await self.value("UPDATE business_clock SET ahead = ahead + $1::text::interval", interval)


@contextlib.asynccontextmanager
async def scheduler(
    dsn: str, folder: Path, *, bus: Bus | None = None, settings: SchedulerSettings | None = None
) -> AsyncIterator[Scheduler]:
    chosen = bus or MemoryBus()
    db, owner = Database(dsn, role="dunnock_scheduler"), Database(dsn, pool_size=3)
    pace = settings or SchedulerSettings(due_poll=0.05, sweep_poll=0.1)
    windows = LedgerSettings(handoff_window=0.2, connect_timeout=0.1)
    guard = Guard(Allowed.parse(LOOPBACK))
    service = build(pace, windows, db, chosen, Documents(folder.as_uri()), guard)
    app = assemble("test", [service], Keys(key_lookup(db), KEY, ttl=0.0))
    running = Scheduler(
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://scheduler.example",
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=60,
        ),
        db,
        owner,
        app,
    )
    try:
        await chosen.start()
        for queue in QUEUES:
            await chosen.consume(queue, _taker(queue, running.published), prefetch=10)
        async with app.router.lifespan_context(app), running.http:
            yield running
    finally:
        await chosen.close()
        await db.close()
        await owner.close()


def _taker(queue: str, published: list[tuple[str, int]]) -> Any:
    async def take(delivery: Delivery) -> None:
        published.extend((queue, one) for one in RemindersDue.decode(delivery.body).ids)
        await delivery.ack()

    return take


CUSTOMER = {
    "customer_id": "C-1",
    "name": "Ana García",
    "timezone": "Europe/Madrid",
    "country": "ES",
    "contact_points": [{"kind": "email", "address": "ana@example.com"}, {"kind": "phone", "address": "+34600111222"}],
}


def invoice(**changes: Any) -> dict[str, Any]:
    """A good invoice, due in the far future; a value of `...` leaves its field out."""
    body = {
        "invoice_id": "INV-1",
        "number": "2026/1",
        "customer": CUSTOMER,
        "issue_date": "2026-01-10",
        "due_date": "2030-03-15",
        "currency": "EUR",
        "amount": "1250.00",
        **changes,
    }
    return {name: value for name, value in body.items() if value is not ...}
