"""Why a route begins as it does, in few words: kept with each attempt, shown to the clerk.

What must stay true: no address and no name is in it. It is made once for all reminders that were decided alike.
"""

from decimal import Decimal
from functools import lru_cache
from typing import Any

from shared.kernel import json
from shared.routing.route import Route

ONLY, PREFERRED, CHANCE, COST = "only", "preferred", "chance", "cost"
Way = tuple[str, str, Decimal, float | None]


def decision(found: Route, preferred_channel: str | None) -> str:
    """JSON: `by` what the first way leads, the `ways` in order as [channel, provider, cost, chance], and what is left
    `out` as [channel, reason]."""
    ways = tuple(
        [(way.channel, way.provider, way.cost, way.chance and round(way.chance, 3)) for way in found.candidates]
    )
    return _written(ways, tuple([(out.channel, out.reason) for out in found.left_out]), preferred_channel)


@lru_cache(4096)
def _written(ways: tuple[Way, ...], out: tuple[tuple[str, str], ...], preferred: str | None) -> str:
    written = [(channel, provider, f"{cost:f}", chance) for channel, provider, cost, chance in ways]
    said: dict[str, Any] = {"by": _by(ways, preferred), "ways": written}
    return json.dumps({**said, "out": out} if out else said).decode()


def _by(ways: tuple[Way, ...], preferred: str | None) -> str:
    first, others = ways[0], ways[1:]
    if not others:
        return ONLY
    if first[0] == preferred and any(way[0] != preferred for way in others):
        return PREFERRED
    return CHANCE if any(way[2] < first[2] for way in others) else COST
