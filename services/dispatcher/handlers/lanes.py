"""How many messages a provider may have under way, so that a slow one never blocks another.

True here: a slot is taken before the claim and given back after the send, so no more is claimed than can be handed off
inside the window: about two rounds of the provider's connections, more only while it answers fast.
"""

import asyncio
from contextlib import suppress

ROUNDS_LEAST, ROUNDS_MOST = 2, 10
SMOOTHING = 0.05


class Lane:
    """One provider's slots. `concurrency`: connections; `window`: seconds from claim to hand-off."""

    def __init__(self, concurrency: int, window: float) -> None:
        self._concurrency = concurrency
        self._window = window
        self._busy = 0
        self._seconds = window / 2 / ROUNDS_LEAST
        self._freed = asyncio.Event()
        self._turn = asyncio.Lock()

    @property
    def capacity(self) -> int:
        """At today's speed all of it is handed off in half of the window."""
        rounds = self._window / 2 / max(self._seconds, 1e-4)
        return self._concurrency * int(min(max(rounds, ROUNDS_LEAST), ROUNDS_MOST))

    @property
    def busy(self) -> int:
        return self._busy

    async def take(self, wanted: int, patience: float) -> int:
        """Slots for up to `wanted` messages, 0 when none came free in `patience` seconds. First come, first served: nobody
        starves who waits. Waits for a good handful, because a claim costs nearly the same for one as for many."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience), self._turn:
                while self._free < min(wanted, max(1, self.capacity // 2)):
                    self._freed.clear()
                    await self._freed.wait()
                return self._grab(wanted)
        return self._grab(wanted)

    @property
    def _free(self) -> int:
        return max(0, self.capacity - self._busy)

    def _grab(self, wanted: int) -> int:
        taken = min(wanted, self._free)
        self._busy += taken
        return taken

    def give_back(self, slots: int = 1, *, seconds: float | None = None) -> None:
        """`seconds`: how long the provider took for one message, when it did one."""
        self._busy -= slots
        if seconds is not None:
            self._seconds += SMOOTHING * (seconds - self._seconds)
        self._freed.set()
