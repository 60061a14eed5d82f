"""Single changes of an invoice, under its lock."""

from datetime import date
from decimal import Decimal

import asyncpg

from services.scheduler.domain.new_invoice import NewDocument


async def installment(tx: asyncpg.Connection, part_id: int, due_date: date, amount: Decimal) -> None:
    await tx.execute("UPDATE installment SET due_date = $2, amount = $3 WHERE id = $1", part_id, due_date, amount)


async def flow(tx: asyncpg.Connection, invoice_id: int, version: int) -> bool:
    """Whether it was another one."""
    sql = "UPDATE invoice SET flow_version_id = $2 WHERE id = $1 AND flow_version_id <> $2 RETURNING true"
    return await tx.fetchval(sql, invoice_id, version) is True


async def payment_url(tx: asyncpg.Connection, invoice_id: int, url: str) -> None:
    await tx.execute("UPDATE invoice SET payment_url = $2 WHERE id = $1", invoice_id, url)


_DOCUMENT = """
UPDATE invoice SET document_key = $2, document_name = $3, document_type = $4, document_size = $5 WHERE id = $1
"""


async def document(tx: asyncpg.Connection, invoice_id: int, new: NewDocument) -> None:
    await tx.execute(_DOCUMENT, invoice_id, new.key, new.name, new.media_type, new.size)


_DELIVERED = """
SELECT EXISTS (SELECT FROM reminder WHERE invoice_id = $1 AND anchor = 'issue'
                AND state IN ('sending', 'accepted', 'delivered', 'uncertain'))
"""


async def is_delivered(tx: asyncpg.Connection, invoice_id: int) -> bool:
    """Whether the invoice went out, or may have."""
    return await tx.fetchval(_DELIVERED, invoice_id) is True
