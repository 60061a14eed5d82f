"""How large pictures may be: one, those of a mail, and all that there are.

True here: whatever logo a creditor has, no mail carries more than `MOST_CARRIED`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shared.content.pictures import LOGO, named_in

MOST_BYTES = 256 * 1024  # of one
MOST_CARRIED = 512 * 1024  # of all in one mail
MOST_KEPT = 32 * 1024 * 1024  # of all in force: every dispatcher has them in memory
MOST_SIDE = 4_096  # pixels
MOST_PASSES = 64  # of a JPEG that gets sharper and sharper; programs write about ten
MOST_PIXELS = 8_000_000  # of all frames together: what a mail program has to unpack
LOGO_COUNTS = f", with a logo counted as {MOST_BYTES // 1024} KiB"


def carried_bytes(names: Iterable[str], sizes: Mapping[str, int]) -> int:
    """At most, in a mail that shows these."""
    return sum(MOST_BYTES if name == LOGO else sizes.get(name, 0) for name in names)


@dataclass(frozen=True, slots=True)
class Showing:
    """A text in force: where it stands under /v1/templates, and its html."""

    place: str
    html: str


def overloaded(texts: Iterable[Showing], sizes: Mapping[str, int]) -> list[str]:
    """The places of those texts whose mails would carry too much."""
    return [text.place for text in texts if carried_bytes(named_in(text.html), sizes) > MOST_CARRIED]
