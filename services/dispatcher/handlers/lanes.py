"""How many messages a provider may have under way, so that a slow one never blocks another.

True here: a slot is taken before the claim and given back after the send, so no more is claimed than can be handed off
inside the window: two rounds of the provider's connections before it was measured, one of a slow provider, more only of one
that answers fast. What finds no slot is put off behind all that was put off before it, at the provider's own pace, so that a
backlog waits instead of circling; a moment in which everything stands still puts it off for as long as that moment, and says
little about the pace. Nobody waits for slots that cannot come in time: who waits keeps other providers' messages waiting, too.
"""

import asyncio
import random
from contextlib import suppress
from time import monotonic

ROUNDS_LEAST, ROUNDS_FIRST, ROUNDS_MOST = 1, 2, 20
SHARE = 0.25  # of the window, in which all that is under way is handed off at today's speed
SMOOTHING = 0.05
STRETCH = 2.0  # how many times the usual one message at most counts for
STALLED = 1.0  # seconds without a free slot, after which a lane stands still
SOON, LONGEST = 1.0, 60.0  # seconds that what finds no slot waits, at least and at most


class Lane:
    """One provider's slots. `concurrency`: connections; `window`: seconds from claim to hand-off."""

    def __init__(self, concurrency: int, window: float) -> None:
        self.concurrency = concurrency
        self._share = window * SHARE
        self._busy = 0
        self._seconds = self._share / ROUNDS_FIRST
        self._behind = 0.0
        self._asked = self._done = self._handful = 0
        self._moved = monotonic()
        self.rate: float | None = None  # messages a second that its terms allow
        self._freed = asyncio.Event()
        self._turn = asyncio.Lock()

    @property
    def capacity(self) -> int:
        rounds = self._share / max(self._seconds, 1e-4)
        return self.concurrency * int(min(max(rounds, ROUNDS_LEAST), ROUNDS_MOST))

    @property
    def busy(self) -> int:
        return self._busy

    @property
    def pace(self) -> float:
        """Messages a second."""
        own = self.concurrency / max(self._seconds, 1e-4)
        return min(own, self.rate or own)

    @property
    def _still(self) -> float:
        """For how many seconds every slot has been taken and nothing has ended."""
        return 0.0 if self._free else monotonic() - self._moved

    def hopeless(self, rows: int, seconds: float) -> bool:
        """Whether it is known that so many more would not get their slots in this time."""
        known = self._done >= self.concurrency or self.rate is not None
        return self._still > STALLED or (known and (self._asked + rows) / self.pace > seconds)

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
            self._handful = wanted
            while not self._enough:
                self._freed.clear()
                await self._freed.wait()

    @property
    def _enough(self) -> bool:
        """For whoever waits: asked when a message has ended, so that not every one of them wakes somebody."""
        return self._free >= min(self._handful, max(1, self.capacity // 2))

    @property
    def _free(self) -> int:
        return max(0, self.capacity - self._busy)

    def _grab(self, wanted: int) -> int:
        taken = min(wanted, self._free)
        if taken and not self._busy:
            self._moved = monotonic()
        self._busy += taken
        return taken

    def give_back(self, slots: int = 1) -> None:
        """Of what was not handed to the provider."""
        self._busy -= slots
        self._moved = monotonic()
        if self._asked and self._enough:
            self._freed.set()

    def turns(self, place: int) -> float:
        """How many messages a connection carries until the one in this place, from 1, is through."""
        return max(1.0, place / self.concurrency)

    def ended(self, seconds: float, *, taken: bool) -> None:
        """A message gives its slot back, after so many seconds on a connection. `taken`: by the provider; that it refuses
        fast says nothing about how fast it is."""
        self._done += 1
        if taken or seconds > self._seconds:
            weight = max(SMOOTHING, 1 / self._done)
            self._seconds += weight * (min(seconds, STRETCH * self._seconds) - self._seconds)
        self.give_back()

    def put_off(self, rows: int, *, at_least: float = SOON) -> list[float]:
        """In how many seconds each of these comes again."""
        now, step, least = monotonic(), 1 / self.pace, max(at_least, self._still)
        latest = max(least, LONGEST)
        first = max(self._behind, now + least)
        self._behind = min(first + rows * step, now + latest)
        return [min(first - now + n * step, latest) * random.uniform(1, 1.2) for n in range(rows)]
