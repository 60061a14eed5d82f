"""How large pictures may be: one, those of a mail, and all that there are.

True here: whatever logo a creditor has, no mail carries more than `MOST_CARRIED`.
"""

from collections.abc import Iterable

from shared.content import Pictures
from shared.content.pictures import LOGO

MOST_BYTES = 256 * 1024  # of one
MOST_CARRIED = 512 * 1024  # of all in one mail
MOST_KEPT = 32 * 1024 * 1024  # of all in force: every dispatcher has them in memory
MOST_SIDE = 4_096  # pixels
MOST_PIXELS = 8_000_000  # of all frames together: what a mail program has to unpack
LOGO_COUNTS = f", with a logo counted as {MOST_BYTES // 1024} KiB"


def carried_bytes(names: Iterable[str], pictures: Pictures) -> int:
    """At most, in a mail that shows these."""
    return sum(_bytes(name, pictures) for name in names)


def _bytes(name: str, pictures: Pictures) -> int:
    if name == LOGO:
        return MOST_BYTES
    return len(pictures[name].content) if name in pictures else 0
