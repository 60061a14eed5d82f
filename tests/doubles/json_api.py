"""An HTTP API with scripted answers, over real HTTP: what the channels push and http speak to in tests."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.doubles.web_server import served, whole_body


@dataclass
class Request:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class JsonApi:
    """`answers` are given in turn, then `usual`; `hang` takes a request and never answers it."""

    usual: tuple[int, Any, dict[str, str]]
    answers: list[tuple[int, Any, dict[str, str]]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    hang: bool = False
    release: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    def answer(self, status: int, body: Any = None, **headers: str) -> None:
        self.answers.append((status, body, headers))

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = await whole_body(receive)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        query = scope["query_string"].decode()
        if scope["method"] != "HEAD":
            self.requests.append(Request(scope["method"], scope["raw_path"].decode(), query, headers, body))
            if self.hang:
                await self.release.wait()
        status, answer, more = self.answers.pop(0) if self.answers else self.usual
        content = answer if isinstance(answer, bytes) else b"" if answer is None else json.dumps(answer).encode()
        named = [(name.replace("_", "-").encode(), value.encode()) for name, value in more.items()]
        await send({"type": "http.response.start", "status": status, "headers": named})
        await send({"type": "http.response.body", "body": content})


@asynccontextmanager
async def json_api(status: int = 200, body: Any = None, **headers: str) -> AsyncIterator[JsonApi]:
    """One that usually answers so."""
    api = JsonApi((status, body, headers))
    async with served(api) as api.url:
        try:
            yield api
        finally:
            api.release.set()
