"""An S3-compatible object store over real HTTP: ListObjectsV2 in pages and GetObject, for signed requests only.

It checks Signature Version 4 on the request as it came, with code of its own; a real client (obstore) is tried on it.
"""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote
from xml.sax.saxutils import escape

from tests.doubles.web_server import answer, served, whole_body

ACCESS, SECRET, REGION = "AKIDEXAMPLE", "wJalrXUtnFEMI+bPxRfiCYEXAMPLEKEY", "eu-test-1"
XML = {"content-type": "application/xml"}


@dataclass
class ObjectStore:
    """`objects`: content by key. `refuse`: the next requests are answered with these statuses. `cut`: bytes of each object
    that are sent of what was announced. `hidden`: keys that are listed and not
    given. `hangs`: after what was cut nothing comes until `release`."""

    origin: str = ""
    bucket: str = "bank-files"
    objects: dict[str, bytes] = field(default_factory=dict)
    page: int = 2
    refuse: list[int] = field(default_factory=list)
    cut: int | None = None
    hidden: set[str] = field(default_factory=set)
    hangs: bool = False
    release: asyncio.Event = field(default_factory=asyncio.Event)
    strangers: int = 0
    asked: list[str] = field(default_factory=list)
    listing: bytes | None = None
    before_get: Callable[[str], None] | None = None

    def settings(self, **more: Any) -> dict[str, Any]:
        return {
            "endpoint": self.origin,
            "name": self.bucket,
            "region": REGION,
            "access_key_id": ACCESS,
            "secret_access_key": SECRET,
            **more,
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = await whole_body(receive)
        path = scope["raw_path"].decode()
        query = scope["query_string"].decode()
        self.asked.append(unquote(path) + (f"?{query}" if query else ""))
        if not genuine(scope, path, query, body):
            self.strangers += 1
            return await answer(send, 403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>", XML)
        if self.refuse:
            return await answer(send, self.refuse.pop(0), b"<Error><Code>SlowDown</Code></Error>", XML)
        bucket, _, key = unquote(path).removeprefix("/").partition("/")
        if bucket != self.bucket:
            return await answer(send, 404, b"<Error><Code>NoSuchBucket</Code></Error>", XML)
        if key:
            return await self._object(dict(scope["headers"]), key, send)
        return await answer(send, 200, self.listing or self._list(dict(parse_qsl(query))), XML)

    def _list(self, asked: dict[str, str]) -> bytes:
        after = bytes.fromhex(asked["continuation-token"]).decode() if "continuation-token" in asked else ""
        after = max(after, asked.get("start-after", ""))
        keys = sorted(key for key in self.objects if key.startswith(asked.get("prefix", "")) and key > after)
        some = keys[: min(self.page, int(asked.get("max-keys", "1000")))]
        url = asked.get("encoding-type") == "url"
        items = "".join(
            f"<Contents><Key>{quote(key, safe='/') if url else escape(key)}</Key><LastModified>2026-11-22T10:00:00.000Z</LastModified>"
            f"<ETag>&quot;{etag(self.objects[key])}&quot;</ETag><Size>{len(self.objects[key])}</Size></Contents>"
            for key in some
        )
        further = some and some != keys
        token = f"<NextContinuationToken>{some[-1].encode().hex()}</NextContinuationToken>" if further else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{self.bucket}</Name><KeyCount>{len(some)}</KeyCount><IsTruncated>{'true' if further else 'false'}</IsTruncated>"
            f"{'<EncodingType>url</EncodingType>' if url else ''}{items}{token}</ListBucketResult>"
        ).encode()

    async def _object(self, headers: dict[bytes, bytes], key: str, send: Any) -> None:
        if self.before_get:
            self.before_get(key)
        if key in self.hidden:
            return await answer(send, 403, b"<Error><Code>AccessDenied</Code></Error>", XML)
        content = self.objects.get(key)
        if content is None:
            return await answer(send, 404, b"<Error><Code>NoSuchKey</Code></Error>", XML)
        tag = f'"{etag(content)}"'
        if headers.get(b"if-match", tag.encode()) != tag.encode():
            return await answer(send, 412, b"<Error><Code>PreconditionFailed</Code></Error>", XML)
        named = {"etag": tag, "content-length": str(len(content)), "last-modified": "Sun, 22 Nov 2026 10:00:00 GMT"}
        if self.cut is None:
            return await answer(send, 200, content, named)
        start = {"type": "http.response.start", "status": 200}
        await send({**start, "headers": [(name.encode(), value.encode()) for name, value in named.items()]})
        await send({"type": "http.response.body", "body": content[: self.cut], "more_body": True})
        if self.hangs:
            await self.release.wait()
        return None  # and hangs up


def etag(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def genuine(scope: Any, path: str, query: str, body: bytes) -> bool:
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    algorithm, _, given = headers.get("authorization", "").partition(" ")
    parts = dict(part.strip().split("=", 1) for part in given.split(",") if "=" in part)
    access, day, region, *service = (parts.get("Credential", "") + "////").split("/")[:5]
    if algorithm != "AWS4-HMAC-SHA256" or [access, region, *service] != [ACCESS, REGION, "s3", "aws4_request"]:
        return False
    names = parts["SignedHeaders"].split(";")
    pairs = sorted((quote(n, safe="-_.~"), quote(v, safe="-_.~")) for n, v in parse_qsl(query, keep_blank_values=True))
    payload = headers.get("x-amz-content-sha256", "")
    if payload not in ("UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()) or "host" not in names:
        return False
    canonical = "\n".join(
        [
            scope["method"],
            path,
            "&".join(f"{n}={v}" for n, v in pairs),
            *(f"{name}:{headers.get(name, '').strip()}" for name in names),
            "",
            parts["SignedHeaders"],
            payload,
        ]
    )
    said = "\n".join(
        [
            algorithm,
            headers["x-amz-date"],
            f"{day}/{region}/s3/aws4_request",
            hashlib.sha256(canonical.encode()).hexdigest(),
        ]
    )
    key = b"AWS4" + SECRET.encode()
    for text in (day, region, "s3", "aws4_request", said):
        key = hmac.new(key, text.encode(), hashlib.sha256).digest()
    return headers["x-amz-date"].startswith(day) and hmac.compare_digest(key.hex(), parts.get("Signature", ""))


@asynccontextmanager
async def object_store() -> AsyncIterator[ObjectStore]:
    store = ObjectStore()
    async with served(store) as origin:
        store.origin = origin
        yield store
