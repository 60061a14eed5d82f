"""One piece of work, again and again, until told to stop. It survives every error of the work."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger("scheduler")
LONGEST_PAUSE = 30.0


class Loop:
    """Calls `work` again at once while it answers True, else after `pause` seconds or `wake()`; after an error, later
    and later."""

    def __init__(self, name: str, work: Callable[[], Awaitable[bool]], pause: float) -> None:
        self.name = name
        self._work = work
        self._pause = pause
        self._wake = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        """After the piece of work that is under way."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        failures = 0
        while not self._stopping:
            self._wake.clear()
            try:
                pause = 0.0 if await self._work() else self._pause
                failures = 0
            except Exception as error:  # a loop goes on, whatever it met
                failures += 1
                pause = min(LONGEST_PAUSE, self._pause * 2**failures)
                log.warning("loop_failed", loop=self.name, failures=failures, again_in=pause, exc_info=error)
            if not self._stopping:
                await self._rest(pause)

    async def _rest(self, pause: float) -> None:
        if pause == 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(pause):
                await self._wake.wait()
        except TimeoutError:
            pass
