"""Announcements from the timeline to an ERP that listens, with nothing between but the two loops of payments."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg

from services.payments.handlers.deliver_announcements import Announcer
from services.payments.handlers.derive_announcements import derive_announcements
from shared.outgoing import LOOPBACK, Allowed, Guard, guarded_client
from tests import factories
from tests.doubles.erp_ears import ErpEars
from tests.integration.payments_running import BEARER, Payments

PATH = "/v1/webhook-endpoints"


@dataclass
class Announcing:
    """`entry` writes to the timeline as some service would; `pass_on` derives and delivers what is due now."""

    payments: Payments
    announcer: Announcer
    invoices: dict[str, factories.Made] = field(default_factory=dict)

    async def endpoint(self, ears: ErpEars, **body: Any) -> int:
        made = await self.payments.http.post(PATH, json={"url": ears.url, **body}, headers=BEARER)
        assert made.status_code == 201, made.text
        ears.secrets.append(made.json()["secret"])
        found: int = made.json()["endpoint_id"]
        return found

    async def call(self, endpoint: int, verb: str, body: Any = None, status: int = 200) -> Any:
        answer = await self.payments.http.post(f"{PATH}/{endpoint}/{verb}", json=body, headers=BEARER)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def state(self, endpoint: int) -> Any:
        return await self.payments.get(f"{PATH}/{endpoint}")

    async def log(self, endpoint: int, **query: Any) -> list[dict[str, Any]]:
        """The oldest first."""
        answer = await self.payments.get(f"{PATH}/{endpoint}/deliveries", **query)
        return list(reversed(answer["items"]))

    async def invoice(self) -> factories.Made:
        return await factories.invoice(self.payments.owner)

    async def entry(self, made: factories.Made, kind: str, **data: Any) -> None:
        await write_entry(self.payments.owner, made.id, kind, **data)

    async def pass_on(self) -> int:
        """How many were made. Waits for what is open."""
        made = await derive_announcements(self.payments.db)
        await self.announcer.deliver()
        return made

    async def time_passes(self, span: timedelta) -> None:
        """For what waits for another try, and for endpoints that fail."""
        await self.payments.owner.execute(
            """
            WITH d AS (UPDATE outbound_delivery SET due_at = due_at - $1::interval, first_at = first_at - $1::interval)
            UPDATE webhook_endpoint SET retry_at = retry_at - $1::interval, failing_since = failing_since - $1::interval
            """,
            span,
        )


async def write_entry(connection: asyncpg.Connection, invoice_id: int, kind: str, **data: Any) -> int:
    made: int = await connection.fetchval(
        "INSERT INTO event (invoice_id, kind, data) VALUES ($1, $2, $3) RETURNING id", invoice_id, kind, data
    )
    return made


@contextlib.asynccontextmanager
async def announcing(payments: Payments, timeout: float = 5.0) -> AsyncIterator[Announcing]:
    client = guarded_client(Guard(Allowed.parse(LOOPBACK)), timeout=timeout, connections=80)
    announcer = Announcer(payments.db, client, timeout)
    try:
        yield Announcing(payments, announcer)
    finally:
        await announcer.close()
