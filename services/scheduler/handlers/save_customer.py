"""One customer comes in by itself: the same statements as in intake."""

import asyncpg

from services.scheduler.domain.new_invoice import NewCustomer
from services.scheduler.store import accepting_customers


async def save_customer(tx: asyncpg.Connection, given: NewCustomer) -> bool:
    """Whether the customer is new."""
    known = await accepting_customers.customers(tx, [given.ref])
    await accepting_customers.upsert_customers(tx, [given])
    ids = await accepting_customers.customers(tx, [given.ref])
    await accepting_customers.replace_contact_points(tx, [given], ids, await tx.fetchval("SELECT business_now()"))
    return given.ref not in known
