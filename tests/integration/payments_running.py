"""The payments service over a real database, and a bank that signs with the package that we do not verify with."""

import base64
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
from fastapi import FastAPI
from standardwebhooks.webhooks import Webhook

from services.payments import wiring
from services.payments.settings import PaymentsSettings
from shared.db.engine import Database
from shared.documents import Documents
from shared.outgoing import LOOPBACK, Allowed, Guard
from shared.settings import LedgerSettings
from shared.web.auth import Keys
from shared.web.service import assemble, key_lookup
from tests import factories

KEY = "bootstrap-key-of-tests"
BEARER = {"Authorization": f"Bearer {KEY}"}


def new_secret() -> str:
    return "whsec_" + base64.b64encode(os.urandom(24)).decode()


def headers(secret: str, body: bytes, event: str, at: datetime | None = None) -> dict[str, str]:
    at = at or datetime.now(UTC)
    return {
        "webhook-id": event,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(event, at, body.decode()),
        "content-type": "application/json",
    }


def event(kind: str, payment_id: str, amount: str | None = None, **data: Any) -> dict[str, Any]:
    said = {"payment_id": payment_id, **data}
    if amount is not None:
        said |= {"amount": amount, "currency": data.get("currency", "EUR")}
    return {"type": f"payment.{kind}", "timestamp": "2026-11-22T10:00:00Z", "data": said}


@dataclass
class Payments:
    """`owner` may write everything; `http` speaks to the service; `secret` is that of the source `bank`."""

    db: Database
    owner: asyncpg.Connection
    http: httpx.AsyncClient
    secret: str
    documents: Documents
    app: FastAPI

    async def say(
        self, body: dict[str, Any] | bytes, *, event_id: str | None = None, secret: str | None = None
    ) -> httpx.Response:
        """A signed webhook of the bank."""
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        signed = headers(secret or self.secret, raw, event_id or factories.unique("msg"))
        return await self.http.post("/v1/webhooks/bank", content=raw, headers=signed)

    async def upload(self, file: bytes, **query: str) -> httpx.Response:
        """A statement file of the bank."""
        return await self.http.post("/v1/statements", content=file, params=query, headers=BEARER)

    async def book(self, file: bytes) -> dict[str, int]:
        """What a file did: the counts that are not zero."""
        answer = await self.upload(file)
        assert answer.status_code == 200, answer.text
        return {name: value for name, value in answer.json().items() if isinstance(value, int) and value}

    async def open_amounts(self, invoice_id: int) -> list[Decimal]:
        rows = await self.owner.fetch(
            "SELECT open_amount FROM installment WHERE invoice_id = $1 ORDER BY no", invoice_id
        )
        return [row[0] for row in rows]

    async def reminders(self, invoice_id: int) -> list[tuple[str, str, str | None]]:
        rows = await self.owner.fetch(
            "SELECT step, state, reason FROM reminder WHERE invoice_id = $1 ORDER BY id", invoice_id
        )
        return [tuple(row) for row in rows]

    async def invoice(self, invoice_id: int) -> asyncpg.Record:
        row = await self.owner.fetchrow("SELECT * FROM invoice WHERE id = $1", invoice_id)
        assert row is not None
        return row

    async def payment(self, payment_ref: str) -> asyncpg.Record:
        row = await self.owner.fetchrow("SELECT * FROM payment WHERE payment_ref = $1", payment_ref)
        assert row is not None
        return row

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.http.get(path, params=query, headers=BEARER)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def counts(self) -> tuple[int, int]:
        """(payment events, payments)"""
        row = await self.owner.fetchrow("SELECT (SELECT count(*) FROM payment_event), (SELECT count(*) FROM payment)")
        assert row is not None
        return row[0], row[1]


@contextlib.asynccontextmanager
async def payments_running(
    dsn: str, folder: Path, *, window: float = 0.4, pool_size: int = 5, public_url: str = "http://test"
) -> AsyncIterator[Payments]:
    db = wiring.open_database(dsn, pool_size)
    owning = Database(dsn, pool_size=2)
    documents = Documents(folder.as_uri())
    ledger = LedgerSettings(handoff_window=window, connect_timeout=window / 2)
    service = wiring.build(PaymentsSettings(), ledger, db, documents, Guard(Allowed.parse(LOOPBACK)), public_url)
    app = assemble("Payments", [service], Keys(key_lookup(db), KEY))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    secret = new_secret()
    try:
        async with owning.connection() as owner, httpx.AsyncClient(base_url="http://test", transport=transport) as http:
            running = Payments(db, owner, http, secret, documents, app)
            put = {"kind": "standard_webhook", "secrets": [secret]}
            assert (await http.put("/v1/sources/bank", json=put, headers=BEARER)).status_code == 201
            yield running
    finally:
        await service.stop()
        await db.close()
        await owning.close()
