"""Wrong states that the database itself refuses, whoever writes: one statement for each CHECK and each unique index."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests import factories
from tests.integration.ledger_database import connect

MINE = "WHERE step = 'mine'"
COPY_OF_MINE = """
INSERT INTO reminder (invoice_id, installment_id, flow_version_id, generation, step, anchor, requires_open, state, due_at)
SELECT invoice_id, {installment}, flow_version_id, generation, step, anchor, requires_open, state, due_at FROM reminder
 WHERE step = '{step}'
"""
SECOND_ATTEMPT = """
INSERT INTO attempt (reminder_id, fence, invoice_id, channel, contact_point_id, provider, state, lease)
SELECT reminder_id, 2, invoice_id, channel, contact_point_id, provider, 'started', lease FROM attempt WHERE fence = 1
"""
AGAIN = {
    "api_key": "INSERT INTO api_key (name, key_hash, scopes) VALUES ('a', 'same', '{}'), ('b', 'same', '{}')",
    "contact_point": "INSERT INTO contact_point (customer_id, kind, address) SELECT customer_id, kind, address FROM contact_point",
    "contact_token": "INSERT INTO contact_point (customer_id, kind, address, token)"
    " SELECT customer_id, 'phone', '1', token FROM contact_point",
    "creditor": "INSERT INTO creditor (ref, name) SELECT ref, name FROM creditor",
    "customer": "INSERT INTO customer (ref, name) SELECT ref, name FROM customer",
    "flow_version": "INSERT INTO flow_version (name, version, spec) SELECT name, version, '{}' FROM flow_version",
    "installment": "INSERT INTO installment (invoice_id, no, due_date, amount) SELECT invoice_id, no, due_date, amount FROM installment",
    "receipt": "INSERT INTO receipt (reminder_id, fence, kind) VALUES (1, 1, 'delivered'), (1, 1, 'delivered')",
    "source": "INSERT INTO source (ref, kind) SELECT ref, kind FROM source",
    "suppression": "INSERT INTO suppression (contact_point_id, channel, reason) SELECT id, 'email', 'bounced'"
    " FROM contact_point, generate_series(1, 2)",
    "payment": "INSERT INTO payment (source_id, payment_ref, amount) SELECT source_id, payment_ref, 1 FROM payment",
}
INVOICE_AGAIN = """
INSERT INTO invoice (ref, number, creditor_id, customer_id, flow_version_id, issue_date, currency, payment_reference, content_hash, token)
SELECT {ref}, number, creditor_id, customer_id, flow_version_id, issue_date, currency, payment_reference, content_hash, {token} FROM invoice
"""
EVENT = "INSERT INTO payment_event (source_id, payment_ref, kind, event_ref, amount) SELECT id, 'p', '{kind}', '1', {amount} FROM source"
HOLD = "INSERT INTO hold (kind, invoice_id, customer_id, reason, amount, until) SELECT {values} FROM invoice"

HOLD_BY = """
INSERT INTO hold (kind, invoice_id, reason, until, said_by) SELECT 'hold', id, 'r', now() + interval '1 day', 'bank' FROM invoice
"""
PROMISE = (
    "INSERT INTO promise (until, invoice_id, amount, leaves, state, said_by) SELECT now(), id, {values} FROM invoice"
)
CHANNEL = "INSERT INTO channel (name, reaches) VALUES ('fax', 'phone');"
PROVIDER = CHANNEL + " INSERT INTO provider (channel, name, own_price, {column}) VALUES ('fax', 'acme', 1, {value})"
WAITING = """
INSERT INTO statement_file (source_id, place, name, version, ended, done_at)
SELECT id, '{place}', 'n', 'v', {ended}, {done}::timestamptz FROM source
"""
REPLIED_TWICE = """
INSERT INTO reply (customer_id, contact_point_id, channel, provider, provider_ref, body)
SELECT customer_id, id, 'sms', 'twilio', 'SM1', 'hello' FROM contact_point, generate_series(1, 2)
"""
PICTURE = (
    "INSERT INTO picture_version (name, version, media_type, width, height, digest, content)"
    " SELECT 'a', 1, '{kind}', 1, 1, 'd', {content} FROM generate_series(1, {times})"
)
REFUSED = [
    (
        "a picture that no mail program shows",
        "ck_picture_version_media_type",
        PICTURE.format(kind="image/svg+xml", content="'x'", times=1),
    ),
    (
        "a picture too large for a mail",
        "ck_picture_version_size",
        PICTURE.format(kind="image/png", content="decode(repeat('00', 262145), 'hex')", times=1),
    ),
    (
        "one version of a picture twice",
        "uq_picture_version_name_version",
        PICTURE.format(kind="image/png", content="'x'", times=2),
    ),
    ("less than nothing written off", "ck_installment_written_off", "UPDATE installment SET written_off = -1"),
    ("a reminder in a state that nobody knows", "ck_reminder_state", f"UPDATE reminder SET state = 'lost' {MINE}"),
    ("a reminder anchored to nothing", "ck_reminder_anchor", f"UPDATE reminder SET anchor = 'moon' {MINE}"),
    ("an occurrence before the first", "ck_reminder_occurrence", f"UPDATE reminder SET occurrence = 0 {MINE}"),
    (
        "a word for silence that nobody knows",
        "ck_reminder_on_unknown",
        f"UPDATE reminder SET on_unknown = 'ask' {MINE}",
    ),
    ("pending without a time", "ck_reminder_has_time", f"UPDATE reminder SET due_at = NULL {MINE}"),
    ("waiting with a time", "ck_reminder_waits_for_its_trigger", f"UPDATE reminder SET state = 'waiting' {MINE}"),
    ("queued since never", "ck_reminder_queued", f"UPDATE reminder SET state = 'queued' {MINE}"),
    (
        "queued without an end",
        "ck_reminder_queued",
        f"UPDATE reminder SET state = 'queued', queued_at = now(), send_until = NULL {MINE}",
    ),
    (
        "sending without a lease",
        "ck_reminder_lease_while_sending",
        f"UPDATE reminder SET state = 'sending', fence = 1 {MINE}",
    ),
    ("a lease without sending", "ck_reminder_lease_while_sending", f"UPDATE reminder SET lease = now() {MINE}"),
    ("cancelled without a reason", "ck_reminder_reason", f"UPDATE reminder SET state = 'cancelled' {MINE}"),
    ("pending with a reason", "ck_reminder_reason", f"UPDATE reminder SET reason = 'paid' {MINE}"),
    ("accepted but never claimed", "ck_reminder_was_claimed", f"UPDATE reminder SET state = 'accepted' {MINE}"),
    ("the same step planned twice", "uq_reminder_plan", COPY_OF_MINE.format(installment="installment_id", step="mine")),
    (
        "the same step planned twice without an installment",
        "uq_reminder_plan",
        COPY_OF_MINE.format(installment="NULL", step="whole"),
    ),
    ("an attempt in a state that nobody knows", "ck_attempt_state", "UPDATE attempt SET state = 'lost'"),
    ("a second live attempt at one address", "uq_attempt_live", SECOND_ATTEMPT),
    ("a negative cost", "ck_attempt_cost", "UPDATE attempt SET cost = -1"),
    ("a cost that is no number", "ck_attempt_cost", "UPDATE attempt SET cost = 'NaN'"),
    ("an installment of nothing", "ck_installment_amount", "UPDATE installment SET amount = 0"),
    ("an amount that is no number", "ck_installment_amount", "UPDATE installment SET amount = 'NaN'"),
    ("a negative credit", "ck_installment_credited", "UPDATE installment SET credited = -1"),
    ("less than nothing allocated", "ck_installment_allocated", "UPDATE installment SET allocated = -1"),
    (
        "more paid and credited than owed",
        "ck_installment_not_over",
        "UPDATE installment SET credited = 60, allocated = 41",
    ),
    ("two installments of one number", "uq_installment_invoice_id_no", AGAIN["installment"]),
    (
        "an invoice closed as nothing known",
        "ck_invoice_closed_as",
        "UPDATE invoice SET closed_as = 'gone', closed_at = now()",
    ),
    ("an invoice closed at no time", "ck_invoice_closed", "UPDATE invoice SET closed_as = 'void'"),
    ("two invoices of one id", "uq_invoice_ref", INVOICE_AGAIN.format(ref="ref", token="'other'")),
    ("two invoices of one link", "uq_invoice_token", INVOICE_AGAIN.format(ref="'other'", token="token")),
    (
        "a hold of no known kind",
        "ck_hold_kind",
        HOLD.format(values="'nap', id, NULL, 'r', NULL, now() + interval '1 day'"),
    ),
    (
        "a hold that ends before it begins",
        "ck_hold_dated",
        HOLD.format(values="'hold', id, NULL, 'r', NULL, now() - interval '1 day'"),
    ),
    (
        "a hold on two things",
        "ck_hold_one_scope",
        HOLD.format(values="'hold', id, customer_id, 'r', NULL, now() + interval '1 day'"),
    ),
    (
        "a promise of no number",
        "ck_hold_amount",
        HOLD.format(values="'promise', id, NULL, 'r', 'NaN', now() + interval '1 day'"),
    ),
    ("a hold that nobody placed", "ck_hold_said_by", HOLD_BY),
    ("a promise of nothing", "ck_promise_amount", PROMISE.format(values="0, 0, 'open', 'clerk'")),
    ("a promise that leaves no number", "ck_promise_leaves", PROMISE.format(values="1, 'NaN', 'open', 'clerk'")),
    ("a promise that is half kept", "ck_promise_state", PROMISE.format(values="1, 0, 'half', 'clerk'")),
    ("a promise that nobody made", "ck_promise_said_by", PROMISE.format(values="1, 0, 'open', 'bank'")),
    (
        "one version of a text twice",
        "uq_template_version_name_channel_locale_version",
        (
            "INSERT INTO template_version (name, channel, locale, version, subject, body)"
            " SELECT 'overdue', 'sms', 'en', 1, 's', 'b' FROM generate_series(1, 2)"
        ),
    ),
    ("a payment of no number", "ck_payment_amount", "UPDATE payment SET amount = 'NaN'"),
    ("more allocated than was paid", "ck_payment_allocated", "UPDATE payment SET allocated = amount + 1"),
    ("a payment that is known already", "uq_payment_source_id_payment_ref", AGAIN["payment"]),
    ("an allocation of nothing", "ck_allocation_amount", "UPDATE allocation SET amount = 0"),
    ("an allocation that is no number", "ck_allocation_amount", "UPDATE allocation SET amount = 'NaN'"),
    ("a payment event of an unknown kind", "ck_payment_event_kind", EVENT.format(kind="maybe", amount="1")),
    ("a payment event of no number", "ck_payment_event_amount", EVENT.format(kind="confirmed", amount="'NaN'")),
    (
        "the same payment event twice",
        "uq_payment_event_source_id_payment_ref_kind_event_ref",
        EVENT.format(kind="confirmed", amount="1") + ", generate_series(1, 2)",
    ),
    ("the same receipt twice", "uq_receipt_reminder_id_fence_kind_detail", AGAIN["receipt"]),
    (
        "an address barred for no known reason",
        "ck_suppression_reason",
        "INSERT INTO suppression (contact_point_id, channel, reason) SELECT id, 'email', 'mood' FROM contact_point",
    ),
    ("an address barred twice", "uq_suppression_contact_point_id_channel", AGAIN["suppression"]),
    ("an address of no known kind", "ck_contact_point_kind", "UPDATE contact_point SET kind = 'pigeon'"),
    ("one address twice", "uq_contact_point_customer_id_kind_address", AGAIN["contact_point"]),
    ("two addresses of one link", "uq_contact_point_token", AGAIN["contact_token"]),
    ("two creditors of one id", "uq_creditor_ref", AGAIN["creditor"]),
    ("two customers of one id", "uq_customer_ref", AGAIN["customer"]),
    ("one version of a flow twice", "uq_flow_version_name_version", AGAIN["flow_version"]),
    ("two sources of one id", "uq_source_ref", AGAIN["source"]),
    ("two keys of one hash", "uq_api_key_key_hash", AGAIN["api_key"]),
    ("a second check of payments", "ck_payment_check_one_row", "INSERT INTO payment_check (id) VALUES (2)"),
    ("a file in no known place", "ck_statement_file_place", WAITING.format(place="desk", ended="NULL", done="NULL")),
    (
        "a file with no known end",
        "ck_statement_file_ended",
        WAITING.format(place="folder", ended="'lost'", done="now()"),
    ),
    (
        "a file that ended at no time",
        "ck_statement_file_done",
        WAITING.format(place="folder", ended="'booked'", done="NULL"),
    ),
    (
        "a file that waits twice",
        "uq_statement_file_source_id_place_name_version",
        WAITING.format(place="folder", ended="NULL", done="NULL") + ", generate_series(1, 2)",
    ),
    ("a second reading of the timeline", "ck_outbound_cursor_one_row", "INSERT INTO outbound_cursor (id) VALUES (2)"),
    (
        "the same announcement twice",
        "uq_outbound_event_event_id_type",
        "INSERT INTO outbound_event (event_id, type, at) SELECT 1, 'invoice.paid', now() FROM generate_series(1, 2)",
    ),
    (
        "a delivery in no known state",
        "ck_outbound_delivery_state",
        "INSERT INTO outbound_delivery (endpoint_id, outbound_event_id, state, ended_at) VALUES (1, 1, 'lost', now())",
    ),
    (
        "a delivery that ended at no time",
        "ck_outbound_delivery_ended",
        "INSERT INTO outbound_delivery (endpoint_id, outbound_event_id, state) VALUES (1, 1, 'delivered')",
    ),
    (
        "a channel that reaches nothing known",
        "ck_channel_reaches",
        "INSERT INTO channel (name, reaches) VALUES ('fax', 'moon')",
    ),
    ("a limit of nothing", "ck_provider_limits", PROVIDER.format(column="rate", value="0")),
    ("a price that is no number", "ck_provider_price", PROVIDER.format(column="price", value="'NaN'")),
    ("the same reply twice", "uq_reply_provider_provider_ref_contact_point_id", REPLIED_TWICE),
    ("a second count of experience", "ck_channel_fold_one_row", "INSERT INTO channel_fold (id) VALUES (2)"),
    ("a second clock", "ck_business_clock_one_row", "INSERT INTO business_clock (id) VALUES (2)"),
    ("a clock that runs behind", "ck_business_clock_forward", "UPDATE business_clock SET ahead = '-1 s'"),
]
ALL_RULES = """
SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype = 'c'
UNION SELECT indexrelid::regclass::text FROM pg_index
 WHERE indisunique AND NOT indisprimary AND indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
"""


@pytest.fixture
async def db(shared_database_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """An invoice, a reminder of its installment, one of the whole, one that is being sent, and a payment; undone at the end."""
    connection = await connect(shared_database_dsn)
    everything = connection.transaction()
    await everything.start()
    made = await factories.invoice(connection)
    await factories.reminder(connection, made.id, made.installments[0], "mine")
    await factories.reminder(connection, made.id, None, "whole")
    sent = await factories.reminder(connection, made.id, made.installments[0], "sent")
    await factories.attempt(connection, sent, made.contact_id)
    source = await factories.source(connection)
    payment = await connection.fetchval(
        "INSERT INTO payment (source_id, payment_ref, amount, allocated) VALUES ($1, 'p', 10, 10) RETURNING id", source
    )
    await connection.execute("INSERT INTO allocation VALUES ($1, $2, 10)", payment, made.installments[0])
    yield connection
    await everything.rollback()
    await connection.close()


@pytest.mark.parametrize(
    ("rule", "statement"), [case[1:] for case in REFUSED], ids=[case[0].replace(" ", "-") for case in REFUSED]
)
async def test_the_database_refuses(db: asyncpg.Connection, rule: str, statement: str) -> None:
    with pytest.raises((asyncpg.CheckViolationError, asyncpg.UniqueViolationError)) as refused:
        await db.execute(statement)
    assert refused.value.constraint_name == rule


async def test_every_check_and_every_unique_index_has_its_case(db: asyncpg.Connection) -> None:
    assert {row["conname"] for row in await db.fetch(ALL_RULES)} == {rule for _, rule, _ in REFUSED}
