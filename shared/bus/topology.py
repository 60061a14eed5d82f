"""The names and arguments of exchanges and queues. They are part of the wire: the broker refuses a changed argument on
an existing queue (406), so a change here needs a new queue name in `shared/messages.py`.
"""

from dataclasses import dataclass

from shared.messages import PARKED, QUEUES


@dataclass(frozen=True, slots=True)
class Topology:
    """The same values in every process that shares a broker; tests use a prefix and small limits of their own."""

    prefix: str = ""
    max_length: int = 100_000
    delivery_limit: int = 20
    parked_max_length: int = 100_000

    @property
    def exchange(self) -> str:
        return f"{self.prefix}dunnock.dispatch"

    @property
    def parked_exchange(self) -> str:
        return f"{self.prefix}dunnock.parked"

    @property
    def parked_queue(self) -> str:
        return f"{self.prefix}{PARKED}"

    def queue(self, name: str) -> str:
        """The name on the broker; `ValueError` for a queue that nobody declares."""
        if name not in QUEUES:
            raise ValueError(f"queue {name!r} is not one of {', '.join(QUEUES)}; see shared/messages.py")
        return f"{self.prefix}{name}"

    def work_queues(self) -> list[str]:
        return [self.queue(name) for name in QUEUES]

    def name_of(self, queue: str) -> str:
        """The reverse of `queue`."""
        return queue.removeprefix(self.prefix)

    def work_arguments(self) -> dict[str, str | int]:
        return {
            "x-queue-type": "quorum",
            "x-delivery-limit": self.delivery_limit,  # never -1: RabbitMQ 3.10 then drops at the first requeue
            "x-dead-letter-exchange": self.parked_exchange,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",  # at-least-once parking needs it
            "x-max-length": self.max_length,
        }

    def parked_arguments(self) -> dict[str, str | int]:
        return {
            "x-queue-type": "quorum",
            # Each look at a parked message counts as a delivery, and from RabbitMQ 4 on the default is 20: after 20
            # looks the message would be gone.
            "x-delivery-limit": 1_000_000_000,
            # The oldest go first. Refusing instead would hold rejected messages in the work queue until it is full.
            "x-max-length": self.parked_max_length,
        }
