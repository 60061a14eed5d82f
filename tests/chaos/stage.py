"""One plant on a ground: three services, a provider, a bank; what a test does with them, and what it may conclude."""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from services.dispatcher.domain.tokens import ReturnPaths
from shared.db.embedded import free_port
from tests.chaos.bank import Bank
from tests.chaos.evidence import Evidence, gather
from tests.chaos.ground import Ground, connected
from tests.chaos.ledger import Ledger
from tests.chaos.plant import SERVICES, SLOW, Plant
from tests.chaos.seed import Batch, due_invoices, lay_ground
from tests.servers.postgres import run

SECRET_KEY, MAIL_DOMAIN = "a secret of the chaos tests", "mail.example.com"
WINDOWS = {"LEASE": "4", "SEND_TIMEOUT": "3", "SMTP_TIMEOUT": "3", "HANDOFF_WINDOW": "1.5", "CONNECT_TIMEOUT": "0.75"}
PACE = {"DUE_POLL": "0.1", "SWEEP_POLL": "0.3", "REPUBLISH_AFTER": "1.5", "RECONCILE_SECONDS": "1"}
QUEUE_SETTLED = 4.0
ANSWER_SECONDS = 0.1  # of the provider: long enough that payments arrive in the middle
PROGRESS = """
SELECT count(*) FILTER (WHERE r.state IN ('queued', 'sending') OR (r.state = 'pending' AND r.due_at <= business_now())) AS moving,
       min(r.due_at) FILTER (WHERE r.state = 'pending') AS next,
       (SELECT count(*) FROM attempt a WHERE a.invoice_id = ANY ($1) AND a.state = 'started') AS started
  FROM reminder r WHERE r.invoice_id = ANY ($1)
"""
UNCERTAIN = "SELECT count(*) FROM reminder WHERE invoice_id = ANY ($1) AND state = 'uncertain'"
WAIT_NO_LONGER = "UPDATE business_clock SET ahead = ahead + greatest($1 - business_now(), interval '0')"


@dataclass(frozen=True, slots=True)
class Stage:
    ground: Ground
    plant: Plant
    ledger: Ledger
    bank: Bank
    ready_at: float

    async def due(self, count: int) -> Batch:
        return await due_invoices(self.ground.database, count)

    async def rest(self, batch: Batch) -> None:
        """Waits until everything of the batch that is due has come to rest; what waits for later need not wait."""
        deadline = time.monotonic() + SLOW
        async with connected(self.ground.database) as connection:
            while True:
                seen = await connection.fetchrow(PROGRESS, list(batch.invoices))
                assert seen is not None
                if not seen["moving"] and not seen["started"]:
                    if seen["next"] is None:
                        return
                    await connection.execute(WAIT_NO_LONGER, seen["next"])
                assert time.monotonic() < deadline, f"still on its way: {seen}\n{self._said()}"
                await asyncio.sleep(0.05)

    async def a_day_later(self, batch: Batch) -> None:
        """Waits until nothing of the batch is uncertain any more."""
        deadline = time.monotonic() + SLOW
        async with connected(self.ground.database) as connection:
            await connection.execute("UPDATE business_clock SET ahead = ahead + interval '25 hours'")
            while await connection.fetchval(UNCERTAIN, list(batch.invoices)):
                assert time.monotonic() < deadline, f"still uncertain after a day\n{self._said()}"
                await asyncio.sleep(0.05)
        await self.rest(batch)

    async def handed_over(self, batch: Batch, count: int) -> None:
        """Waits until the provider has begun to take so many of the batch."""
        deadline = time.monotonic() + SLOW
        while sum(line.reminder_id in batch.reminders for line in self.ledger.begun()) < count:
            assert time.monotonic() < deadline, f"fewer than {count} were handed over\n{self._said()}"
            await asyncio.sleep(0.02)

    async def queues_are_on_disk(self) -> None:
        """RabbitMQ 3.10 loses a quorum queue that is younger than about two seconds; see shared/bus/README.md."""
        while time.monotonic() < self.ready_at + QUEUE_SETTLED:
            await asyncio.sleep(0.1)

    async def evidence(self, batch: Batch, *, all_workers_cut_off: bool = False) -> Evidence:
        lost_workers = None if all_workers_cut_off else self.plant.killed
        async with connected(self.ground.database) as connection:
            return await gather(connection, batch, self.ledger, self.bank.acknowledged, lost_workers)

    def _said(self) -> str:
        return "\n".join(one.last_words() for one in self.plant.processes if one.runs)


@contextmanager
def stage(
    ground: Ground, *, services: Sequence[str] = SERVICES, answer_seconds: float = ANSWER_SECONDS
) -> Iterator[Stage]:
    """All of it started and ready, a process for each name; all of it gone afterwards."""
    folder = ground.folder / f"stage-{os.urandom(3).hex()}"
    (folder / "documents").mkdir(parents=True)
    port = free_port()
    own = {
        "DATABASE_URL": ground.database,
        "AMQP_URL": ground.broker.url,
        "SMTP_URL": f"smtp://127.0.0.1:{port}?tls=none",
        "PUBLIC_URL": "https://pay.example.com",
        "SECRET_KEY": SECRET_KEY,
        "DOCUMENTS_URL": (folder / "documents").as_uri(),
        "MAIL_DOMAIN": MAIL_DOMAIN,
        "LOG_LEVEL": "warning",
    }
    settings = {f"DUNNOCK_{name}": value for name, value in (own | WINDOWS | PACE).items()}
    plant = Plant(folder, settings)
    ledger = Ledger(folder / "ledger", ReturnPaths(SECRET_KEY.encode(), MAIL_DOMAIN))
    bank = Bank(lambda: [one for one in plant.processes if one.name == "payments"][-1].url)
    try:
        run(lay_ground(ground.database))
        plant.launch("provider", port, "tests.chaos.provider", str(folder / "ledger"), str(port), str(answer_seconds))
        run(plant.ready(*(plant.start(service) for service in services)))
        yield Stage(ground, plant, ledger, bank, time.monotonic())
    finally:
        plant.end()
