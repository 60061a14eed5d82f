"""A channel that nobody heard of, as somebody would add one: an adapter in one file, and what the contract suite needs."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import ClassVar, Self

import httpx

from services.dispatcher.adapters.first_byte import FirstByte
from services.dispatcher.domain.outcomes import Accepted, Outcome, Rejected, SuppressReason
from services.dispatcher.domain.ports import Channel, Gate, GateClosed, Outgoing
from shared.routing import ContactKind
from tests.doubles.json_api import json_api
from tests.doubles.rig import Rig

PHONE = "+4915112345678"


class FaxAcme:
    name: ClassVar[str] = "fax"
    provider: ClassVar[str] = "acme"
    reaches: ClassVar[ContactKind] = ContactKind.PHONE
    concurrency: int = 10

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = httpx.AsyncClient(trust_env=False, timeout=None, limits=httpx.Limits(max_connections=10))

    @classmethod
    def from_settings(cls) -> Self | None:
        url = os.environ.get("DUNNOCK_FAX_URL")
        return cls(url) if url else None

    def price(self, to_address: str) -> Decimal:
        return Decimal("0.02")

    def cost(self, outgoing: Outgoing) -> Decimal:
        return 2 * self.price(outgoing.to_address)  # of two pages

    async def send(self, outgoing: Outgoing, gate: Gate) -> Outcome:
        first_byte = FirstByte(gate)
        try:
            gate.check()
            async with asyncio.timeout(gate.within(60.0)):
                answer = await self._http.post(
                    self._url, json={"to": outgoing.to_address}, extensions=first_byte.extensions
                )
        except (GateClosed, httpx.HTTPError, TimeoutError) as error:
            return first_byte.lost(error)
        if answer.status_code == 422:
            return Rejected("no such number", "422", SuppressReason.INVALID)
        return Accepted(answer.json()["id"])

    async def probe(self) -> bool:
        try:
            async with asyncio.timeout(1.0):
                await self._http.get(self._url)
        except (httpx.HTTPError, TimeoutError):
            return False
        return True

    async def close(self) -> None:
        await self._http.aclose()


@asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    async with json_api(200, {"id": "f1"}) as api:
        yield Rig(
            FaxAcme(f"{api.url}/faxes"),
            PHONE,
            lambda: len(api.requests),
            lambda: setattr(api, "hang", True),
            lambda: api.answer(422, {"error": "no such number"}),
            lambda: setattr(api, "hang", False),
        )


def at(port: int) -> tuple[Channel, str]:
    return FaxAcme(f"http://127.0.0.1:{port}/faxes"), PHONE
