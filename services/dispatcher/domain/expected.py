"""From a look to what the claim shall try: the route's first way, later, or none and why. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from shared.flow import FOREVER, Flow, may_interrupt
from shared.routing import Attempted, Candidate, ContactPoint, LeftOut, Offer, route, traits_of


@dataclass(frozen=True, slots=True)
class Looked:
    """A queued reminder and everything its route depends on."""

    id: int
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


@dataclass(frozen=True, slots=True)
class Expected:
    """`first` is what the claim shall try, with `alternatives` after it; None: there is no way, and `reason` says why.
    `left_out`: the ways that the flow names and that are not taken."""

    reminder_id: int
    first: Candidate | None
    alternatives: int
    left_out: tuple[LeftOut, ...]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Later:
    """The way would interrupt outside the contact window; it opens at `at`."""

    reminder_id: int
    at: datetime


def expect(row: Looked, flow: Flow, offers: Mapping[str, Offer]) -> Expected | Later:
    step = flow.step(row.step)
    channels = step.channels_of(row.leg)
    found = route(
        channels,
        row.points,
        offers,
        suppressed=row.suppressed,
        preferred_channel=row.preferred_channel,
        attempted=row.attempts,
    )
    if not found.candidates:
        reason = _why_none(row, provided=any(channel in offers for channel in channels))
        return Expected(row.id, None, 0, found.left_out, reason)
    first = found.candidates[0]
    if row.send_until == FOREVER and not traits_of(first.channel).discreet:
        opens = may_interrupt(row.now, flow.window, ZoneInfo(row.timezone), row.country)
        if opens is not None:
            return Later(row.id, opens)
    return Expected(row.id, first, len(found.candidates) - 1, found.left_out)


def _why_none(row: Looked, *, provided: bool) -> str:
    if row.attempts:
        return "no_channel_left"
    return "no_usable_contact" if provided else "no_provider"
