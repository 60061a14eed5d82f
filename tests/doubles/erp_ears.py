"""An ERP that hears events: it verifies each signature as its own library says, and then takes it, fails or hangs."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.doubles.web_server import answer, served, whole_body

Event = dict[str, Any]


@dataclass
class ErpEars:
    """`secrets`: any of them may have signed. `heard`: what it answered 204 to; `refused`: everything else it was given.
    `judge` says the status of an event; `hang`: it takes a request and never answers."""

    url: str = ""
    secrets: list[str] = field(default_factory=list)
    heard: list[Event] = field(default_factory=list)
    refused: list[Event] = field(default_factory=list)
    forged: int = 0
    headers: list[dict[str, str]] = field(default_factory=list)
    judge: Callable[[Event], int] = lambda _: 204
    answer_headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    open_now: int = 0
    most_open: int = 0

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.heard]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = await whole_body(receive)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.headers.append(headers)
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            await self._take(headers, body, send)
        finally:
            self.open_now -= 1

    async def _take(self, headers: dict[str, str], body: bytes, send: Any) -> None:
        if not any(self._verifies(secret, headers, body) for secret in self.secrets):
            self.forged += 1
            await answer(send, 401)
            return
        event = json.loads(body) | {"id": headers["webhook-id"]}
        if self.hang:
            await asyncio.sleep(3600)
        status = self.judge(event)
        (self.heard if 200 <= status < 300 else self.refused).append(event)
        await answer(send, status, headers=self.answer_headers)

    def _verifies(self, secret: str, headers: dict[str, str], body: bytes) -> bool:
        try:
            Webhook(secret).verify(body.decode(), headers)
        except WebhookVerificationError:
            return False
        return True


@asynccontextmanager
async def erp_ears() -> AsyncIterator[ErpEars]:
    ears = ErpEars()
    async with served(ears) as origin:
        ears.url = f"{origin}/hooks"
        yield ears
