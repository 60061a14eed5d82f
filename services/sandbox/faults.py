"""Faults ordered ahead of time for one double: the next requests meet them, in the order they were asked for."""

import asyncio
from collections import deque
from collections.abc import Collection
from enum import StrEnum
from typing import Generic, TypeVar

from fastapi import Request

F = TypeVar("F", bound=StrEnum)


class Faults(Generic[F]):
    def __init__(self, known: Collection[F]) -> None:
        self.known = {fault.value: fault for fault in known}
        self._ordered: deque[F] = deque()

    def order(self, fault: F, times: int = 1) -> None:
        self._ordered.extend([fault] * times)

    def take(self) -> F | None:
        return self._ordered.popleft() if self._ordered else None

    def clear(self) -> None:
        self._ordered.clear()


async def linger(seconds: float, request: Request) -> None:
    """Keep the client waiting, but not longer than it waits: a hanging answer must not hold up a shutdown."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end and not await request.is_disconnected():
        await asyncio.sleep(0.1)
