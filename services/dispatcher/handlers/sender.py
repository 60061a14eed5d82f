"""One configured provider: its slots in this process, its terms and its standing in the deployment.

True here: nothing is given to a provider that stands still, except one message at a time from the process that tries it.
"""

from decimal import Decimal
from time import monotonic

from prometheus_client import Gauge

from services.dispatcher.domain.ports import Channel, Outgoing, promises_receipts
from services.dispatcher.domain.standing import WORKS, Cause, Standing, Terms
from services.dispatcher.handlers.lanes import Lane
from services.dispatcher.store.providers import Key
from shared.routing import Offer

STOPPED = Gauge("dunnock_provider_stopped", "1 while a provider is left alone", ["channel", "provider", "cause"])
SPENT_FOR = 60.0  # seconds until a provider whose day is used up is asked again
ASIDE = 2.0  # seconds at least that a message waits for a provider which stands still


class Sender:
    """A configured provider: its slots here, its terms and its standing in the deployment."""

    def __init__(self, channel: Channel, window: float) -> None:
        self.channel = channel
        self.receipts = promises_receipts(channel)  # asked for each message, and dear to find out
        self.lane = Lane(channel.concurrency, window)
        self.terms = Terms()
        self._offer = self._made_offer()
        self.standing = WORKS
        self.trying = False
        self.failures = 0
        self.turns = 0  # how often this process itself changed its standing
        self._seen = monotonic()
        self._spent_until = 0.0

    @property
    def key(self) -> Key:
        return self.channel.name, self.channel.provider

    @property
    def wait(self) -> float:
        """Seconds for which nothing should be given to it; 0: it works, or this process tries it."""
        spent = self._spent_until - monotonic()
        if self.standing.cause is None or (self.trying and self.lane.busy == 0):
            return max(0.0, spent)
        return max(ASIDE, spent, self.standing.wait - (monotonic() - self._seen))

    def told(self, terms: Terms, standing: Standing) -> None:
        """What the database says now."""
        self.terms, self.standing, self._seen = terms, standing, monotonic()
        self._offer = self._made_offer()
        self.lane.concurrency = min(self.channel.concurrency, terms.concurrency or self.channel.concurrency)
        self.lane.rate = terms.rate
        self.trying = self.trying and standing.cause is not None
        for cause in Cause:
            STOPPED.labels(*self.key, cause).set(standing.cause is cause)

    def turn(self, standing: Standing) -> None:
        """What this process has learnt, and says to the others."""
        self.turns += 1
        self.told(self.terms, standing)

    def spend(self) -> None:
        self._spent_until = monotonic() + SPENT_FOR

    def price(self, address: str) -> Decimal:
        return self._offer.price(address)

    def cost(self, outgoing: Outgoing) -> Decimal:
        """Of this very message: its segments times the price."""
        own, whole = self.channel.price(outgoing.to_address), self.channel.cost(outgoing)
        price = self.price(outgoing.to_address)
        return price * (whole / own) if own and whole != own else price

    def offer(self) -> Offer:
        return self._offer

    def _made_offer(self) -> Offer:
        terms = self.terms
        return Offer(
            self.channel.provider, self.channel.price("") if terms.price is None else terms.price, terms.prices
        )

    def notice(self) -> str | None:
        """For /readyz."""
        cause = self.standing.cause
        return f"{cause}: {self.standing.detail or 'no detail'}; left alone until it works again" if cause else None
