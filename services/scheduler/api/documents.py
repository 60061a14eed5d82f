"""The document of an invoice: put, replaced before its delivery, downloaded."""

from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.responses import StreamingResponse
from starlette.datastructures import UploadFile

from services.scheduler.api.documents_in import keep_content
from services.scheduler.api.invoice_answer import DocumentOut, document_out
from services.scheduler.api.parts import Parts
from services.scheduler.handlers.attach_document import attach_document
from services.scheduler.store import views
from shared.documents import MAX_BYTES, content_disposition
from shared.kernel.errors import BadRequest, NotFound, TooLarge, Unsupported
from shared.web.auth import require
from shared.web.problems import declared
from shared.web.strict import strict_router

router = strict_router("invoices")
BINARY = {"schema": {"type": "string", "format": "binary"}}
FORM = {"schema": {"type": "object", "required": ["file"], "properties": {"file": BINARY["schema"]}}}


@router.put(
    "/v1/invoices/{invoice_id}/document",
    response_model=DocumentOut,
    dependencies=[Depends(require("invoices:write"))],
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/pdf": BINARY, "multipart/form-data": FORM}}
    },
    responses=declared(400, 401, 403, 404, 409, 413, 415),
)
async def put_document(
    invoice_id: str,
    request: Request,
    parts: Parts,
    filename: Annotated[
        str | None, Query(max_length=255, description="of a raw body", examples=["invoice.pdf"])
    ] = None,
) -> DocumentOut:
    """Attaches a document, or replaces it as long as the invoice has not been delivered. The body is the file itself,
    with its Content-Type, or a form with a field `file`."""
    async with parts.db.connection() as connection:  # before the body is read: a wrong id costs nothing
        if await views.invoice_by_ref(connection, invoice_id) is None:
            raise NotFound(f"there is no invoice {invoice_id[:128]!r}")
    content, name, media_type = await _file(request, filename or f"{invoice_id}.pdf")
    document = await keep_content(parts.documents, content, name, media_type)
    row = await attach_document(parts.db, invoice_id, document)
    answer = document_out(row)
    assert answer is not None
    return answer


async def _file(request: Request, filename: str) -> tuple[bytes, str, str]:
    """(content, name, media type)."""
    media_type = request.headers.get("content-type", "")
    if media_type.partition(";")[0].strip().lower() != "multipart/form-data":
        if not media_type:
            raise Unsupported("say in Content-Type what the document is, such as application/pdf")
        return _bounded(await request.body()), filename, media_type
    async with request.form(max_files=1, max_fields=10) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise BadRequest("the form needs a field 'file' with the document")
        content = _bounded(await file.read(MAX_BYTES + 1))
        return content, file.filename or filename, file.content_type or "application/octet-stream"


def _bounded(content: bytes) -> bytes:
    if len(content) > MAX_BYTES:
        raise TooLarge(f"the document is larger than {MAX_BYTES // 1024**2} MiB; send a smaller file")
    return content


@router.get(
    "/v1/invoices/{invoice_id}/document",
    response_class=StreamingResponse,
    dependencies=[Depends(require("invoices:read"))],
    responses={200: {"description": "The file", "content": {"application/pdf": BINARY}}, **declared(401, 403, 404)},
)
async def get_document(invoice_id: str, parts: Parts) -> StreamingResponse:
    """The document as it was sent, always as a download."""
    async with parts.db.connection() as connection:
        row = await views.invoice_by_ref(connection, invoice_id)
    if row is None or row.document_key is None:
        what = "no invoice" if row is None else "no document of invoice"
        raise NotFound(f"there is {what} {invoice_id[:128]!r}")
    document = await parts.documents.open(row.document_key)
    headers = {
        "Content-Disposition": content_disposition(row.document_name or "document"),
        "Content-Length": str(document.size),
    }
    return StreamingResponse(document.chunks, media_type=row.document_type, headers=headers)
