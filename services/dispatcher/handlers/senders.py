"""The providers of this process, and how they stand in the whole deployment.

True here: terms and breakers are the deployment's, read again every second; what this process learns of a provider it
says at once. A channel whose providers all stand still keeps its place in the route: its reminders wait, they do not
burn through the next channels.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from time import monotonic

import structlog
from prometheus_client import Counter

from services.dispatcher.domain.outcomes import Outcome
from services.dispatcher.domain.ports import Channel, takes_browsers, traits
from services.dispatcher.domain.standing import (
    FAILURES,
    WORKS,
    Cause,
    Standing,
    Trip,
    speaks_against,
    speaks_for,
    stop,
    trip_of,
)
from services.dispatcher.handlers.sender import Sender
from services.dispatcher.store import providers
from services.dispatcher.store.experience import NO_EXPERIENCE, Experience, experience
from services.dispatcher.store.providers import Key
from shared.db.engine import Database
from shared.routing import Offer, learn, traits_of

TRIPS = Counter(
    "dunnock_provider_trips", "Times that this process stopped a provider", ["channel", "provider", "cause"]
)
PROBE_LEASE = timedelta(seconds=30)

log = structlog.get_logger("dispatcher")


class Senders:
    """All of them, by channel and provider."""

    def __init__(self, db: Database, channels: Iterable[Channel], window: float) -> None:
        self._db = db
        self._window = window
        self._by_key: dict[Key, Sender] = {}
        self._left: dict[Key, Sender] = {}
        self.complete = True  # False: there may be providers that this process does not know yet
        self._in_order: dict[str, list[Sender]] = {}
        for channel in channels:
            self.join(channel)
        self._fallbacks: Mapping[str, timedelta] = {}
        self.experience: Experience = NO_EXPERIENCE
        self._looking = asyncio.Lock()

    def __iter__(self) -> Iterator[Sender]:
        return iter(self._by_key.values())

    def __getitem__(self, key: Key) -> Sender:
        """Also one that has left: a route may still name it."""
        return self._by_key.get(key) or self._left[key]

    def get(self, key: Key) -> Sender | None:
        return self._by_key.get(key)

    def join(self, channel: Channel) -> None:
        learn(channel.name, traits(channel))
        self._by_key[channel.name, channel.provider] = Sender(channel, self._window)
        self._in_order = self._ordered()

    def leave(self, key: Key) -> None:
        """Nothing new is given to it."""
        self._left[key] = self._by_key.pop(key)
        self._in_order = self._ordered()

    @property
    def channels(self) -> Mapping[str, list[Sender]]:
        """Each channel's providers in failover order."""
        return self._in_order

    def offers(self) -> dict[str, Offer]:
        """Each channel with the first of its providers that works; with the first, if none does."""
        return {name: _first(senders).offer() for name, senders in self._in_order.items()}

    def alone(self, key: Key) -> bool:
        """Whether the channel has no other provider."""
        return len(self._in_order.get(key[0], ())) <= 1

    def receipt_within(self, key: Key, wished: timedelta | None) -> timedelta | None:
        """After how long without a receipt the next channel goes; None: never, or this provider promises none."""
        if not self[key].receipts:
            return None
        return wished or self._fallbacks.get(key[0])

    async def register(self) -> None:
        async with self._db.connection() as connection:
            for key, sender in list(self._by_key.items()):
                channel = sender.channel
                await providers.register(
                    connection,
                    key,
                    traits_of(channel.name),
                    receipts=sender.receipts,
                    own_price=channel.price(""),
                    browsers=takes_browsers(channel),
                )

    async def refresh(self) -> None:
        """Channels, terms, breakers and experience, as the deployment has them now: one look after the other, so that an
        older one never has the last word, nor one that began before this process itself stopped a provider."""
        async with self._looking, self._db.connection() as connection:
            before = {key: sender.turns for key, sender in self._by_key.items()}
            found = await providers.load(connection)
            channels = await providers.channels(connection)
            self.experience = await experience(connection)
        for name, (what, _) in channels.items():
            learn(name, what)
        self._fallbacks = {name: after for name, (_, after) in channels.items() if after is not None}
        for key, sender in self._by_key.items():
            if key in found:
                terms, standing = found[key]
                sender.told(terms, standing if sender.turns == before.get(key, sender.turns) else sender.standing)
        self._in_order = self._ordered()

    async def take(self, sender: Sender, wanted: int, patience: float) -> int:
        """Slots for so many messages, of this process and of what the provider's limits leave to the deployment."""
        slots = await sender.lane.take(1 if sender.trying else wanted, patience)
        if not slots or not sender.terms.counted:
            return slots
        allowed = 0
        try:
            allowed = await self._budget(sender, slots, 0.0 if sender.lane.hopeless(wanted, patience) else patience)
        finally:
            sender.lane.give_back(slots - allowed)
        return allowed

    async def heard(self, sender: Sender, outcome: Outcome) -> None:
        """What a send says about its provider."""
        if speaks_for(outcome):
            sender.failures = 0
            if sender.trying:
                await self._works(sender)
            return
        sender.failures += speaks_against(outcome)
        why = trip_of(outcome, FAILURES if sender.trying and speaks_against(outcome) else sender.failures)
        if why is not None:
            await self._stop(sender, why)

    async def try_again(self) -> None:
        """Providers whose pause is over are probed by one process; a message decides whether they work."""
        for key, sender in list(self._by_key.items()):
            if sender.standing.cause is None or sender.trying or sender.standing.wait > 0:
                continue
            async with self._db.connection() as connection:
                mine = await providers.may_probe(connection, key, PROBE_LEASE)
            if mine and await sender.channel.probe():
                sender.trying = True
            elif mine:
                await self._stop(sender, stop(sender.standing.cause, sender.standing.detail or "no answer to a probe"))

    async def _budget(self, sender: Sender, wanted: int, patience: float) -> int:
        until = monotonic() + patience
        while True:
            async with self._db.connection() as connection:
                taken = await providers.take(connection, sender.key, wanted)
            if taken.spent:
                sender.spend()
            if taken.number or taken.spent or monotonic() + taken.wait > until:
                return taken.number
            await asyncio.sleep(taken.wait)

    async def _stop(self, sender: Sender, why: Trip) -> None:
        """Here at once, everywhere with the row."""
        sender.failures, sender.trying = 0, False
        sender.turn(Standing(why.cause, why.base.total_seconds(), why.detail))
        async with self._db.connection() as connection:
            seconds = await providers.trip(connection, sender.key, why)
        if seconds is None:
            return  # somebody else was first
        sender.turn(Standing(why.cause, seconds, why.detail))
        TRIPS.labels(*sender.key, why.cause).inc()
        say = log.warning if why.cause is Cause.THROTTLED else log.error
        say(
            "provider_stopped",
            channel=sender.channel.name,
            provider=sender.channel.provider,
            cause=why.cause,
            detail=why.detail,
            seconds=round(seconds, 1),
        )

    async def _works(self, sender: Sender) -> None:
        async with self._db.connection() as connection:
            await providers.close(connection, sender.key)
        sender.turn(WORKS)
        log.info("provider_works_again", channel=sender.channel.name, provider=sender.channel.provider)

    def _ordered(self) -> dict[str, list[Sender]]:
        found: dict[str, list[Sender]] = {}
        for sender in sorted(self._by_key.values(), key=lambda one: one.terms.position):
            found.setdefault(sender.channel.name, []).append(sender)
        return found


def _first(senders: list[Sender]) -> Sender:
    return next((sender for sender in senders if sender.wait == 0), senders[0])
