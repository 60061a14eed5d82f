"""What an endpoint's answer means for the event that it was given: taken, again later, or never again.

True here: an event is tried for five days and no longer; 410 means that nobody listens there any more; what the endpoint
itself asks for (Retry-After) only makes it later.
"""

from dataclasses import dataclass
from datetime import timedelta

PATIENCE = timedelta(days=5)
PROBE_AFTER = 5  # failures in a row, after which an endpoint is asked with one event at a time
MOST_ASKED_FOR = timedelta(days=1)
_STEPS = tuple(timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 43200))


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` None: no answer at all, and `detail` says why. `retry_after`: what the endpoint asked for."""

    status: int | None
    detail: str
    retry_after: timedelta | None = None

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        return self.status == 410


def backoff(tries: int, answer: Answer, chance: float) -> timedelta:
    """Until the next try, after so many; `chance` (0 to 1) spreads what failed together by up to a tenth."""
    step = _STEPS[min(tries, len(_STEPS)) - 1] * (1 + chance / 10)
    return max(step, min(answer.retry_after or timedelta(0), MOST_ASKED_FOR))


def explained(status: int) -> str:
    """A status that is not 2xx, for the delivery log."""
    if 300 <= status < 400:
        return f"HTTP {status}: redirects are not followed; change the endpoint's URL to the new one"
    return f"HTTP {status}"
