"""A customer's channels in the order in which a reminder that names all of them would try them, with the reason. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from services.scheduler.domain.sentences import CHANNELS
from shared.routing import Candidate, Chances, ContactPoint, Offer, Route, route


@dataclass(frozen=True, slots=True)
class Placed:
    """`per_success`: cost of a contact, beside its price too, for each one that reaches and moves."""

    way: Candidate
    chance: float
    per_success: float
    reason: str


def in_order(
    points: list[ContactPoint],
    offers: Mapping[str, Offer],
    suppressed: Mapping[tuple[int, str], str],
    preferred: str | None,
    estimate: Chances,
    friction: Decimal,
) -> tuple[list[Placed], Route]:
    channels = tuple(sorted(offers, key=lambda name: (offers[name].cost, name)))
    found = route(
        channels,
        points,
        offers,
        suppressed=suppressed,
        preferred_channel=preferred,
        chances=estimate,
        friction=friction,
    )
    cheapest = min((way.cost for way in found.candidates), default=Decimal(0))
    return [
        _placed(way, place, preferred, estimate, friction, cheapest) for place, way in enumerate(found.candidates)
    ], found


def _placed(
    way: Candidate, place: int, preferred: str | None, estimate: Chances, friction: Decimal, cheapest: Decimal
) -> Placed:
    chance = estimate(way.channel)
    per_success = float(way.cost + friction) / chance
    name = CHANNELS.get(way.channel, way.channel)
    sum_of_it = (
        f"{way.cost.normalize():f} and {friction.normalize():f} for the contact, at {chance:.0%}: {per_success:.4f}"
    )
    if way.channel == preferred:
        reason = f"the customer prefers {name}"
    elif place == 0 and way.cost == cheapest:
        reason = f"the cheapest, also for each success ({sum_of_it})"
    elif place == 0:
        reason = f"not the cheapest, but the least for each success ({sum_of_it})"
    else:
        reason = f"more for each success, or less preferred, than what stands before it ({sum_of_it})"
    return Placed(way, chance, per_success, reason)
