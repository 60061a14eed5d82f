"""Every message on the bus, on one page. Names never change: a new shape gets a new queue (`.v2`) beside the old one.

A message carries ids only, so it may be lost, doubled or reordered and nothing breaks: the claim decides.
`deploy/asyncapi.yaml` states the same for other readers; a unit test compares the two.
"""

from dataclasses import dataclass
from typing import Any, Final

import orjson

URGENT: Final = "dispatch.urgent.v1"
"""Reminders that a customer waits for or that lose their meaning soon: due day, thank-you, `then`, operator."""

BULK: Final = "dispatch.bulk.v1"
"""All other reminders."""

PARKED: Final = "dunnock.parked.v1"
"""What could not be handled. Nothing consumes it: an operator lists it and sends it back."""

QUEUES: Final = (URGENT, BULK)
"""The queues that a service may publish to."""

MAX_IDS: Final = 100
MAX_ID: Final = 2**63 - 1
MAX_BYTES: Final = 16_384


class BadMessage(ValueError):
    """The body is not a message of this page: reject it, it will not become one."""


@dataclass(frozen=True, slots=True)
class RemindersDue:
    """These reminders are queued: look at them, claim them, send them. 1 to 100 reminder ids."""

    ids: list[int]

    def __post_init__(self) -> None:
        if not 1 <= len(self.ids) <= MAX_IDS:
            raise BadMessage(f"RemindersDue.ids: {len(self.ids)} ids; a message carries 1 to {MAX_IDS}, split the list")
        for one in self.ids:
            _check_id(one)

    def encode(self) -> bytes:
        return orjson.dumps({"ids": self.ids})

    @classmethod
    def decode(cls, body: bytes) -> "RemindersDue":
        """Fields it does not know are skipped: a newer sender may already add some while this reader still runs."""
        ids = _load_object(body).get("ids")
        if not isinstance(ids, list):
            raise BadMessage("RemindersDue: 'ids' is missing or no list")
        return cls(ids)


def _check_id(value: object) -> None:
    if type(value) is not int or not 1 <= value <= MAX_ID:  # type(), because True is an int too
        raise BadMessage(f"RemindersDue.ids: {str(value)[:40]!r} is no id; ids are integers from 1 to 2^63 - 1")


def _load_object(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_BYTES:
        raise BadMessage(f"the message has {len(body)} bytes; at most {MAX_BYTES} are read")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadMessage(f"the message is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadMessage("the message is JSON but no object")
    return value
