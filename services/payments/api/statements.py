"""`/v1/statements`: a bank's statement file, sent here or picked up.

True here: the body waits on disk, never in memory; a 2xx leaves only after every entry that can be read is committed
and the hand-off barrier is over; a broken file is a 422 and has no effect.
"""

import tempfile
from datetime import datetime
from typing import Annotated, Any, BinaryIO, Literal, cast

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel

from services.payments.api.parts import PaymentsParts
from services.payments.domain.pick_up import Ended, Place
from services.payments.domain.statement import WrongFile
from services.payments.handlers.take_statement import Taken, take_statement
from services.payments.store.sources import FILES, FILES_KIND, built_in_source, find_source
from services.payments.store.statement_files import StatementFile, list_files
from shared.kernel.errors import Conflict, FieldError, Invalid, NotFound
from shared.web.auth import Scope, require
from shared.web.fields import Ref
from shared.web.paging import Page, Paged
from shared.web.parts import part
from shared.web.problems import declared
from shared.web.strict import strict_router

HEAD = 4096
router: APIRouter = strict_router("payments")
_ANY = {"schema": {"type": "string", "format": "binary"}}
_BODY: dict[str, Any] = {
    "required": True,
    "description": "the file as the bank made it: camt.052, camt.053, camt.054, MT940 or MT942; its content says which",
    "content": {"application/xml": _ANY, "text/plain": _ANY, "application/octet-stream": _ANY},
}


class EntryError(BaseModel):
    """`place`: the entry by its number, with the line where the format has lines."""

    place: str
    detail: str


class TakenStatement(BaseModel):
    """`entries` were found; each is in just one of the counts. `ignored`: money that went out. Of `errors` the first
    hundred are in `problems`."""

    format: str
    source: str
    entries: int
    matched: int
    unmatched: int
    pending: int
    reversed: int
    duplicates: int
    ignored: int
    errors: int
    problems: list[EntryError]


class WaitingFile(BaseModel):
    """`said`: why it could not be read, or what became of it. Files of a folder are moved away, and are here only while
    they wait."""

    source: str
    place: Place
    name: str
    version: str
    state: Literal["waiting"] | Ended
    tries: int
    next_try_at: datetime | None
    ended_at: datetime | None
    said: str | None


@router.post(
    "/v1/statements",
    dependencies=[Depends(require(Scope.PAYMENTS_WRITE))],
    responses=declared(401, 403, 404, 408, 409, 413),
    openapi_extra={"requestBody": _BODY},
    summary="Book a bank statement file; sending it again, or one that overlaps, books nothing twice",
)
async def take(
    request: Request,
    parts: Annotated[PaymentsParts, part(PaymentsParts)],
    source: Annotated[Ref | None, Query(description="a source of kind 'statement'; one account is one source")] = None,
) -> TakenStatement:
    source_id = await _source(parts, source or FILES)
    with tempfile.TemporaryFile() as spooled:
        file = cast(BinaryIO, spooled)
        async for chunk in request.stream():
            file.write(chunk)
        file.seek(0)
        try:
            reader = parts.reader_of(file.read(HEAD))
            file.seek(0)
            taken = await take_statement(parts.recorder, source_id, reader, file, parts.rules)
        except WrongFile as error:
            raise Invalid(str(error), errors=(FieldError("", str(error)),)) from None
    return _shown(taken, source or FILES)


@router.get(
    "/v1/statements/files",
    dependencies=[Depends(require(Scope.PAYMENTS_READ))],
    responses=declared(400, 401, 403),
    summary="The files that wait in the folder and in buckets, and what became of those that stay there; the latest first",
)
async def files(
    paging: Paged,
    parts: Annotated[PaymentsParts, part(PaymentsParts)],
    source: Annotated[Ref | None, Query(description="of this source only")] = None,
) -> Page[WaitingFile]:
    (before,) = paging.last(int) or (None,)
    async with parts.db.connection() as connection:
        rows = await list_files(connection, source, before, paging.limit + 1)
    shown, cursor = paging.cut(rows, lambda row: (row.id,))
    return Page(items=[_file(row) for row in shown], next_cursor=cursor)


def _file(row: StatementFile) -> WaitingFile:
    return WaitingFile(
        source=row.source,
        place=Place(row.place),
        name=row.name,
        version=row.version,
        state=Ended(row.ended) if row.ended else "waiting",
        tries=row.tries,
        next_try_at=None if row.ended else row.due_at,
        ended_at=row.done_at,
        said=row.said,
    )


async def _source(parts: PaymentsParts, ref: str) -> int:
    async with parts.db.connection() as connection:
        found = await find_source(connection, ref)
        if found is None and ref == FILES:
            return await built_in_source(connection, FILES, FILES_KIND)
    if found is None:
        raise NotFound(f"there is no payment source {ref!r}; PUT it with the kind 'statement' first")
    if found.kind != FILES_KIND:
        raise Conflict(f"the source {ref!r} is of the kind {found.kind!r}; files need one of the kind 'statement'")
    return found.id


def _shown(taken: Taken, source: str) -> TakenStatement:
    names = ("matched", "unmatched", "pending", "reversed", "duplicates", "ignored", "errors")
    return TakenStatement(
        format=taken.format,
        source=source,
        entries=taken.entries,
        **{name: taken.counts[name] for name in names},
        problems=[EntryError(place=bad.place, detail=bad.detail) for bad in taken.errors],
    )
