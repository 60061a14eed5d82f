"""Intake: an import through the real endpoint against COPY of the same rows into the same tables; and what memory it takes."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from tests.bench.figures import Figure, Goal
from tests.bench.processes import Child, peak_resident, resident
from tests.bench.sizes import Sizes
from tests.bench.stage import API_KEY, Ground, Stage, Wanted
from tests.servers.postgres import run

CHUNK = 256 * 1024
LONGEST = 2400.0
TABLES = ("customer", "contact_point", "invoice", "installment", "reminder", "event")
EMPTY = f"TRUNCATE {', '.join(TABLES)}, attempt, hold, payment, allocation, suppression, customer_contact CASCADE"
COLUMNS = """
SELECT array_agg(quote_ident(attname) ORDER BY attnum) FROM pg_attribute
 WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
"""


@dataclass(frozen=True, slots=True)
class Imported:
    lines: int
    seconds: float
    rest: float
    peak: float

    @property
    def rate(self) -> float:
        return self.lines / self.seconds


def grounds(_sizes: Sizes) -> list[Ground]:
    """None: it begins with nothing."""
    return []


def measure(stage: Stage, sizes: Sizes) -> list[Figure]:
    few, many = (stage.database(f"intake_{name}") for name in ("few", "many"))
    with ExitStack() as stack:
        hosts = [stack.enter_context(stage.broker.fresh_virtual_host()) for _ in range(2)]
        wanted = (Wanted("scheduler", few, hosts[0]), Wanted("scheduler", many, hosts[1]))
        one, other = stack.enter_context(stage.services(*wanted))
        small = _import(stage, *one, sizes.import_lines // 5)
        large = _import(stage, *other, sizes.import_lines)
    copied = small.lines / run(_copy(few, stage.folder))
    stage.tell(f"intake: COPY of a fifth of the rows, {copied:,.0f} lines/s")
    for database in (few, many):
        stage.forget(database)
    return _figures(small, large, copied)


def _figures(small: Imported, large: Imported, copied: float) -> list[Figure]:
    n, grown = large.lines, large.peak / small.peak
    return [
        Figure("import, against COPY", large.rate, "lines/s", copied, large.rate / copied, Goal(">=", 0.08), n),
        Figure("  its peak memory, against a fifth", large.peak, "MB", small.peak, grown, Goal("<=", 1.2), n),
        Figure("  scheduler at rest", large.rest, "MB", n=n),
    ]


def _import(stage: Stage, scheduler: Child, port: int, lines: int) -> Imported:
    """By a process that did nothing else, so that its peak is that of this import."""
    file = stage.folder / "import.ndjson"
    with file.open("wb") as out:
        out.writelines(_lines(lines))
    rest = resident(scheduler.pid)
    began = time.monotonic()
    run(_post(port, file, lines))
    imported = Imported(lines, time.monotonic() - began, rest, peak_resident(scheduler.pid))
    stage.tell(f"intake: {lines:,} lines, {imported.rate:,.0f} lines/s, at most {imported.peak:.0f} MB")
    return imported


def _lines(count: int) -> Iterator[bytes]:
    issued = datetime.now(UTC).date() + timedelta(days=2)  # nothing of it is due yet: intake alone is measured
    for number in range(count):
        points = [
            {"kind": "email", "address": f"ana{number}@example.com"},
            {"kind": "phone", "address": f"+346{number % 100_000_000:08}"},
        ]
        line = {
            "invoice_id": f"INV-2026-{number:07}",
            "number": f"2026/{number}",
            "issue_date": str(issued),
            "due_date": str(issued + timedelta(days=20 + number % 60)),
            "currency": "EUR",
            "amount": f"{100 + number % 900}.50",
            "customer": {
                "customer_id": f"C-{number}",
                "name": f"Ana García {number}",
                "locale": "es-ES",
                "timezone": "Europe/Madrid",
                "country": "ES",
                "contact_points": points,
            },
        }
        yield json.dumps(line, ensure_ascii=False).encode() + b"\n"


async def _post(port: int, file: Path, lines: int) -> None:
    """Writes first, then reads, as clients do; every line has to be answered with `created`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        "POST /v1/invoices/import HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {API_KEY}",
        "Content-Type: application/x-ndjson",
        f"Content-Length: {file.stat().st_size}",
        "Connection: close",
    )
    writer.write(("\r\n".join(head) + "\r\n\r\n").encode())
    async with asyncio.timeout(LONGEST):
        with file.open("rb") as body:
            while chunk := body.read(CHUNK):
                writer.write(chunk)
                await writer.drain()
        status = await reader.readline()
        created = 0
        while answer := await reader.read(CHUNK):
            created += answer.count(b'"created"')
    writer.close()
    if b" 200 " not in status or created < lines - lines // 1000:  # a word may lie across two reads
        raise RuntimeError(f"the import was answered with {status!r}, and {created} of {lines} lines were created")


async def _empty(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(EMPTY)
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def _copy(database: str, folder: Path) -> float:
    """Seconds to load what the import has made, all its tables in one transaction, with their keys and checks."""
    connection = await asyncpg.connect(database)
    try:
        columns = {table: await connection.fetchval(COLUMNS, table) for table in TABLES}
        for table in TABLES:
            query = f"SELECT {', '.join(columns[table])} FROM {table} ORDER BY id"
            await connection.copy_from_query(query, output=folder / f"{table}.rows", format="binary")
        await _empty(database)
        began = time.monotonic()
        async with connection.transaction():
            for table in TABLES:
                names = [name.strip('"') for name in columns[table]]
                await connection.copy_to_table(table, source=folder / f"{table}.rows", columns=names, format="binary")
        return time.monotonic() - began
    finally:
        await connection.close()
