"""The order in which the ways to reach a customer are tried for one reminder.

Ascending by cost / P(reaching and moving this customer), which makes the expected cost until success the least; without
experience that is the order of cost. A stated preference comes before it; what is suppressed takes no part.

What must stay true:
- channels, kinds and states may be the enums or the plain text of a row: they are compared by value;
- the same inputs give the same route, in every process: the claim computes it anew and compares;
- no (channel, contact point) comes up again once an attempt on it may have reached the customer or was refused;
- after an attempt that expired without a receipt the next try is on another channel;
- every way that the flow names and that is not taken is left out with a reason that a clerk understands.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from operator import itemgetter
from typing import NamedTuple

from shared.routing.chance import Chances
from shared.routing.channels import ONLY_WHERE_NAMED, REACHED_THROUGH, ContactKind
from shared.routing.masking import mask_address
from shared.states import AttemptState

# What a contact costs beside its price (the days until the next one, the customer's patience): without it a mail, which costs
# next to nothing, would come first however long it moved nobody.
FRICTION = Decimal("0.01")
GOES_AGAIN = frozenset({AttemptState.NOTSENT, AttemptState.MISSED, AttemptState.RESENT})


class ContactPoint(NamedTuple):
    """One address. `channels`, when given, restricts what it is used for; a lower `priority` goes first."""

    id: int
    kind: ContactKind
    address: str
    channels: tuple[str, ...] = ()
    priority: int = 0


class Offer(NamedTuple):
    """The provider that a channel uses now, and what one message costs there: by the beginning of its address where
    `prices` has it (the longest beginnings first), else `cost`."""

    provider: str
    cost: Decimal
    prices: tuple[tuple[str, Decimal], ...] = ()

    def price(self, address: str) -> Decimal:
        for beginning, price in self.prices:
            if address.startswith(beginning):
                return price
        return self.cost


class Attempted(NamedTuple):
    channel: str
    contact_point_id: int
    state: AttemptState


class Candidate(NamedTuple):
    """`chance` is estimated only where there was something to choose between."""

    channel: str
    contact_point_id: int
    provider: str
    cost: Decimal
    chance: float | None = None


class LeftOut(NamedTuple):
    """A way that the flow names and that was not taken. Formatted only when somebody reads it."""

    channel: str
    reason: str
    address: str | None = None

    def __str__(self) -> str:
        where = f"{self.channel} {mask_address(self.address)}" if self.address else f"{self.channel}"
        return f"{where}: {self.reason}"


class Route(NamedTuple):
    """`candidates` in the order to try them; the first one is next. Empty: no channel is left."""

    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]


RankKey = tuple[bool, Decimal | float, int, int, int]


def route(
    step_channels: tuple[str, ...],
    contact_points: Iterable[ContactPoint],
    offers: Mapping[str, Offer],
    *,
    suppressed: Mapping[tuple[int, str], str],
    preferred_channel: str | None = None,
    attempted: Iterable[Attempted] = (),
    chances: Chances | None = None,
    friction: Decimal = FRICTION,
) -> Route:
    """`offers`: the channels with a provider. `suppressed`: (contact point, channel) -> why it must not be used.
    `chances`: this customer's, by channel."""
    used = _used(attempted)
    expired = {channel for (channel, _), state in used.items() if state == AttemptState.EXPIRED}
    ways: list[tuple[int, str, Offer, ContactPoint]] = []
    left_out: list[LeftOut] = []
    points = list(contact_points)
    for position, channel in enumerate(step_channels):
        offer = offers.get(channel)
        if offer is None:
            left_out.append(LeftOut(channel, "no provider"))
            continue
        usable = [point for point in points if _reaches(point, channel)]
        if not usable:
            left_out.append(LeftOut(channel, f"no {REACHED_THROUGH[channel]} that is used for it"))
        for point in usable:
            reason: str | None = suppressed.get((point.id, channel)) or used.get((channel, point.id))
            if reason is None and channel in expired:
                reason = "no receipt came on this channel"
            if reason is not None:
                left_out.append(LeftOut(channel, reason, point.address))
                continue
            ways.append((position, channel, offer, point))
    weigh = chances if len(ways) > 1 else None
    ranked: list[tuple[RankKey, Candidate]] = []
    for position, channel, offer, point in ways:
        cost = offer.price(point.address) if offer.prices else offer.cost
        chance = weigh(channel) if weigh else None
        weight = cost if chance is None else float(cost + friction) / chance
        key = (channel != preferred_channel, weight, position, point.priority, point.id)
        ranked.append((key, Candidate(channel, point.id, offer.provider, cost, chance)))
    ranked.sort(key=itemgetter(0))
    return Route(tuple([candidate for _, candidate in ranked]), tuple(left_out))


def _used(attempted: Iterable[Attempted]) -> dict[tuple[str, int], AttemptState]:
    """The ways that are spent. `expired` wins over an older state of the same way."""
    used: dict[tuple[str, int], AttemptState] = {}
    for attempt in attempted:
        key = (attempt.channel, attempt.contact_point_id)
        if attempt.state not in GOES_AGAIN and used.get(key) != AttemptState.EXPIRED:
            used[key] = attempt.state
    return used


def _reaches(point: ContactPoint, channel: str) -> bool:
    if REACHED_THROUGH[channel] != point.kind:
        return False
    if point.channels:
        return channel in point.channels
    return channel not in ONLY_WHERE_NAMED
