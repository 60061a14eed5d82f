"""Raw connections for the ledger's tests, as the services have them."""

import json

import asyncpg


async def connect(dsn: str, role: str | None = None) -> asyncpg.Connection:
    settings = {"timezone": "UTC", "jit": "off", **({"role": role} if role else {})}
    connection = await asyncpg.connect(dsn, server_settings=settings)
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    return connection
