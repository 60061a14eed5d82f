"""Each channel with each class of outcome, over RabbitMQ and the real ledger: what becomes of the attempt and of the
reminder, which channel goes next, whether the address is barred, what it cost and what the timeline is told.

A class has one consequence, whatever the channel (`USUAL`); where a channel differs, it stands in `UNUSUAL`, and what a
channel cannot have in `CANNOT`, with the reason. Nothing else is left out.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pytest

from tests.integration.channel_worlds import HAPPENS, What, World, recover, reminded, world_of

SAME, OTHER = "the same channel", "the other channel"
PRICES = {
    "email": "0.0001",
    "sms": "0.10",  # two segments
    "rcs": "0.03",
    "whatsapp": "0.04",
    "voice": "0.03",
    "push to an app": "0.0003",
    "push to a browser": "0.0003",
    "http": "0.02",
}


@dataclass(frozen=True, slots=True)
class Became:
    """`then`: which channel goes next, None: none, or it waits. `paid`: in prices of one message."""

    attempt: str
    reminder: str
    then: str | None = None
    barred: str | None = None
    paid: int = 1
    told: tuple[str, ...] = ()


ACCEPTED = Became("accepted", "accepted", told=("attempt.accepted",))
UNKNOWN = Became("unknown", "uncertain", told=("attempt.unknown",))
REJECTED = Became("rejected", "pending", OTHER, paid=0, told=("attempt.rejected",))
NOT_SENT = Became("notsent", "pending", SAME, paid=0, told=("attempt.notsent",))
DELIVERED = Became("delivered", "delivered", told=("attempt.accepted", "attempt.delivered"))
UNDELIVERED = Became("undelivered", "pending", OTHER, told=("attempt.accepted", "attempt.undelivered"))

USUAL = {
    What.TAKEN: ACCEPTED,
    What.ADDRESS_REFUSED: replace(REJECTED, barred="invalid"),
    What.MESSAGE_REFUSED: REJECTED,
    What.LATER: NOT_SENT,
    What.SERVER_ERROR: UNKNOWN,
    What.SILENCE: UNKNOWN,
    What.ARRIVED: DELIVERED,
    What.READ: replace(DELIVERED, told=(*DELIVERED.told, "attempt.opened")),
    What.DID_NOT_ARRIVE: UNDELIVERED,
    What.ADDRESS_DEAD: replace(UNDELIVERED, barred="invalid"),
    What.MISSED: Became("missed", "pending", SAME, told=("attempt.accepted", "attempt.missed")),
    What.UNWANTED: replace(UNDELIVERED, barred="opted_out"),
    What.NO_RECEIPT: Became("expired", "pending", OTHER, told=("attempt.accepted", "attempt.expired")),
    What.MISCONFIGURED: replace(NOT_SENT, then=None),  # it waits for its provider, and burns no other channel
}
UNUSUAL = {
    ("email", What.ADDRESS_REFUSED): replace(REJECTED, barred="bounced"),
    ("email", What.SERVER_ERROR): NOT_SENT,  # an answer to the dot says that it was not taken
    ("email", What.READ): replace(ACCEPTED, told=("attempt.accepted", "attempt.opened")),  # machines open mails
    ("email", What.ADDRESS_DEAD): replace(UNDELIVERED, barred="bounced"),
    ("email", What.UNWANTED): replace(DELIVERED, barred="complained"),
    ("email", What.NO_RECEIPT): ACCEPTED,  # promises none
    ("push to an app", What.NO_RECEIPT): ACCEPTED,
    ("push to a browser", What.NO_RECEIPT): ACCEPTED,
    ("voice", What.ARRIVED): replace(
        DELIVERED, paid=2, told=("attempt.accepted", "attempt.answered", "attempt.delivered")
    ),
    ("voice", What.READ): replace(ACCEPTED, told=("attempt.accepted", "attempt.answered")),  # it has not ended
    ("voice", What.MISSED): replace(USUAL[What.MISSED], paid=0),  # nobody picked up
    ("voice", What.UNWANTED): replace(
        DELIVERED,
        barred="opted_out",
        told=("attempt.accepted", "attempt.answered", "contact.opted_out", "attempt.delivered"),
    ),
}
NOTHING_REPORTED = dict.fromkeys(
    (What.ARRIVED, What.READ, What.DID_NOT_ARRIVE, What.ADDRESS_DEAD, What.MISSED, What.UNWANTED),
    "these services report nothing after they took it",
)
CANNOT: dict[str, dict[What, str]] = {
    "sms": {What.READ: "no handset tells whether a text was read"},
    "voice": {
        What.DID_NOT_ARRIVE: "a call that nobody takes is missed, and undelivered after the last one",
        What.ADDRESS_DEAD: "a call that finds no connection says nothing about the number for good",
    },
    "push to an app": NOTHING_REPORTED,
    "push to a browser": {
        **NOTHING_REPORTED,
        What.MISCONFIGURED: "anybody can subscribe any endpoint, so what one says stops no other",
    },
    "http": {What.READ: "an API has no word for it"},
}


def test_every_channel_has_every_class_of_outcome_or_a_reason_why_not() -> None:
    assert {way.partition(" ")[0] for way in HAPPENS} == {"email", "sms", "rcs", "whatsapp", "voice", "push", "http"}
    for way, happens in HAPPENS.items():
        assert set(What) - set(happens) == set(CANNOT.get(way, {})), way


@pytest.mark.parametrize("way", list(HAPPENS))
async def test_each_class_of_outcome_has_its_consequence(
    database_dsn: str, fresh_amqp_url: str, tmp_path: Path, way: str
) -> None:
    async with world_of(way, database_dsn, fresh_amqp_url, tmp_path) as world:
        found = {what: await became(way, world, what) for what in What if what in HAPPENS[way]}

    assert {what: UNUSUAL.get((way, what), USUAL[what]) for what in found} == found


async def became(way: str, world: World, what: What) -> Became:
    before, after = HAPPENS[way][what]
    reminder = await reminded(way, world)
    before(world)
    await world.dispatcher.send(reminder)
    await after(world, reminder)
    recover(world)

    row = await world.dispatcher.owner.fetchrow(ATTEMPT, reminder)
    assert row is not None
    assert row["channel"] == world.channel
    state = (await world.dispatcher.state(reminder))[0]
    then = await _next(world, reminder) if state == "pending" else None
    paid = row["cost"] / Decimal(PRICES[way])
    assert paid == int(paid)
    return Became(row["state"], state, then, row["barred"], int(paid), tuple(row["told"]))


ATTEMPT = """
SELECT a.channel, a.state, a.cost,
       (SELECT reason FROM suppression s WHERE s.contact_point_id = a.contact_point_id AND s.channel = a.channel) AS barred,
       (SELECT array_agg(e.kind ORDER BY e.id) FROM event e
         WHERE e.reminder_id = a.reminder_id OR (e.reminder_id IS NULL AND e.customer_id = p.customer_id)) AS told
  FROM attempt a JOIN contact_point p ON p.id = a.contact_point_id WHERE a.reminder_id = $1
"""


async def _next(world: World, reminder: int) -> str | None:
    """What goes when its time has come."""
    await world.dispatcher.queue_again(reminder)
    await world.dispatcher.send(reminder)
    attempts = await world.dispatcher.attempts(reminder)
    if len(attempts) < 2:
        return None
    return SAME if attempts[1][0] == world.channel else OTHER
