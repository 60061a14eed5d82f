"""Documents on their way in: decoded, checked, and in the store before any row names them."""

import base64
import binascii

from services.scheduler.api.invoice_body import DocumentIn
from services.scheduler.domain.new_invoice import NewDocument
from services.scheduler.handlers.fetch_document import DocumentRefused, FetchDocument
from shared.documents import Documents, clean_filename, clean_media_type
from shared.kernel.errors import FieldError, Invalid, Problem


async def keep(
    documents: Documents, fetch: FetchDocument, body: DocumentIn | None, *, at: str = "/document"
) -> NewDocument | None:
    """The stored document of a body that has one. `at`: where in the body it stands."""
    if body is None:
        return None
    if body.content_base64 is not None and body.url is None:
        content = decode(body.content_base64, at)
    elif body.url is not None and body.content_base64 is None:
        content = await _fetched(fetch, body.url, at)
    else:
        raise _wrong(at, "needs either 'content_base64' or 'url'")
    return await keep_content(documents, content, body.filename, body.media_type, at=at)


async def _fetched(fetch: FetchDocument, url: str, at: str) -> bytes:
    try:
        return await fetch(url)
    except DocumentRefused as error:
        raise _wrong(f"{at}/url", str(error)) from None


async def keep_content(
    documents: Documents, content: bytes, filename: str, media_type: str, *, at: str = ""
) -> NewDocument:
    if not content:
        raise _wrong(at, "the document is empty")
    try:
        kind = clean_media_type(media_type)
    except ValueError as error:
        raise _wrong(f"{at}/media_type", str(error)) from None
    return NewDocument(await documents.put(content), clean_filename(filename), kind, len(content))


def decode(text: str, at: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _wrong(f"{at}/content_base64", "is not base64; send the file's bytes in standard base64") from None


def _wrong(pointer: str, detail: str) -> Problem:
    return Invalid(f"{pointer}: {detail}" if pointer else detail, errors=(FieldError(pointer, detail),))
