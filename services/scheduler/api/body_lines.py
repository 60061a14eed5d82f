"""A streamed body as lines.

What must stay true: memory stays flat whatever comes. A line that is too long is dropped while it is read, and
reported; the lines after it are not disturbed.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

LONGEST_LINE = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class TooLong:
    """A line of more than `LONGEST_LINE` bytes."""


async def lines(chunks: AsyncIterator[bytes], longest: int = LONGEST_LINE) -> AsyncIterator[list[bytes | TooLong]]:
    """The whole lines of each chunk, without their ends; the last one may lack its end."""
    kept: list[bytes] = []
    size, dropping = 0, False
    async for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        found: list[bytes | TooLong] = []
        for part in whole:
            too_long = dropping or size + len(part) > longest
            found.append(TooLong() if too_long else _joined(kept, part))
            kept, size, dropping = [], 0, False
        size += len(rest)
        dropping = dropping or size > longest
        kept = [] if dropping else [*kept, rest] if rest else kept
        if found:
            yield found
    if dropping:
        yield [TooLong()]
    elif kept:
        yield [_joined(kept, b"")]


def _joined(kept: list[bytes], part: bytes) -> bytes:
    line = b"".join((*kept, part)) if kept else part
    return line[:-1] if line.endswith(b"\r") else line
