"""From a look to what the claim shall try: the route's first way, later, or none and why. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

from shared.flow import FOREVER, Caps, Flow, may_interrupt
from shared.routing import (
    FRICTION,
    NOTHING,
    Attempted,
    Candidate,
    ContactPoint,
    Evidence,
    LeftOut,
    Offer,
    chances,
    decision,
    route,
    traits_of,
)


class Looked(NamedTuple):
    """A queued reminder and everything that its route depends on and that is its customer's own. One is made for each
    message, like those below: a tuple, because a frozen dataclass costs several times as much to make."""

    id: int
    customer_id: int
    creditor_id: int
    flow_version_id: int
    step: str
    leg: str
    send_until: datetime
    document_key: str | None
    preferred_channel: str | None
    timezone: str
    country: str | None
    now: datetime
    points: list[ContactPoint]
    suppressed: dict[tuple[int, str], str]
    attempts: list[Attempted]
    evidence: dict[str, Evidence]


@dataclass(frozen=True, slots=True)
class Market:
    """What all routes of the moment have in common: each channel's provider and price, everybody's experience by country,
    and what a contact costs beside its price."""

    offers: Mapping[str, Offer]
    groups: Mapping[str, Mapping[str, Evidence]] = field(default_factory=dict)
    overall: Evidence = NOTHING
    friction: Decimal = FRICTION


class Expected(NamedTuple):
    """`first` is what the claim shall try, with `alternatives` after it; None: there is no way. `reason` says why: of no
    way in a word, of a way as the decision that is kept. `left_out`: the ways that the flow names and that are not taken.
    `caps`: the flow's own."""

    reminder_id: int
    first: Candidate | None
    alternatives: int
    left_out: tuple[LeftOut, ...]
    reason: str | None = None
    caps: Caps | None = None


class Later(NamedTuple):
    """The way would interrupt outside the contact window, or go outside its channel's own; it opens at `at`."""

    reminder_id: int
    at: datetime


def expect(row: Looked, flow: Flow, market: Market) -> Expected | Later:
    step = flow.step(row.step)
    channels = step.channels_of(row.leg)
    found = route(
        channels,
        row.points,
        market.offers,
        suppressed=row.suppressed,
        preferred_channel=row.preferred_channel,
        attempted=row.attempts,
        chances=chances(row.evidence, market.groups.get(row.country or "", {}), market.overall),
        friction=market.friction,
    )
    if not found.candidates:
        reason = _why_none(row, provided=any(channel in market.offers for channel in channels))
        return Expected(row.id, None, 0, found.left_out, reason)
    first = found.candidates[0]
    own = flow.window_of(first.channel)
    if own is not None or (row.send_until == FOREVER and not traits_of(first.channel).discreet):
        opens = may_interrupt(row.now, own or flow.window, ZoneInfo(row.timezone), row.country)
        if opens is not None:
            return Later(row.id, opens)
    why = decision(found, row.preferred_channel)
    return Expected(row.id, first, len(found.candidates) - 1, found.left_out, why, flow.caps)


def _why_none(row: Looked, *, provided: bool) -> str:
    if row.attempts:
        return "no_channel_left"
    return "no_usable_contact" if provided else "no_provider"
