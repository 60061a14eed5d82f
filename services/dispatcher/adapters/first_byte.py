"""A request through the gate, for providers that are called by httpx.

True here: the gate is asked when the connection stands, right before the first byte is written; before that byte nothing
was sent, after it only an answer can say so.
"""

from datetime import timedelta
from typing import Any

import httpx

from services.dispatcher.domain.outcomes import NotSent, Outcome, Unknown
from services.dispatcher.domain.ports import TOO_LATE, Gate, GateClosed
from shared.outgoing import TargetRefused

LONGEST_WAIT = timedelta(hours=1)


class FirstByte:
    """One request's; `written` once its first byte may have left."""

    __slots__ = ("_gate", "written")

    def __init__(self, gate: Gate) -> None:
        self._gate, self.written = gate, False

    @property
    def extensions(self) -> dict[str, Any]:
        """For the request."""
        return {"trace": self._trace}

    def lost(self, error: Exception) -> Outcome:
        """What became of a request that got no answer."""
        text = f"{type(error).__name__}: {error}"[:300]
        match error:
            case GateClosed():
                return NotSent(str(error))
            case httpx.PoolTimeout():
                return NotSent(f"{TOO_LATE}: no connection came free")
            case TargetRefused():
                return NotSent(str(error), misconfigured=True)
            case _:
                return Unknown(text) if self.written else NotSent(text)

    async def _trace(self, event: str, _info: Any) -> None:
        if event.endswith("send_request_headers.started"):
            self._gate.check()
            self.written = True


def wait_of(answer: httpx.Response) -> timedelta | None:
    """Retry-After in seconds, an hour at most."""
    value = answer.headers.get("Retry-After", "")
    return min(timedelta(seconds=int(value[:9])), LONGEST_WAIT) if value.isascii() and value.isdigit() else None
