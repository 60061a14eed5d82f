"""Twilio's API as far as it is used, over real HTTP, with scripted answers. What Twilio's published description does not
know is answered 400 whatever the script says."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, parse_qsl

from services.sandbox.twilio_api import operation_of
from tests.doubles.web_server import served, whole_body


@dataclass
class TwilioApi:
    """`answers` are given in turn, then 201s; `hang` takes a request and never answers it."""

    answers: list[tuple[int, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    hang: bool = False
    release: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    def refuse(self, status: int, code: int, message: str, **headers: str) -> None:
        self.answers.append((status, {"code": code, "message": message, "status": status}, headers))

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = await whole_body(receive)
        self.paths.append(scope["path"])
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        self.requests.append({name: values[0] for name, values in parse_qs(body.decode()).items()})
        operation = operation_of(scope["method"], scope["path"])
        pairs = parse_qsl(body.decode(), keep_blank_values=True)
        if operation and (faults := operation.faults(pairs)):
            code = 20001 if operation.unknown(pairs) else 20422
            self.answers.insert(0, (400, {"code": code, "message": "; ".join(faults), "status": 400}, {}))
        if self.hang:
            await self.release.wait()
        sid = f"SM{len(self.requests):032d}"
        status, answer, headers = self.answers.pop(0) if self.answers else (201, {"sid": sid, "status": "queued"}, {})
        named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        named.append((b"content-type", b"application/json"))
        await send({"type": "http.response.start", "status": status, "headers": named})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


@asynccontextmanager
async def twilio_api() -> AsyncIterator[TwilioApi]:
    api = TwilioApi()
    async with served(api) as api.url:
        try:
            yield api
        finally:
            api.release.set()
