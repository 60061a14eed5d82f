"""Moves business time forward without leaping over anything that is due on the way.

Every due, backoff and fallback instant up to the target is visited in order, and time stands at each until nothing is
due, queued or sending and no double owes a bounce or callback. One caller moves at a time. Time never goes backwards.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from shared.kernel.errors import Invalid, Unavailable

SHORTEST_PAUSE, LONGEST_PAUSE = 0.005, 0.1


class Timeline(Protocol):
    """Business time and what waits for it, as the ledger knows it."""

    async def now(self) -> datetime: ...

    async def next_instant(self, before: datetime) -> datetime | None:
        """The earliest instant after now and not after `before` at which something falls due; None if there is none."""

    async def move_to(self, instant: datetime) -> None: ...

    async def quiet(self) -> bool:
        """Nothing is due, queued or sending."""


class Doubles(Protocol):
    """What the clock asks the doubles: how much they owe, and a counter that grows with everything they do."""

    def owes(self) -> int: ...

    def activity(self) -> int: ...


class Clock:
    def __init__(self, timeline: Timeline, doubles: Doubles, *, stall_seconds: float = 60.0) -> None:
        self._timeline, self._doubles, self._stall = timeline, doubles, stall_seconds
        self._moving = asyncio.Lock()
        self._offset = timedelta()

    def now(self) -> datetime:
        """Business time as of the last look at the timeline, without asking it: for the stamp on a message."""
        return datetime.now(UTC) + self._offset

    async def read(self) -> datetime:
        now = await self._timeline.now()
        self._offset = now - datetime.now(UTC)
        return now

    async def move(self, target_from: Callable[[datetime], datetime]) -> datetime:
        """Walk to the instant that `target_from(now)` names, once nobody else is walking; answers where time stands."""
        async with self._moving:
            now = await self.read()
            target = target_from(now)
            if target < now:
                raise Invalid(f"time only moves forward: it is {now.isoformat()}, {target.isoformat()} has passed")
            await self._settle()
            await self._visit_instants(target)
            await self._step_to(target)
            return await self.read()

    async def _visit_instants(self, target: datetime) -> None:
        last: datetime | None = None
        while (instant := await self._timeline.next_instant(target)) is not None:
            if instant == last:
                raise Unavailable(f"what is due at {instant.isoformat()} stays due; see the reminders that are pending")
            await self._step_to(instant)
            last = instant

    async def _step_to(self, instant: datetime) -> None:
        # Business time also runs by itself: settling may have taken it past the instant already.
        if instant > await self._timeline.now():
            await self._timeline.move_to(instant)
        await self.read()
        await self._settle()

    async def _settle(self) -> None:
        """Return when all is quiet; give up when nothing at all has happened for `stall_seconds`."""
        loop = asyncio.get_running_loop()
        pause, activity, since = SHORTEST_PAUSE, self._doubles.activity(), loop.time()
        while not await self._is_settled():
            if activity != self._doubles.activity():
                pause, activity, since = SHORTEST_PAUSE, self._doubles.activity(), loop.time()
            if loop.time() - since > self._stall:
                raise Unavailable(await self._stuck())
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 1.5)

    async def _is_settled(self) -> bool:
        # The doubles must have stood still around the look at the ledger: a callback that ends in between may have
        # made a reminder due after the look.
        before = self._doubles.activity()
        if self._doubles.owes() or not await self._timeline.quiet():
            return False
        return self._doubles.owes() == 0 and self._doubles.activity() == before

    async def _stuck(self) -> str:
        owed, stands = self._doubles.owes(), (await self.read()).isoformat()
        what = [] if await self._timeline.quiet() else ["reminders stay due, queued or sending (GET /v1/reminders)"]
        what += [f"the doubles still owe {owed} bounces or callbacks (does the receiver answer?)"] if owed else []
        found = "; ".join(what) or "it has become quiet only now, try again"
        return f"time stands at {stands}; nothing moved for {self._stall:g} s: {found}"
