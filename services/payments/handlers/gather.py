"""Calls that come while others are under way go together in the next one.

True here: nothing waits for company, only, while `at_once` calls are under way, for the first of them to end.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Gather(Generic[Asked, Answer]):
    """`work` answers each of what it is given, in that order; what it raises, each of them raises. `at_once`: calls of
    it; `most`: how many it is given at most."""

    def __init__(
        self, work: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer]]], *, at_once: int, most: int
    ) -> None:
        self._work = work
        self._at_once = at_once
        self._most = most
        self._waiting: deque[tuple[Asked, asyncio.Future[Answer]]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def __call__(self, asked: Asked) -> Answer:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if len(self._running) < self._at_once:
            task = asyncio.create_task(self._run())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await answer

    async def _run(self) -> None:
        try:
            while batch := self._next():
                await self._answer(batch)
        finally:  # not one turn of the loop later: who asks in between would believe that somebody still looks
            self._running.discard(asyncio.current_task())

    async def _answer(self, batch: Sequence[tuple[Asked, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._work([asked for asked, _ in batch])
            for (_, waits), answer in zip(batch, answers, strict=True):
                if not waits.done():
                    waits.set_result(answer)
        except BaseException as error:
            _refuse(batch, error)
            if not isinstance(error, Exception):
                raise

    def _next(self) -> list[tuple[Asked, asyncio.Future[Answer]]]:
        """Without those who have gone meanwhile."""
        batch: list[tuple[Asked, asyncio.Future[Answer]]] = []
        while self._waiting and len(batch) < self._most:
            asked, waits = self._waiting.popleft()
            if not waits.done():
                batch.append((asked, waits))
        return batch


def _refuse(batch: Sequence[tuple[Asked, asyncio.Future[Answer]]], error: BaseException) -> None:
    for _, waits in batch:
        if not waits.done():
            waits.set_exception(error) if isinstance(error, Exception) else waits.cancel()
