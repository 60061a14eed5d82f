"""Creditors and customers, one at a time and in lists."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from typing import Any

import asyncpg


@dataclass(frozen=True, slots=True)
class CreditorRow:
    """Every column that the API writes, in the order of the table."""

    ref: str
    name: str
    email_from: str | None
    reply_to: str | None
    sms_from: str | None
    voice_from: str | None
    iban: str | None
    bic: str | None
    logo_url: str | None
    locale: str
    timezone: str
    country: str | None
    logo: str | None = None


@dataclass(frozen=True, slots=True)
class CustomerRow:
    id: int
    ref: str
    name: str
    locale: str | None
    timezone: str | None
    country: str | None
    preferred_channel: str | None
    attributes: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ContactRow:
    """`barred`: channels that must not be used for it, each with its reason."""

    customer_id: int
    kind: str
    address: str
    channels: list[str] | None
    priority: int
    barred: dict[str, str]


_CREDITOR = ", ".join(field.name for field in fields(CreditorRow))
_PUT_CREDITOR = f"""
INSERT INTO creditor ({_CREDITOR}) VALUES ({", ".join(f"${n}" for n, _ in enumerate(fields(CreditorRow), start=1))})
ON CONFLICT (ref) DO UPDATE SET {", ".join(f"{f.name} = excluded.{f.name}" for f in fields(CreditorRow)[1:])}
RETURNING xmax = 0
"""
_CUSTOMER = "id, ref, name, locale, timezone, country, preferred_channel, attributes, created_at"
_CONTACTS = """
SELECT p.customer_id, p.kind, p.address, p.channels, p.priority,
       coalesce((SELECT jsonb_object_agg(s.channel, s.reason) FROM suppression s WHERE s.contact_point_id = p.id), '{}')
  FROM contact_point p WHERE p.customer_id = ANY($1::bigint[]) AND p.retired_at IS NULL
 ORDER BY p.customer_id, p.priority, p.id
"""


async def put_creditor(tx: asyncpg.Connection, row: CreditorRow) -> bool:
    """Whether it is new."""
    return await tx.fetchval(_PUT_CREDITOR, *astuple(row)) is True


async def creditor(connection: asyncpg.Connection, ref: str) -> CreditorRow | None:
    row = await connection.fetchrow(f"SELECT {_CREDITOR} FROM creditor WHERE ref = $1", ref)
    return CreditorRow(*row) if row else None


async def creditors(connection: asyncpg.Connection, after: str, limit: int) -> list[CreditorRow]:
    sql = f"SELECT {_CREDITOR} FROM creditor WHERE ref > $1 ORDER BY ref LIMIT $2"
    return [CreditorRow(*row) for row in await connection.fetch(sql, after, limit)]


async def customer(connection: asyncpg.Connection, ref: str) -> CustomerRow | None:
    row = await connection.fetchrow(f"SELECT {_CUSTOMER} FROM customer WHERE ref = $1", ref)
    return CustomerRow(*row) if row else None


async def customers(connection: asyncpg.Connection, after: str, limit: int) -> list[CustomerRow]:
    sql = f"SELECT {_CUSTOMER} FROM customer WHERE ref > $1 ORDER BY ref LIMIT $2"
    return [CustomerRow(*row) for row in await connection.fetch(sql, after, limit)]


async def contacts(connection: asyncpg.Connection, customer_ids: Sequence[int]) -> list[ContactRow]:
    """Those in use."""
    return [ContactRow(*row) for row in await connection.fetch(_CONTACTS, customer_ids)]
