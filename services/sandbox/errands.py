"""Carries out what the doubles owe: bounces, reports, callbacks. None is forgotten by a restart; one may be done twice.

A handler performs one errand and says what is left of it. Trouble that may pass (`TryLater`, a broken connection)
is tried again with backoff; after `MAX_TRIES`, or at once for `GiveUp`, the errand is dropped with a warning.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog

from services.sandbox.store import Errand, Store

MAX_TRIES = 40  # with the backoff below about 75 s: longer than a receiver needs to restart
LONGEST_PAUSE = 2.0
CONCURRENT = 16
log = structlog.get_logger()


class TryLater(Exception):
    """The receiver is not there, or is in trouble of its own."""


class GiveUp(Exception):
    """The receiver refused for good."""


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left of an errand, and in how many seconds it is to go on."""

    payload: Mapping[str, Any]
    after: float


Handler = Callable[[Mapping[str, Any]], Awaitable[Rest | None]]


class Errands:
    def __init__(self, store: Store, handlers: Mapping[str, Handler]) -> None:
        self._store = store
        self._handlers = handlers
        self._running: dict[int, asyncio.Task[None]] = {}
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._loop = asyncio.create_task(self._run(), name="sandbox-errands")

    async def stop(self) -> None:
        tasks = [*self._running.values(), *([self._loop] if self._loop else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._store.changed.clear()
            pause = await self._start_due()
            try:
                await asyncio.wait_for(self._store.changed.wait(), pause)
            except TimeoutError:
                continue

    async def _start_due(self) -> float | None:
        """Start what is due and fits; answer the seconds until the next one, None if only a change can bring one."""
        busy = frozenset(self._running)
        if len(busy) >= CONCURRENT:
            return None
        for errand in await self._store.errands(CONCURRENT + len(busy)):
            # What ran when the read began may be over by now: its row would be done a second time.
            if errand.id in busy:
                continue
            if len(self._running) >= CONCURRENT:
                return None
            wait = errand.not_before - time.time()
            if wait > 0:
                return wait
            self._running[errand.id] = asyncio.create_task(self._perform(errand))
        return None

    async def _perform(self, errand: Errand) -> None:
        try:
            await self._step(errand)
        finally:
            del self._running[errand.id]
            self._store.changed.set()

    async def _step(self, errand: Errand) -> None:
        try:
            rest = await self._handlers[errand.kind](errand.payload)
        except (TryLater, OSError) as trouble:
            await self._retry(errand, trouble)
        except Exception as error:  # noqa: BLE001  # a refusal or a bug: either way nobody will ever take it
            await self._give_up(errand, error)
        else:
            await self._go_on(errand, rest)

    async def _go_on(self, errand: Errand, rest: Rest | None) -> None:
        if rest is None:
            await self._store.done(errand)
        else:
            not_before = time.time() + rest.after
            await self._store.postpone(replace(errand, payload=rest.payload, not_before=not_before, tries=0))

    async def _give_up(self, errand: Errand, error: Exception) -> None:
        log.warning("sandbox_errand_given_up", kind=errand.kind, errand_id=errand.id, error=repr(error))
        await self._store.done(errand)

    async def _retry(self, errand: Errand, trouble: Exception) -> None:
        tries = errand.tries + 1
        if tries >= MAX_TRIES:
            await self._give_up(errand, trouble)
            return
        pause = min(LONGEST_PAUSE, 0.05 * 2**tries)
        await self._store.postpone(replace(errand, tries=tries, not_before=time.time() + pause))
