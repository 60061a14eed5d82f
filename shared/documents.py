"""Documents: content-addressed files in an object store, written once, never changed.

The key is the SHA-256 of the content, so the same file is stored once and a key never means two things. The object is
on disk before its row: a row without its document cannot be, a document without a row is only waste. A store that is
away, full or closed to us is `Unavailable`: the same again may succeed later.
"""

import asyncio
import hashlib
import os
import re
import unicodedata
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

import obstore
import structlog
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from shared.kernel.errors import NotFound, TooLarge, Unavailable

if TYPE_CHECKING:
    from obstore import GetResult

MAX_BYTES = 20 * 1024 * 1024
CHUNK = 256 * 1024

log = structlog.get_logger("documents")

_KEY = re.compile(r"[0-9a-f]{64}")
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,62}")


@dataclass(frozen=True, slots=True)
class Document:
    """One stored file, to be read once."""

    size: int
    chunks: AsyncIterator[bytes]


class Documents:
    """The store behind `file:///folder` or `s3://bucket/prefix` (credentials from the environment, as usual for S3)."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._folder = Path(unquote(parts.path)) if parts.scheme == "file" else None
        self._store: ObjectStore = LocalStore(self._folder, mkdir=True) if self._folder else from_url(url)

    async def put(self, content: bytes) -> str:
        """The key, once the content is safe; `TooLarge` above 20 MiB."""
        if len(content) > MAX_BYTES:
            raise TooLarge(f"the document is larger than {MAX_BYTES // 1024**2} MiB; send a smaller file")
        key = hashlib.sha256(content).hexdigest()
        with _answering():
            with suppress(AlreadyExistsError):
                await obstore.put_async(self._store, _path(key), content, mode="create")
            if self._folder:
                await asyncio.to_thread(_sync, self._folder / _path(key))
        return key

    async def open(self, key: str) -> Document:
        """The document in pieces; `NotFound` if there is none."""
        if not _KEY.fullmatch(key):
            raise NotFound("there is no such document")
        with _answering():
            try:
                found = await obstore.get_async(self._store, _path(key))
            except FileNotFoundError:
                raise NotFound("there is no such document") from None
        return Document(found.meta["size"], _chunks(found))

    async def get(self, key: str) -> bytes:
        """The whole document, at most 20 MiB."""
        document = await self.open(key)
        return b"".join([chunk async for chunk in document.chunks])

    async def check(self) -> None:
        """For readiness: raises what the store raises."""
        with suppress(FileNotFoundError):
            await obstore.head_async(self._store, "dunnock-readiness")


def clean_filename(text: str, fallback: str = "document") -> str:
    """A name without path, control characters, quotes or leading dots, at most 120 characters, its ending kept."""
    name = unicodedata.normalize("NFC", text).replace("\\", "/").rpartition("/")[2]
    name = "".join(c for c in name if c.isprintable() and c not in '"<>:|?*;').strip(" .")
    stem, dot, ending = name.rpartition(".")
    if len(name) > 120 and dot and len(ending) <= 10:
        name = f"{stem[: 119 - len(ending)].rstrip()}.{ending}"
    return name[:120] or fallback


def clean_media_type(text: str) -> str:
    """'Application/PDF; name=x' -> 'application/pdf'; ValueError for what is no media type."""
    media_type = text.partition(";")[0].strip().lower()
    if not _MEDIA_TYPE.fullmatch(media_type):
        raise ValueError('must be a media type such as "application/pdf"')
    return media_type


def content_disposition(filename: str) -> str:
    """The header of a download; always an attachment, because a foreign file shown inline runs in our origin."""
    plain = filename.encode("ascii", "replace").decode().replace("?", "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


def _path(key: str) -> str:
    return f"{key[:2]}/{key}"


async def _chunks(found: "GetResult") -> AsyncIterator[bytes]:
    with _answering():
        async for chunk in found.stream(min_chunk_size=CHUNK):
            yield bytes(chunk)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        log.error("documents_unavailable", reason=str(error).partition("\n")[0][:300])
        raise Unavailable(
            "the store of documents does not answer or has no room; send the same request again"
        ) from error


def _sync(path: Path) -> None:
    """obstore renames into place but does not sync: after a power cut the row would stand without its file."""
    for place in (path, path.parent, path.parent.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
