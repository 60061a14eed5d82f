"""A process of the version before ends what it has begun, on a database that is this version's already."""

from datetime import timedelta

from tests.integration.ledger_database import connect
from tests.integration.ledger_world import World

RECORD = "SELECT record($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
POSTPONE = "SELECT postpone_unchecked($1, $2, $3)"
FOUND = "SELECT r.state, a.state FROM reminder r JOIN attempt a ON a.reminder_id = r.id WHERE r.id = $1"
LATER = timedelta(minutes=10)


async def test_a_dispatcher_of_the_version_before_records_what_it_has_sent(database_dsn: str) -> None:
    """Else its deliveries would be uncertain, and go again a day later."""
    db = await connect(database_dsn)
    world = World(db)
    await world.begin()
    await world.take_due(world.workers[0])
    first = world.workers[0].held[0].claim
    said = [[first.reminder_id], [first.fence], ["accepted"], ["ref"], *[[None]] * 5, 3, 6, 3]

    assert await db.fetchval(RECORD, world.now, *said) == []
    assert [tuple(row) for row in await db.fetch(FOUND, first.reminder_id)] == [("accepted", "accepted")]
    await db.close()


async def test_a_poller_of_the_version_before_puts_off_what_nobody_could_say(database_dsn: str) -> None:
    db = await connect(database_dsn)
    world = World(db)
    await world.begin()
    held = "SELECT count(*) FROM reminder WHERE state = 'pending' AND requires_open AND due_at = $1"

    await db.execute(POSTPONE, [world.invoice.id], LATER, world.now)

    assert await db.fetchval(held, world.now + LATER) > 0
    await db.close()
