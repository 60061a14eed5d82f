"""A promise that was made before promises had rows of their own is judged as one made today."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from alembic import command
from sqlalchemy import Connection
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from shared.db.migrate import alembic_config, migrate
from shared.ledger.money import judge_promises
from tests import factories
from tests.integration.ledger_database import connect

UNTIL = datetime.now(UTC) + timedelta(days=3)
HOLD = "INSERT INTO hold (kind, invoice_id, reason, amount, until, released_at) VALUES ($1, $2, 'r', $3, $4, $5)"


async def first_version(dsn: str) -> None:
    """The database as it was before."""

    def upgrade(connection: Connection) -> None:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")

    engine = create_async_engine(make_url(dsn).set(drivername="postgresql+asyncpg"))
    async with engine.begin() as connection:
        await connection.run_sync(upgrade)
    await engine.dispose()


async def test_active_promises_become_rows_and_all_other_holds_stay_what_they_were(empty_database_dsn: str) -> None:
    await first_version(empty_database_dsn)
    db = await connect(empty_database_dsn)
    await db.execute("INSERT INTO business_clock (id) VALUES (1) ON CONFLICT DO NOTHING")
    whole, part, over = [(await factories.invoice(db, ("60.00", "40.00"))).id for _ in range(3)]
    for kind, invoice, amount, released in (
        ("promise", whole, None, None),
        ("promise", part, Decimal(30), None),
        ("promise", over, None, UNTIL),
        ("dispute", over, None, None),
    ):
        await db.execute(HOLD, kind, invoice, amount, UNTIL, released)
    await db.close()
    await migrate(empty_database_dsn)

    db = await connect(empty_database_dsn)
    found = await db.fetch("SELECT invoice_id, amount, leaves, state, said_by FROM promise ORDER BY id")
    assert [tuple(row) for row in found] == [
        (whole, None, Decimal(0), "open", "clerk"),
        (part, Decimal(30), Decimal(70), "open", "clerk"),
    ]
    judged = await judge_promises(db, 10, UNTIL + timedelta(minutes=1))
    assert sorted(judged) == [(whole, "broken"), (part, "broken")]
    await db.close()
