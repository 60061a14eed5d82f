"""POST /v1/invoices/import: many invoices in one streamed body.

What must stay true: the answer begins after the last line was read (clients write first, then read), and waits on
disk until then.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, BinaryIO, cast

import orjson
from fastapi import Depends, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import SchemaValidator

from services.scheduler.api.body_lines import LONGEST_LINE, TooLong, lines
from services.scheduler.api.csv_rows import CsvRows, columns_of
from services.scheduler.api.documents_in import keep
from services.scheduler.api.examples import IMPORT_BODIES
from services.scheduler.api.invoice_body import InvoiceIn, read_invoice
from services.scheduler.api.parts import Parts, SchedulerParts
from services.scheduler.domain.new_invoice import NewInvoice
from services.scheduler.handlers.import_invoices import Line, LineResult, import_invoices, status_of
from shared.kernel import json
from shared.kernel.errors import BadRequest, Invalid, Problem, TooLarge, Unsupported
from shared.web.auth import require
from shared.web.problems import declared, invalid
from shared.web.strict import strict_router

NDJSON = "application/x-ndjson"
CSV = "text/csv"
SPOOLED = 1024 * 1024
CHUNK = 64 * 1024
LINES_A_TURN = 32  # read without letting others run: about 3 ms

router = strict_router("invoices")


class ImportedLine(BaseModel):
    """One line of the answer."""

    model_config = ConfigDict(frozen=True)

    line: int = Field(description="counted from 1; in CSV the first row after the header")
    invoice_id: str | None
    status: str = Field(examples=["created"], description="created, unchanged or error")
    problem: dict[str, Any] | None = None


@router.post(
    "/v1/invoices/import",
    dependencies=[Depends(require("invoices:write"))],
    response_class=StreamingResponse,
    openapi_extra={"requestBody": {"required": True, "content": IMPORT_BODIES}},
    responses={
        200: {
            "description": "One line for each line of the body, in their order",
            "content": {NDJSON: {"schema": ImportedLine.model_json_schema()}},
        },
        **declared(400, 401, 403, 408, 413, 415),
    },
)
async def post_import(request: Request, parts: Parts) -> StreamingResponse:
    """Takes many invoices in: NDJSON (objects as POST takes them) or CSV. Lines are committed by the thousand; a bad
    one
    stops no other; the same body again changes nothing."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in (NDJSON, CSV):
        raise Unsupported(f"send the invoices as {NDJSON} or {CSV}, and say which in Content-Type")
    source = _read_csv(request, parts) if media_type == CSV else _read_ndjson(request, parts)
    answer = cast(BinaryIO, tempfile.SpooledTemporaryFile(SPOOLED))  # noqa: SIM115  # closed when it was sent
    try:
        async for results in import_invoices(parts.db, parts.flows, source, parts.wake):
            answer.write(b"".join(map(_line_out, results)))
    except BaseException:
        answer.close()
        raise
    answer.seek(0)
    return StreamingResponse(_sent(answer), media_type=NDJSON)


async def _read_ndjson(request: Request, parts: SchedulerParts) -> AsyncIterator[list[Line]]:
    number = 0
    async for some in lines(request.stream()):
        for turn in _turns(some):
            numbered = list(enumerate(turn, start=number + 1))
            number += len(turn)
            yield [await _line(at, raw, json.loads, parts) for at, raw in numbered if raw]
            await asyncio.sleep(0)


async def _read_csv(request: Request, parts: SchedulerParts) -> AsyncIterator[list[Line]]:
    number, rows = 0, None
    async for some in lines(request.stream()):
        if rows is None:
            if isinstance(some[0], TooLong):
                raise TooLarge(f"the header is longer than {LONGEST_LINE} bytes")
            rows, some = CsvRows(some[0]), some[1:]
        for turn in _turns(some):
            numbered = list(enumerate(turn, start=number + 1))
            number += len(turn)
            yield [await _line(at, raw, rows.read, parts, csv=True) for at, raw in numbered if raw]
            await asyncio.sleep(0)
    if rows is None:
        raise BadRequest("the body is empty; the first line of a CSV names its columns")


def _turns(some: list[bytes | TooLong]) -> Iterator[list[bytes | TooLong]]:
    return (some[at : at + LINES_A_TURN] for at in range(0, len(some), LINES_A_TURN))


_VALIDATOR = cast(SchemaValidator, InvoiceIn.__pydantic_validator__)


async def _line(
    number: int, raw: bytes | TooLong, read: Callable[[bytes], Any], parts: SchedulerParts, *, csv: bool = False
) -> Line:
    ref, body = None, None
    try:
        if isinstance(raw, TooLong):
            raise TooLarge(f"the line is longer than {LONGEST_LINE // 1024**2} MiB; send this invoice by POST")
        body = read(raw)
        ref = _ref(body)
        content: NewInvoice | Problem = await _content(body, parts)
    except Problem as problem:
        content = _by_column(problem, body) if csv and body else problem
    return Line(number, ref, content)


async def _content(body: Any, parts: SchedulerParts) -> NewInvoice:
    try:
        checked: InvoiceIn = _VALIDATOR.validate_python(body)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_input=False), body) from None
    document = await keep(parts.documents, parts.fetch, checked.document) if checked.document else None
    return read_invoice(checked, document, sandbox=parts.sandbox)


def _ref(body: Any) -> str | None:
    ref = body.get("invoice_id") if isinstance(body, dict) else None
    return ref if isinstance(ref, str) and len(ref) <= 128 else None


def _by_column(problem: Problem, body: dict[str, Any]) -> Problem:
    errors = columns_of(problem.errors, body)
    if not errors:
        return problem
    return Invalid(f"{errors[0].pointer}: {errors[0].detail}", errors=errors)


def _line_out(result: LineResult) -> bytes:
    outcome = result.outcome
    said: dict[str, Any] = {
        "line": result.line.number,
        "invoice_id": result.line.ref,
        "status": status_of(outcome),
    }
    if isinstance(outcome, Problem):
        said["problem"] = outcome.as_dict()
    return orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)


async def _sent(answer: BinaryIO) -> AsyncIterator[bytes]:
    try:
        while chunk := answer.read(CHUNK):
            yield chunk
    finally:
        answer.close()
