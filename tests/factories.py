"""Rows for tests, by plain SQL: what a service would have written, without that service.

Each function takes a raw connection that may write everything, and answers the new row's id. A `ref` is unique.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256

import asyncpg

from shared.flow import standard

_numbers = itertools.count(1)
TODAY = date(2026, 11, 22)
SPEC = standard().to_dict()


@dataclass(frozen=True, slots=True)
class Made:
    """An invoice with its installments and reminders."""

    id: int
    ref: str
    token: str
    customer_id: int
    contact_id: int
    flow_version_id: int
    installments: tuple[int, ...]
    reminders: tuple[int, ...]


def unique(prefix: str) -> str:
    return f"{prefix}-{next(_numbers)}"


async def creditor(db: asyncpg.Connection, ref: str = "default", **columns: object) -> int:
    return await _upsert(db, "creditor", {"ref": ref, "name": "Acme Ltd", **columns}, "ref")


async def customer(db: asyncpg.Connection, **columns: object) -> int:
    return await _insert(db, "customer", {"ref": unique("C"), "name": "Jo Bloggs", **columns})


async def contact_point(
    db: asyncpg.Connection, customer_id: int, kind: str = "email", address: str | None = None, **columns: object
) -> int:
    address = address or f"{unique('jo')}@example.com"
    return await _insert(db, "contact_point", {"customer_id": customer_id, "kind": kind, "address": address, **columns})


async def flow_version(db: asyncpg.Connection, name: str = "standard", version: int = 1) -> int:
    return await _upsert(db, "flow_version", {"name": name, "version": version, "spec": SPEC}, "name, version")


async def source(db: asyncpg.Connection, ref: str = "bank", kind: str = "webhook", **columns: object) -> int:
    return await _upsert(db, "source", {"ref": ref, "kind": kind, **columns}, "ref")


async def installment(db: asyncpg.Connection, invoice_id: int, no: int, amount: str, due_date: date = TODAY) -> int:
    columns = {"invoice_id": invoice_id, "no": no, "due_date": due_date, "amount": Decimal(amount)}
    return await _insert(db, "installment", columns)


async def reminder(
    db: asyncpg.Connection,
    invoice_id: int,
    installment_id: int | None,
    step: str = "overdue",
    *,
    state: str = "pending",
    due_at: datetime | None = None,
    **columns: object,
) -> int:
    """Pending ones are due in three days unless said otherwise; `waiting` ones have no time."""
    due = None if state == "waiting" else due_at or datetime.now(UTC) + timedelta(days=3)
    row = {
        "invoice_id": invoice_id,
        "installment_id": installment_id,
        "flow_version_id": await flow_version(db),
        "generation": await db.fetchval("SELECT generation FROM invoice WHERE id = $1", invoice_id),
        "step": step,
        "anchor": "due",
        "anchor_date": TODAY,
        "state": state,
        "due_at": due,
        "send_until": due and due + timedelta(days=1),
        "queued_at": datetime.now(UTC) if state == "queued" else None,
        **columns,
    }
    return await _insert(db, "reminder", row)


async def invoice(
    db: asyncpg.Connection,
    amounts: tuple[str, ...] = ("100.00",),
    *,
    reminders: int = 0,
    thank_you: bool = False,
    customer_columns: Mapping[str, object] | None = None,
    creditor_columns: Mapping[str, object] | None = None,
    due_dates: tuple[date, ...] | None = None,
    **columns: object,
) -> Made:
    """Installments 1.. a month apart, with so many pending reminders each; `thank_you` waits for the payment."""
    ref = str(columns.pop("ref", None) or unique("INV"))
    owner = await customer(db, **(customer_columns or {}))
    flow = await flow_version(db)
    row = {
        "ref": ref,
        "number": f"No {ref}",
        "creditor_id": await creditor(db, **(creditor_columns or {})),  # type: ignore[arg-type]
        "customer_id": owner,
        "flow_version_id": flow,
        "issue_date": TODAY - timedelta(days=14),
        "currency": "EUR",
        "payment_reference": f"RF-{ref}",
        "content_hash": b"",
        **columns,
    }
    made = await _insert(db, "invoice", row)
    dates = due_dates or tuple(TODAY + timedelta(days=30 * n) for n in range(len(amounts)))
    parts = [
        await installment(db, made, no, amount, due)
        for no, (amount, due) in enumerate(zip(amounts, dates, strict=True), 1)
    ]
    planned = [await reminder(db, made, part, f"step-{n}") for part in parts for n in range(reminders)]
    if thank_you:
        waits = {"state": "waiting", "anchor": "payment", "anchor_date": None, "requires_open": False}
        planned.append(await reminder(db, made, None, "thank-you", **waits))  # type: ignore[arg-type]
    token = await db.fetchval("SELECT token FROM invoice WHERE id = $1", made)
    return Made(made, ref, token, owner, await contact_point(db, owner), flow, tuple(parts), tuple(planned))


async def picture(db: asyncpg.Connection, name: str, content: bytes, version: int = 1, **columns: object) -> int:
    row = {
        "name": name,
        "version": version,
        "media_type": "image/png",
        "width": 1,
        "height": 1,
        "digest": sha256(content).hexdigest(),
        "content": content,
        **columns,
    }
    return await _insert(db, "picture_version", row)


async def attempt(
    db: asyncpg.Connection, reminder_id: int, contact_id: int, state: str = "started", fence: int = 1, **columns: object
) -> None:
    """As a claim would have left it: the reminder is sending, under a lease of a minute."""
    lease = datetime.now(UTC) + timedelta(minutes=1)
    await db.execute(
        "UPDATE reminder SET state = 'sending', fence = $2, lease = $3, queued_at = NULL WHERE id = $1",
        reminder_id,
        fence,
        lease,
    )
    row = {
        "reminder_id": reminder_id,
        "fence": fence,
        "invoice_id": await db.fetchval("SELECT invoice_id FROM reminder WHERE id = $1", reminder_id),
        "channel": "email",
        "contact_point_id": contact_id,
        "provider": "smtp",
        "state": state,
        "lease": lease,
        **columns,
    }
    await db.execute(_sql("attempt", row), *row.values())


async def _insert(db: asyncpg.Connection, table: str, columns: dict[str, object]) -> int:
    made: int = await db.fetchval(f"{_sql(table, columns)} RETURNING id", *columns.values())
    return made


async def _upsert(db: asyncpg.Connection, table: str, columns: dict[str, object], keys: str) -> int:
    """The row of these keys, made or changed."""
    changed = ", ".join(f"{name} = excluded.{name}" for name in columns)
    sql = f"{_sql(table, columns)} ON CONFLICT ({keys}) DO UPDATE SET {changed} RETURNING id"
    made: int = await db.fetchval(sql, *columns.values())
    return made


def _sql(table: str, columns: dict[str, object]) -> str:
    places = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"
