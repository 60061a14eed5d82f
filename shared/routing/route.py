"""The order in which the ways to reach a customer are tried for one reminder.

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

from shared.routing.channels import ONLY_WHERE_NAMED, REACHED_THROUGH, Channel, ContactKind
from shared.routing.masking import mask_address
from shared.states import AttemptState

GOES_AGAIN = frozenset({AttemptState.NOTSENT, AttemptState.MISSED, AttemptState.RESENT})


class ContactPoint(NamedTuple):
    """One address. `channels`, when given, restricts what it is used for; a lower `priority` goes first."""

    id: int
    kind: ContactKind
    address: str
    channels: tuple[Channel, ...] = ()
    priority: int = 0


class Offer(NamedTuple):
    """The provider that a channel uses now, and what one message costs there."""

    provider: str
    cost: Decimal


class Attempted(NamedTuple):
    channel: Channel
    contact_point_id: int
    state: AttemptState


class Candidate(NamedTuple):
    channel: Channel
    contact_point_id: int
    provider: str
    cost: Decimal


class LeftOut(NamedTuple):
    """A way that the flow names and that was not taken. Formatted only when somebody reads it."""

    channel: Channel
    reason: str
    address: str | None = None

    def __str__(self) -> str:
        where = f"{self.channel} {mask_address(self.address)}" if self.address else f"{self.channel}"
        return f"{where}: {self.reason}"


class Route(NamedTuple):
    """`candidates` in the order to try them; the first one is next. Empty: no channel is left."""

    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]


RankKey = tuple[bool, Decimal, int, int, int]


def route(
    step_channels: tuple[Channel, ...],
    contact_points: Iterable[ContactPoint],
    offers: Mapping[Channel, Offer],
    *,
    suppressed: Mapping[tuple[int, Channel], str],
    preferred_channel: Channel | None = None,
    attempted: Iterable[Attempted] = (),
) -> Route:
    """`offers`: the channels with a provider. `suppressed`: (contact point, channel) -> why it must not be used."""
    used = _used(attempted)
    expired = {channel for (channel, _), state in used.items() if state == AttemptState.EXPIRED}
    ranked: list[tuple[RankKey, Candidate]] = []
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
            key = (channel != preferred_channel, offer.cost, position, point.priority, point.id)
            ranked.append((key, Candidate(channel, point.id, offer.provider, offer.cost)))
    if len(ranked) > 1:
        ranked.sort(key=itemgetter(0))
    return Route(tuple([candidate for _, candidate in ranked]), tuple(left_out))


def _used(attempted: Iterable[Attempted]) -> dict[tuple[Channel, int], AttemptState]:
    """The ways that are spent. `expired` wins over an older state of the same way."""
    used: dict[tuple[Channel, int], AttemptState] = {}
    for attempt in attempted:
        key = (attempt.channel, attempt.contact_point_id)
        if attempt.state not in GOES_AGAIN and used.get(key) != AttemptState.EXPIRED:
            used[key] = attempt.state
    return used


def _reaches(point: ContactPoint, channel: Channel) -> bool:
    if REACHED_THROUGH[channel] != point.kind:
        return False
    if point.channels:
        return channel in point.channels
    return channel not in ONLY_WHERE_NAMED
