"""Each service writes what it owns and nothing else, and can do all that it must: under its own database role."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import asyncpg
import pytest

from shared.db.engine import Database
from shared.kernel.caps import Caps
from shared.ledger.due import queue_due, skip_queued, sweep_queued
from shared.ledger.money import (
    Stop,
    allocate_payment,
    close_invoice,
    match_by_name,
    match_waiting,
    missed_matches,
    place_hold,
    release_holds,
    undo_allocation,
)
from tests import factories
from tests.integration.ledger_database import connect
from tests.integration.ledger_workers import take
from tests.integration.ledger_world import MANY, WINDOW, World

SCHEDULER, DISPATCHER, PAYMENTS, SANDBOX = (
    "dunnock_scheduler",
    "dunnock_dispatcher",
    "dunnock_payments",
    "dunnock_sandbox",
)
ALL = "*"
FILED = ("source", "statement_file")
ANNOUNCED = ("webhook_endpoint", "outbound_event", "outbound_delivery")
MOVES = "state reason due_at queued_at"
EVERYBODY_READS = (
    "allocation api_key attempt bounce_mail business_clock contact_point creditor customer customer_contact event flow_version hold"
    " promise template_version idempotency installment invoice payment payment_check payment_event receipt reminder reply suppression"
    " channel channel_fold channel_group channel_stat provider provider_state"
)
CHANNELS = ("channel", "channel_group", "channel_stat", "provider", "provider_state")
READS = {
    SCHEDULER: f"{EVERYBODY_READS} picture_version replan_wanted",
    DISPATCHER: f"{EVERYBODY_READS} http_api picture_version replan_wanted",
    PAYMENTS: f"{EVERYBODY_READS} checkout source statement_file webhook_endpoint outbound_event outbound_delivery outbound_cursor",
    SANDBOX: (
        "attempt business_clock event hold installment invoice outbound_cursor outbound_delivery payment_check promise reminder"
        " webhook_endpoint"
    ),
}
SANDBOX_SEES = {
    "event": {"id"},
    "installment": {"id", "invoice_id", "open_amount", "checked_at", "unknown_at", "waived_at"},
    "outbound_delivery": {"endpoint_id", "outbound_event_id", "lane", "state", "log"},
    "webhook_endpoint": {"id", "disabled_at", "retry_at"},
}
SANDBOX_CALLS = {"business_now", "next_instant", "unchecked", "unrest", "untold"}
MAY_CALL = """
SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND has_function_privilege($1, p.oid, 'EXECUTE')
"""
WRITES: dict[str, dict[str, dict[str, str]]] = {
    SCHEDULER: {
        "INSERT": {
            **dict.fromkeys(("api_key", "contact_point", "creditor", "customer", "event", "flow_version", "hold"), ALL),
            **dict.fromkeys(("idempotency", "invoice", "promise", "reminder"), ALL),
            "installment": "invoice_id no due_date amount credited",
        },
        "UPDATE": {
            **dict.fromkeys(
                ("api_key", "contact_point", "creditor", "customer", "hold", "idempotency", "invoice"), ALL
            ),
            "attempt": "state detail receipt_due",
            "installment": "due_date amount credited",
            "promise": "state",
            "reminder": f"{MOVES} generation send_until lease tries",
        },
        "DELETE": {"idempotency": ALL, "installment": ALL, "replan_wanted": ALL},
    },
    DISPATCHER: {
        "INSERT": {
            **dict.fromkeys(("attempt", "bounce_mail", "customer_contact", "event", "http_api", "idempotency"), ALL),
            **dict.fromkeys(("receipt", "replan_wanted", "reply", "suppression", "template_version", *CHANNELS), ALL),
            "picture_version": ALL,
            "contact_point": "customer_id kind address",
        },
        "UPDATE": {
            **dict.fromkeys(("attempt", "channel_fold", "customer_contact", "http_api", "idempotency"), ALL),
            **dict.fromkeys(CHANNELS, ALL),
            "contact_point": "retired_at",
            "invoice": "replan_at row_lock",
            "reminder": f"{MOVES} send_until fence lease tries",
        },
        "DELETE": dict.fromkeys(("bounce_mail", "http_api", "idempotency", "replan_wanted", "suppression"), ALL),
    },
    PAYMENTS: {
        "INSERT": dict.fromkeys(
            (
                "allocation",
                "checkout",
                "event",
                "hold",
                "idempotency",
                "payment",
                "payment_event",
                "promise",
                *FILED,
                *ANNOUNCED,
            ),
            ALL,
        ),
        "UPDATE": {
            **dict.fromkeys(("allocation", "idempotency", "payment", *FILED, *ANNOUNCED), ALL),
            **dict.fromkeys(("outbound_cursor", "payment_check"), ALL),
            "customer": "locale preferred_channel",
            "hold": "reason note said_by until amount released_at",
            "installment": "allocated checked_at unknown_at waived_at",
            "invoice": "row_lock settled_n settled_at replan_at token token_until",
            "payment_event": "body",
            "promise": "state",
            "reminder": MOVES,
        },
        "DELETE": dict.fromkeys(("allocation", "checkout", "idempotency", *FILED, *ANNOUNCED), ALL),
    },
    SANDBOX: {"UPDATE": {"business_clock": ALL}},
}
HELD = """
WITH mine AS (SELECT c.oid, c.relname, c.relacl FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'),
whole AS (
  SELECT m.oid, m.relname FROM mine m, aclexplode(m.relacl) a WHERE a.grantee = $1::text::regrole AND a.privilege_type = $2
)
SELECT relname, NULL AS attname FROM whole
UNION
SELECT m.relname, t.attname FROM mine m JOIN pg_attribute t ON t.attrelid = m.oid, aclexplode(t.attacl) a
 WHERE a.grantee = $1::text::regrole AND a.privilege_type = $2 AND m.oid NOT IN (SELECT oid FROM whole)
"""


async def held(db: asyncpg.Connection, role: str, privilege: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for table, column in await db.fetch(HELD, role, privilege):
        found.setdefault(table, set()).add(column or ALL)
    return found


@pytest.fixture
async def owner(shared_database_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(shared_database_dsn)
    yield connection
    await connection.close()


async def test_the_sandbox_sees_no_more_of_a_table_and_calls_no_more_than_its_clock_needs(
    owner: asyncpg.Connection, shared_database_dsn: str
) -> None:
    seen = await held(owner, SANDBOX, "SELECT")
    assert {table: columns for table, columns in seen.items() if columns != {ALL}} == SANDBOX_SEES
    assert {row[0] for row in await owner.fetch(MAY_CALL, SANDBOX)} == SANDBOX_CALLS
    assert "match_waiting" not in {row[0] for row in await owner.fetch(MAY_CALL, DISPATCHER)}
    clock = await connect(shared_database_dsn, SANDBOX)
    await clock.fetch("SELECT unrest(business_now()), next_instant(business_now())")
    await clock.close()


@pytest.mark.parametrize("role", [SCHEDULER, DISPATCHER, PAYMENTS, SANDBOX])
async def test_a_role_holds_exactly_what_is_listed_here(owner: asyncpg.Connection, role: str) -> None:
    assert set(await held(owner, role, "SELECT")) == set(READS[role].split())
    for privilege in ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"):
        listed = {table: set(columns.split()) for table, columns in WRITES[role].get(privilege, {}).items()}
        assert await held(owner, role, privilege) == listed, f"{role} {privilege}"


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        (SCHEDULER, "UPDATE installment SET allocated = 0"),
        (SCHEDULER, "INSERT INTO attempt DEFAULT VALUES"),
        (SCHEDULER, "SELECT config FROM source"),
        (SCHEDULER, "UPDATE flow_version SET spec = '{}'"),
        (SCHEDULER, "DELETE FROM reminder"),
        (DISPATCHER, "INSERT INTO reminder DEFAULT VALUES"),
        (DISPATCHER, "UPDATE installment SET amount = 1"),
        (DISPATCHER, "UPDATE invoice SET settled_at = now()"),
        (DISPATCHER, "SELECT match_waiting('{1}', now())"),
        (PAYMENTS, "INSERT INTO reminder DEFAULT VALUES"),
        (PAYMENTS, "UPDATE invoice SET closed_as = 'void'"),
        (PAYMENTS, "UPDATE reminder SET fence = 0"),
        (PAYMENTS, "UPDATE attempt SET state = 'delivered'"),
        (PAYMENTS, "DELETE FROM event"),
        (SANDBOX, "UPDATE reminder SET state = 'pending'"),
        (SANDBOX, "SELECT * FROM customer"),
        (SANDBOX, "SELECT match_waiting('{1}', now())"),
    ],
)
async def test_what_a_service_does_not_own_it_cannot_touch(shared_database_dsn: str, role: str, statement: str) -> None:
    connection = await connect(shared_database_dsn, role)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)
    await connection.close()


async def test_each_service_can_do_its_part_of_a_reminders_life(
    shared_database_dsn: str, owner: asyncpg.Connection
) -> None:
    world = World(owner)
    await world.begin(("100.00", "100.00"), planned=False)
    await owner.execute("UPDATE invoice SET replan_at = now()")
    roles = {role: await connect(shared_database_dsn, role) for role in (SCHEDULER, DISPATCHER, PAYMENTS)}

    def acting(role: str) -> World:
        world.db = roles[role]
        return world

    worker = world.workers[0]
    await acting(SCHEDULER).replan()
    await world.due()
    await acting(DISPATCHER).look(worker, world.messages)
    await take(world.db, worker, world.now, caps=Caps(per_day=100))
    await world.hand_over(worker, "bounces", at_most=2)
    await world.hand_over(worker, "silent_but_taken")
    await world.record(worker, times=2)
    await world.receipt(next(iter(world.handed)))
    await acting(SCHEDULER).retime()
    await world.receipts_stay_out()
    await world.due()
    await world.sweep()
    await acting(DISPATCHER).look(worker, world.messages)
    await world.give_back(worker)
    await acting(SCHEDULER).decide_uncertain()
    first = await acting(PAYMENTS).pay("100.00")
    await acting(SCHEDULER).credit(world.invoice.installments[1], "100.00")
    await acting(PAYMENTS).reverse(first)
    await acting(SCHEDULER).change(other_date=True)
    await world.replan()
    await acting(PAYMENTS).pay("300.00")
    assert await owner.fetchval("SELECT settled_n FROM invoice") == 2
    assert await owner.fetchval("SELECT count(*) FROM attempt") >= 4
    for connection in roles.values():
        await connection.close()


async def test_the_other_calls_of_the_ledger_work_under_their_roles(
    shared_database_dsn: str, owner: asyncpg.Connection
) -> None:
    world = World(owner)
    await world.begin(("100.00", "100.00"))
    scheduler, payments = await connect(shared_database_dsn, SCHEDULER), await connect(shared_database_dsn, PAYMENTS)
    invoice, customer = world.invoice.id, world.invoice.customer_id
    async with scheduler.transaction():
        queued = [row.id for row in await queue_due(scheduler, limit=MANY, max_queued=MANY, now=world.now)]
        await skip_queued(scheduler, {queued[0]: "false"}, "condition", world.now)
    await sweep_queued(scheduler, timedelta(0), MANY)
    stop = Stop("hold", None, customer, "asked", world.now + timedelta(days=1))
    for connection in (scheduler, payments):
        hold, _ = await place_hold(connection, replace(stop, reason="asked again"), window=WINDOW, now=world.now)
        await release_holds(connection, [hold], world.now)
    world.db = payments
    await world.pay("100.00")
    payment = await owner.fetchval("SELECT id FROM payment")
    assert await undo_allocation(payments, payment, invoice, None, world.now) == 100
    given = await allocate_payment(payments, payment, invoice, 2, Decimal(60), window=WINDOW, now=world.now)
    assert given.refused is None
    assert given.amount == 60
    assert await missed_matches(payments, 10) == []
    assert await match_by_name(payments, world.invoice.ref, None, world.now) == []
    assert await match_waiting(scheduler, [invoice], world.now) == []
    await close_invoice(scheduler, invoice, "void", window=WINDOW, now=world.now)
    await scheduler.close()
    await payments.close()


@pytest.mark.parametrize("role", [SCHEDULER, DISPATCHER, PAYMENTS, SANDBOX])
async def test_a_service_takes_its_role_on_when_it_connects(shared_database_dsn: str, role: str) -> None:
    database = Database(shared_database_dsn, role=role, pool_size=1)
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT current_user") == role
    await database.close()


async def test_an_address_is_barred_by_the_dispatcher_alone(
    shared_database_dsn: str, owner: asyncpg.Connection
) -> None:
    made = await factories.invoice(owner)
    sql = "INSERT INTO suppression (contact_point_id, channel, reason) VALUES ($1, 'email', 'opted_out')"
    for role in (SCHEDULER, PAYMENTS, SANDBOX):
        connection = await connect(shared_database_dsn, role)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(sql, made.contact_id)
        await connection.close()
    dispatcher = await connect(shared_database_dsn, DISPATCHER)
    await dispatcher.execute(sql, made.contact_id)
    await dispatcher.close()
