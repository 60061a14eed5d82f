"""How many messages a provider may have under way, so that a slow one never blocks another.

True here: a slot is taken before the claim and given back after the send, so no more is claimed than can be handed off
inside the window: two rounds of the provider's connections before it was measured, one of a slow provider, more only of one
that answers fast. What finds no slot is
put off behind all that was put off before it, at the provider's own pace, so that a backlog waits instead of circling.
Nobody waits for slots that cannot come in time: who waits keeps other providers' messages waiting, too.
"""

import asyncio
import random
from contextlib import suppress
from time import monotonic

ROUNDS_LEAST, ROUNDS_FIRST, ROUNDS_MOST = 1, 2, 20
SMOOTHING = 0.05
STALLED = 1.0  # seconds without a free slot, after which a lane counts as slow before it was measured
SOON, LONGEST = 1.0, 60.0  # seconds that what finds no slot waits, at least and at most


class Lane:
    """One provider's slots. `concurrency`: connections; `window`: seconds from claim to hand-off."""

    def __init__(self, concurrency: int, window: float) -> None:
        self.concurrency = concurrency
        self._window = window
        self._busy = 0
        self._seconds = window / 2 / ROUNDS_FIRST
        self._held = self._seconds
        self._behind = 0.0
        self._asked = self._done = 0
        self._moved = monotonic()
        self.rate: float | None = None  # messages a second that its terms allow
        self._freed = asyncio.Event()
        self._turn = asyncio.Lock()

    @property
    def capacity(self) -> int:
        """At today's speed all of it is handed off in half of the window."""
        rounds = self._window / 2 / max(self._seconds, 1e-4)
        return self.concurrency * int(min(max(rounds, ROUNDS_LEAST), ROUNDS_MOST))

    @property
    def busy(self) -> int:
        return self._busy

    @property
    def pace(self) -> float:
        """Messages a second."""
        own = self.capacity / max(self._held, 1e-4)
        return min(own, self.rate or own)

    def hopeless(self, rows: int, seconds: float) -> bool:
        """Whether it is known that so many more would not get their slots in this time."""
        stalled = self._free == 0 and monotonic() - self._moved > STALLED
        known = stalled or self._done >= self.concurrency or self.rate is not None
        return known and (self._asked + rows) / self.pace > seconds

    async def take(self, wanted: int, patience: float) -> int:
        """Slots for up to `wanted` messages, 0 when none came free in `patience` seconds. First come, first served: nobody
        starves who waits. Waits for a good handful, because a claim costs nearly the same for one as for many."""
        if not self.hopeless(wanted, patience):
            self._asked += wanted
            try:
                with suppress(TimeoutError):
                    await self._wait(wanted, patience)
            finally:
                self._asked -= wanted
        return self._grab(wanted)

    async def _wait(self, wanted: int, patience: float) -> None:
        async with asyncio.timeout(patience), self._turn:
            while self._free < min(wanted, max(1, self.capacity // 2)):
                self._freed.clear()
                await self._freed.wait()

    @property
    def _free(self) -> int:
        return max(0, self.capacity - self._busy)

    def _grab(self, wanted: int) -> int:
        taken = min(wanted, self._free)
        if taken and not self._busy:
            self._moved = monotonic()
        self._busy += taken
        return taken

    def give_back(self, slots: int = 1, *, seconds: float | None = None, held: float | None = None) -> None:
        """`held`: how long a message was under way; `seconds`: the same, when the provider took it."""
        self._busy -= slots
        if seconds is not None:
            self._seconds += SMOOTHING * (seconds - self._seconds)
        if held is not None:
            self._done += 1
            self._held += max(SMOOTHING, 1 / self._done) * (held - self._held)
        self._moved = monotonic()
        self._freed.set()

    def put_off(self, rows: int, *, at_least: float = SOON) -> list[float]:
        """In how many seconds each of these comes again."""
        now, step = monotonic(), 1 / self.pace
        first = max(self._behind, now + at_least)
        self._behind = min(first + rows * step, now + max(at_least, LONGEST))
        latest = max(at_least, LONGEST)
        return [min(first - now + n * step, latest) * random.uniform(1, 1.2) for n in range(rows)]
