"""How many messages a provider may have under way, so that a slow one never blocks another.

True here: a slot is taken before the claim and given back after the send, so no more is claimed than can be handed off
inside the window: about two rounds of the provider's connections, more only while it answers fast.
"""

import asyncio

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

    @property
    def capacity(self) -> int:
        """At today's speed all of it is handed off in half of the window."""
        rounds = self._window / 2 / max(self._seconds, 1e-4)
        return self._concurrency * int(min(max(rounds, ROUNDS_LEAST), ROUNDS_MOST))

    @property
    def busy(self) -> int:
        return self._busy

    async def take(self, wanted: int, patience: float) -> int:
        """Slots for up to `wanted` messages, 0 when none came free in `patience` seconds. Waits for a good handful
        rather than taking them one by one: a claim costs nearly the same for one as for many."""
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        while True:
            free = self.capacity - self._busy
            if free >= min(wanted, max(1, self.capacity // 2)):
                break
            self._freed.clear()
            left = until - loop.time()
            if left <= 0:
                break
            try:
                async with asyncio.timeout(left):
                    await self._freed.wait()
            except TimeoutError:
                pass
        taken = max(0, min(wanted, self.capacity - self._busy))
        self._busy += taken
        return taken

    def give_back(self, slots: int = 1, *, seconds: float | None = None) -> None:
        """`seconds`: how long the provider took for one message, when it did one."""
        self._busy -= slots
        if seconds is not None:
            self._seconds += SMOOTHING * (seconds - self._seconds)
        self._freed.set()
