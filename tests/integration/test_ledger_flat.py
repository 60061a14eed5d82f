"""What the loops ask many times a second, mostly in vain, costs the same however much is pending: it reads no whole table."""

import asyncpg
import pytest

from tests.bench import seed

PENDING = 20_000
READ = "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'reminder'"


@pytest.fixture
async def connection(database_dsn: str):
    await seed.lay(database_dsn, seed.Ground(100, PENDING))
    opened = await asyncpg.connect(database_dsn)
    await seed.plan(opened, PENDING)
    yield opened
    await opened.close()


async def test_looking_for_what_is_due_reads_nothing_while_nothing_is_due(connection: asyncpg.Connection) -> None:
    before = await _read(connection)
    for _ in range(20):  # PostgreSQL plans the first ones for their values, the others for any
        assert [] == await connection.fetch("SELECT * FROM queue_due(NULL, 1000, 20000)")
    assert before == await _read(connection)


async def _read(connection: asyncpg.Connection) -> int:
    await connection.execute("SELECT pg_stat_force_next_flush()")
    return int(await connection.fetchval(READ))
