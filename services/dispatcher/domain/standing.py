"""How a provider stands: its terms, and when a run of bad outcomes means that it is left alone for a while. Pure.

What must stay true:
- only what says something about the provider counts against it: a refused recipient, or a message that came too late
  through our own fault, does not;
- a provider that is misconfigured is stopped by its first word, because no other recipient would fare better;
- each time that it fails again it is left alone for longer, up to a limit.
"""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

from services.dispatcher.domain.outcomes import NotSent, Outcome, Unknown
from services.dispatcher.domain.ports import TOO_LATE

FAILURES = 5  # in a row, before a provider counts as failing


class Cause(StrEnum):
    FAILING = "failing"  # it does not answer, or not to the end
    MISCONFIGURED = "misconfigured"  # it refuses us, whoever the recipient is
    THROTTLED = "throttled"  # it asked for a pause


LONGEST_PAUSE = timedelta(minutes=5)
BASE = {
    Cause.FAILING: timedelta(seconds=2),
    Cause.MISCONFIGURED: timedelta(minutes=1),
    Cause.THROTTLED: timedelta(seconds=5),
}
MOST = {Cause.FAILING: timedelta(minutes=1), Cause.MISCONFIGURED: timedelta(minutes=15), Cause.THROTTLED: LONGEST_PAUSE}


@dataclass(frozen=True, slots=True)
class Terms:
    """What an operator set; None: as the adapter's settings say. `prices`: by the beginning of an address, the longest
    first. `position`: the failover order inside the channel."""

    position: int = 100
    price: Decimal | None = None
    prices: tuple[tuple[str, Decimal], ...] = ()
    concurrency: int | None = None
    rate: float | None = None
    timeout: float | None = None
    max_per_day: int | None = None

    @property
    def counted(self) -> bool:
        """Whether the deployment counts what goes out."""
        return self.rate is not None or self.max_per_day is not None


@dataclass(frozen=True, slots=True)
class Standing:
    """`cause` None: it works. `wait`: seconds until somebody tries it again."""

    cause: Cause | None = None
    wait: float = 0.0
    detail: str = ""


WORKS = Standing()


@dataclass(frozen=True, slots=True)
class Trip:
    """Leave it alone: for `base`, doubled for each time before, `most` at most."""

    cause: Cause
    base: timedelta
    most: timedelta
    detail: str


def speaks_against(outcome: Outcome) -> bool:
    """Whether it is the provider's fault."""
    if isinstance(outcome, NotSent):
        return outcome.retry_in is None and TOO_LATE not in outcome.detail
    return isinstance(outcome, Unknown)


def speaks_for(outcome: Outcome) -> bool:
    """Whether the provider did its work, whatever became of the message."""
    return not isinstance(outcome, NotSent | Unknown)


def trip_of(outcome: Outcome, failures: int) -> Trip | None:
    """`failures`: in a row, this one among them."""
    match outcome:
        case NotSent(detail=detail) if TOO_LATE in detail:
            return None
        case NotSent(detail=detail, misconfigured=True):
            return stop(Cause.MISCONFIGURED, detail)
        case NotSent(detail=detail, retry_in=timedelta() as pause):
            return Trip(Cause.THROTTLED, min(pause, LONGEST_PAUSE), LONGEST_PAUSE, detail)
        case NotSent(detail=detail) | Unknown(detail=detail) if failures >= FAILURES:
            return stop(Cause.FAILING, detail)
        case _:
            return None


def stop(cause: Cause, detail: str) -> Trip:
    return Trip(cause, BASE[cause], MOST[cause], detail)
