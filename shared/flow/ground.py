"""What a flow is verified against, beside itself: who sends, in which words, to whom, how often at most.

What must stay true: plain values only; whoever asks for a verification has fetched them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from shared.kernel.caps import NO_CAPS, Caps

MOST_A_WEEK = 7  # where neither the flow nor the deployment says so: the number that courts ask for most often


def _no_texts(_message: str, _channel: str) -> frozenset[str]:
    return frozenset()


@dataclass(frozen=True, slots=True)
class Ground:
    """`prices`: of one message on each channel that has a provider; None: no dispatcher has said so yet. `texts`: in
    which locales (lower case) a message can be written for a channel. `locales`: those that customers speak."""

    prices: Mapping[str, Decimal] | None = None
    texts: Callable[[str, str], frozenset[str]] = field(default=_no_texts)
    locales: tuple[str, ...] = ("en",)
    stands_in: str = "en"
    caps: Caps = NO_CAPS

    def offers(self, channel: str) -> bool:
        return self.prices is None or channel in self.prices

    def price(self, channel: str) -> Decimal:
        return (self.prices or {}).get(channel, Decimal(0))

    def speaks(self, message: str, channel: str, locale: str) -> bool:
        known, tag = self.texts(message, channel), locale.replace("_", "-").lower()
        return tag in known or tag.partition("-")[0] in known

    def answers(self, message: str, channel: str, locale: str) -> bool:
        """Whether who speaks this gets a text at all."""
        return self.speaks(message, channel, locale) or self.speaks(message, channel, self.stands_in)
