"""Payments as a process of its own: it starts from its settings, and SIGKILL around the commit loses and doubles nothing."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path

import asyncpg
import httpx
import orjson
import pytest

from tests import factories
from tests.integration.payments_running import BEARER, KEY, event, headers, new_secret
from tests.servers import warm
from tests.servers.warm import Forked


@asynccontextmanager
async def process(dsn: str, folder: Path, port: int, **settings: str) -> AsyncIterator[Forked]:
    """`python -m services.payments`, once it answers; killed at the end, if it still lives."""
    environment = {
        "PATH": os.environ["PATH"],
        "DUNNOCK_DATABASE_URL": dsn,
        "DUNNOCK_PUBLIC_URL": "http://127.0.0.1",
        "DUNNOCK_SECRET_KEY": "0123456789abcdef",
        "DUNNOCK_DOCUMENTS_URL": folder.as_uri(),
        "DUNNOCK_API_KEY": KEY,
        "PORT": str(port),
        **settings,
    }
    with (folder / f"payments-{port}.log").open("ab") as log:
        started = warm.start("services.payments", env=environment, log=log)
    try:
        async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False) as client:
            while True:
                assert started.poll() is None, (folder / f"payments-{port}.log").read_text()
                with suppress(httpx.TransportError):
                    if (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                        break
                await asyncio.sleep(0.05)
        yield started
    finally:
        started.kill()
        started.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize(("point", "stored"), [("before_payment_commit", 0), ("after_payment_commit", 1)])
async def test_a_kill_around_the_commit_loses_and_doubles_nothing(
    database_dsn: str, tmp_path: Path, point: str, stored: int
) -> None:
    owner = await asyncpg.connect(database_dsn)
    await owner.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads
    )
    made = await factories.invoice(owner, reminders=2)
    secret, port = new_secret(), free_port()
    raw = orjson.dumps(event("confirmed", "p1", "100.00", invoice_id=made.ref))
    base = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=10) as client:
        flags = {"DUNNOCK_TEST_FLAGS": "1", "DUNNOCK_CRASH_AT": point}
        async with process(database_dsn, tmp_path, port, **flags) as dying:
            put = {"kind": "standard_webhook", "secrets": [secret]}
            assert (await client.put("/v1/sources/bank", json=put, headers=BEARER)).status_code == 201
            with pytest.raises(httpx.TransportError):
                await client.post("/v1/webhooks/bank", content=raw, headers=headers(secret, raw, "e1"))
            assert dying.wait(60) == -signal.SIGKILL
        assert await owner.fetchval("SELECT count(*) FROM payment_event") == stored

        async with process(database_dsn, tmp_path, port) as living:
            answer = await client.post("/v1/webhooks/bank", content=raw, headers=headers(secret, raw, "e1"))
            assert (answer.status_code, answer.json()["repeated"]) == (200, stored == 1)
            living.send_signal(signal.SIGTERM)
            assert living.wait(60) == 0
    assert await owner.fetchval("SELECT count(*) FROM payment_event") == 1
    assert await owner.fetchval("SELECT open_amount FROM installment") == Decimal(0)
    assert await owner.fetchval("SELECT array_agg(DISTINCT state) FROM reminder") == ["cancelled"]
    await owner.close()
