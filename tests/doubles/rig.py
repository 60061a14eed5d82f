"""What the contract suite needs of a channel: the channel on its double, and how to make the double misbehave.

The suite has those of the channels that it grew up with. Any other channel of the registry brings a module of its name
here (`tests/doubles/<name>.py`) with `rig()`, an async context manager of a Rig, and `at(port)`, the channel with its
provider at that port and an address.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from services.dispatcher.domain.ports import Channel


@dataclass
class Rig:
    channel: Channel
    to: str
    taken: Callable[[], int]
    hang_after_taking: Callable[[], Any]
    refuse_address: Callable[[], Any]
    recover: Callable[[], Any]
