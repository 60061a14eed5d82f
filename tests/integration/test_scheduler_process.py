"""The scheduler as a process: what stops it at start, and what it prepares."""

import asyncio
import os
import sys
from pathlib import Path

import httpx
import pytest

from services.scheduler.handlers.prepare import prepare
from services.scheduler.settings import SchedulerSettings
from shared.db.embedded import free_port
from shared.db.engine import Database
from tests.servers import warm

GOOD = {
    "DUNNOCK_DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/x",
    "DUNNOCK_AMQP_URL": "amqp://u:hunter2@127.0.0.1:1/",
    "DUNNOCK_PUBLIC_URL": "http://127.0.0.1:1",
    "DUNNOCK_SECRET_KEY": "0123456789abcdef",
    "DUNNOCK_DOCUMENTS_URL": "file:///nowhere",
}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"DUNNOCK_DATABASE_URL": ""}, "DUNNOCK_DATABASE_URL"),
        ({"DUNNOCK_AMQP_URL": "http://u:hunter2@x/"}, "DUNNOCK_AMQP_URL"),
        ({"DUNNOCK_CREDITOR_TIMEZONE": "Mars/Base"}, "DUNNOCK_CREDITOR_TIMEZONE"),
        ({"DUNNOCK_CREDITOR_COUNTRY": "Germany"}, "DUNNOCK_CREDITOR_COUNTRY"),
        ({"DUNNOCK_DUE_BATCH": "many"}, "DUNNOCK_DUE_BATCH"),
        ({"DUNNOCK_LEASE": "0.5"}, "DUNNOCK_LEASE"),
    ],
)
def test_a_wrong_setting_stops_it_by_name_and_without_a_secret(tmp_path: Path, changes: dict[str, str], named: str):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DUNNOCK_")}

    with (tmp_path / "log").open("wb") as log:
        process = warm.start("services.scheduler", env={**kept, **GOOD, **changes}, log=log)
    try:
        ended = process.wait(60)
    finally:
        process.kill()

    said = (tmp_path / "log").read_text()
    assert ended == 2, said
    assert named in said
    assert "hunter2" not in said


async def test_many_processes_may_start_at_once(database_dsn: str):
    databases = [Database(database_dsn, role="dunnock_scheduler", pool_size=1) for _ in range(6)]
    settings = SchedulerSettings(creditor_name="Acme", creditor_timezone="Europe/Berlin")

    await asyncio.gather(*(prepare(db, settings) for db in databases))
    await prepare(databases[0], SchedulerSettings(creditor_name="Other"))

    async with databases[0].connection() as connection:
        assert [tuple(row) for row in await connection.fetch("SELECT ref, name, timezone FROM creditor")] == [
            ("default", "Acme", "Europe/Berlin")
        ]
        flows = await connection.fetchval("SELECT array_agg(name || version ORDER BY name) FROM flow_version")
        assert flows == ["gentle1", "standard1", "strict1"]
    for db in databases:
        await db.close()


async def test_it_serves_while_the_broker_is_away_and_ends_on_sigterm(database_dsn: str, tmp_path: Path):
    port = free_port()
    environment = {
        **os.environ,
        **GOOD,
        "DUNNOCK_DATABASE_URL": database_dsn,
        "DUNNOCK_DOCUMENTS_URL": tmp_path.as_uri(),
        "PORT": str(port),
    }
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.scheduler", env=environment, stdout=output, stderr=output
        )
    try:
        async with asyncio.timeout(100), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            while not await answers(client):
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(0.05)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 100) == 0, log.read_text()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/healthz")).status_code == 200
    except httpx.TransportError:
        return False
