"""P(reaching and moving this customer): how likely a contact on a channel arrives and is acted on. Pure.

What must stay true:
- without any experience every channel has the same chance, so that the order of a route is that of cost;
- it is smoothed: what is known of one customer weighs against what is known of the channel in the customer's country,
  and that against what is known of all channels everywhere; one payment or one bounce never decides alone;
- it rises with what worked and falls with what did not, and nothing else (opens never count: machines fake them).
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

REACHES, MOVES = 0.9, 0.2  # of a contact of which nobody knows anything
OWN_WEIGHT, GROUP_WEIGHT, OVERALL_WEIGHT = 2.0, 20.0, 20.0  # contacts that each prior is worth


class Evidence(NamedTuple):
    """Contacts that ended. `reached` of `tried`: arrived, as far as anybody says; `moved` of `asked`: of those that asked
    for money and arrived, how many an answer, a click or a payment followed within the time that counts."""

    tried: float = 0.0
    reached: float = 0.0
    asked: float = 0.0
    moved: float = 0.0


NOTHING = Evidence()
Chances = Callable[[str], float]


@lru_cache(4096)
def chance(own: Evidence, group: Evidence = NOTHING, overall: Evidence = NOTHING) -> float:
    """Two Beta estimates, each with the wider group's as its prior, multiplied."""
    reaches, moves = REACHES, MOVES
    for level, weight in ((overall, OVERALL_WEIGHT), (group, GROUP_WEIGHT), (own, OWN_WEIGHT)):
        reaches = _mean(level.reached, level.tried, reaches, weight)
        moves = _mean(level.moved, level.asked, moves, weight)
    return reaches * moves


def chances(own: Mapping[str, Evidence], group: Mapping[str, Evidence], overall: Evidence) -> Chances:
    """Of one customer, channel by channel. `group`: the channels in the customer's country."""
    return lambda channel: chance(own.get(channel, NOTHING), group.get(channel, NOTHING), overall)


def _mean(hits: float, of: float, prior: float, weight: float) -> float:
    return (hits + prior * weight) / (of + weight)
