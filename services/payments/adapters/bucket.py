"""A bucket of an S3-compatible object store where statement files are put: ListObjectsV2 and GetObject, nothing else.

True here: a file is used only when all of it came, in the version that was listed; it waits on disk, never in memory;
what the store says is bounded, and none of it, nor a secret, is in what is raised.
"""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO, cast
from urllib.parse import unquote_plus, urlsplit

import httpx
from lxml import etree

from services.payments.adapters.s3_signature import Key, escaped_path, escaped_query, signed_headers
from services.payments.domain.bucket_settings import BucketSettings
from services.payments.domain.pick_up import LARGEST, MOST_NAME, Ended, Found, Gone, NotNow, too_large
from services.payments.domain.statement import WrongFile
from shared.outgoing import TargetRefused

PAGE = 1000
MOST_LISTED = 8 * 1024 * 1024  # bytes of a page
TIMEOUT = 300.0  # seconds for one file
LIST_TIMEOUT = 30.0  # seconds for a page
_VERSION = re.compile(r"[!#-~]{1,200}")
_SAID = {
    301: "the bucket is in another region, or at another endpoint",
    403: "access is denied: the keys must be right and may s3:ListBucket and s3:GetObject",
    404: "there is no such bucket",
    503: "the store asks to slow down",
}


@dataclass(frozen=True, slots=True)
class _Page:
    found: list[Found]
    further: str | None


class Bucket:
    """`client`: for URLs that somebody wrote; it must let answers of LARGEST bytes through."""

    def __init__(self, settings: BucketSettings, client: httpx.AsyncClient) -> None:
        self._settings = settings
        self._client = client
        self._host = urlsplit(settings.origin).netloc
        self._key = Key(settings.access_key_id, settings.secret_access_key, settings.region, settings.session_token)

    async def pages(self, after: str) -> AsyncIterator[Sequence[Found]]:
        query = {"list-type": "2", "max-keys": str(PAGE), "encoding-type": "url", "prefix": self._settings.prefix}
        further: str | None = None
        while True:
            start = {"continuation-token": further} if further else {"start-after": after} if after else {}
            page = _listed(await self._asked({**query, **start}))
            yield page.found
            if page.further is None or page.further == further:
                return
            further = page.further

    async def _asked(self, query: dict[str, str]) -> bytes:
        body = bytearray()
        async with _in_time(), self._answer(self._settings.root, query) as answer:
            if answer.status_code != 200:
                raise NotNow(_SAID.get(answer.status_code, f"the store answers HTTP {answer.status_code}"))
            async for piece in answer.aiter_raw():
                body += piece
                if len(body) > MOST_LISTED:
                    raise NotNow(f"a page of the listing is larger than {MOST_LISTED // 1024 // 1024} MiB")
        return bytes(body)

    @asynccontextmanager
    async def open(self, found: Found) -> AsyncIterator[BinaryIO]:
        with tempfile.TemporaryFile() as spooled:
            file = cast(BinaryIO, spooled)
            await self._fetch(found, file)
            file.seek(0)
            yield file

    async def _fetch(self, found: Found, file: BinaryIO) -> None:
        matching = {"if-match": f'"{found.version}"'}
        async with self._answer(f"{self._settings.root}{found.name}", {}, matching) as answer:
            if answer.status_code in (404, 412):
                raise Gone
            if answer.status_code != 200:
                raise NotNow(_SAID.get(answer.status_code, f"the store answers HTTP {answer.status_code}"))
            if answer.headers.get("etag", "").strip('"') != found.version:
                raise NotNow("the store sent another version than it listed")
            expected = answer.headers.get("content-length", "")
            if not expected.isdigit():
                raise NotNow("the store does not say how large the file is, so nobody can tell whether all of it came")
            if int(expected) > LARGEST:
                raise WrongFile(too_large())
            async for piece in answer.aiter_raw():
                await asyncio.to_thread(file.write, piece)

    async def put_away(self, found: Found, ended: Ended, said: str) -> bool:
        """It stays where it is: reading needs no right to write."""
        return False

    @asynccontextmanager
    async def _answer(
        self, path: str, query: Mapping[str, str], more: Mapping[str, str] | None = None
    ) -> AsyncIterator[httpx.Response]:
        headers = signed_headers(self._key, self._host, path, query, datetime.now(UTC), more)
        target = escaped_path(path) + (f"?{escaped_query(query)}" if query else "")
        url = httpx.URL(self._settings.origin).copy_with(raw_path=target.encode())
        if url.raw_path != target.encode():
            raise NotNow("its name has parts such as '..', which no URL can ask for")
        try:
            async with self._client.stream("GET", url, headers=headers) as answer:
                yield answer
        except TargetRefused as error:
            raise NotNow(str(error)) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NotNow(f"no whole answer ({type(error).__name__})") from None


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(LIST_TIMEOUT):
            yield
    except TimeoutError:
        raise NotNow(f"no whole listing within {LIST_TIMEOUT:g} seconds") from None


def _listed(body: bytes) -> _Page:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError:
        raise NotNow("the store's listing is not XML") from None
    if root.getroottree().docinfo.doctype or etree.QName(root).localname != "ListBucketResult":
        raise NotNow("the store answers something else than a listing; is the endpoint right?")
    escaped = root.findtext("{*}EncodingType") == "url"
    found = [each for item in root.iterfind("{*}Contents") if (each := _found(item, escaped))]
    further = root.findtext("{*}NextContinuationToken") if root.findtext("{*}IsTruncated") == "true" else None
    return _Page(found, further)


def _found(item: etree._Element, escaped: bool) -> Found | None:
    """None: a folder, or a name that cannot be kept."""
    name = item.findtext("{*}Key") or ""
    name = unquote_plus(name) if escaped else name
    version = (item.findtext("{*}ETag") or "").strip('"')
    usable = 0 < len(name.encode()) <= MOST_NAME and "\0" not in name and not name.endswith("/")
    return Found(name, version) if usable and _VERSION.fullmatch(version) else None
