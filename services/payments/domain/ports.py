"""What a payment source is to the service: who may speak, and what was said.

True here: a webhook is judged on its raw bytes before anybody parses them, and a source translates what it heard into
the one event that `POST /v1/webhooks/{source}` documents, so that every amount, currency and id passes the same checks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Headers = Mapping[bytes, bytes]
"""As ASGI has them: names in lower case."""


@dataclass(frozen=True, slots=True)
class Heard:
    """An event about a payment: `event_ref` tells it from every other one; `event` is as Standard Webhooks have it."""

    event_ref: str
    event: Any


class Unreadable(ValueError):
    """Rightly signed, but not what this source says; the sentence tells the sender what is missing."""


class Webhook(Protocol):
    """One kind of signed webhook, with one source's settings."""

    def is_genuine(self, headers: Headers, body: bytes, now: float) -> bool:
        """From the holder of a secret, and of now (Unix seconds by the wall clock). Never raises."""

    def hear(self, headers: Headers, value: Any, body: bytes) -> Heard | None:
        """None: not about a payment. `value` is the parsed body. Raises Unreadable."""
