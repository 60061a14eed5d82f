"""`POST /v1/statements`: a bank's statement file.

True here: the body waits on disk, never in memory; a 2xx leaves only after every entry that can be read is committed
and the hand-off barrier is over; a broken file is a 422 and has no effect.
"""

import tempfile
from typing import Annotated, Any, BinaryIO, cast

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel

from services.payments.api.parts import PaymentsParts
from services.payments.domain.statement import WrongFile
from services.payments.handlers.take_statement import Taken, take_statement
from services.payments.store.sources import FILES, FILES_KIND, built_in_source, find_source
from shared.kernel.errors import Conflict, FieldError, Invalid, NotFound
from shared.web.auth import Scope, require
from shared.web.fields import Ref
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
