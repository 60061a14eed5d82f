"""What a picture is, read from its own bytes: its type, and how large it is when it is unpacked.

True here: nothing is unpacked; what is no whole PNG, JPEG or GIF is refused, and what has something else behind its end; so
is one that would fill a mail program's memory. What a sender says that it is counts for nothing.
"""

import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from struct import unpack_from

from services.dispatcher.domain.picture_limits import MOST_BYTES, MOST_PASSES, MOST_PIXELS, MOST_SIDE

_NO_LENGTH = {0x01, *range(0xD0, 0xD8)}  # JPEG markers that stand alone
_FRAME_HEADERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_KINDS = "send a PNG, a JPEG or a GIF"


class PictureRefused(ValueError):
    """Says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """`width`, `height` in pixels."""

    media_type: str
    width: int
    height: int


def recognise(content: bytes) -> Recognised:
    """Raises PictureRefused."""
    if not content:
        raise PictureRefused(f"it is empty; {_KINDS}")
    if len(content) > MOST_BYTES:
        raise PictureRefused(f"it has more than {MOST_BYTES // 1024} KiB; make it smaller, every mail carries it")
    for start, (media_type, read) in _READERS.items():
        if content.startswith(start):
            return _read(content, media_type, read)
    raise PictureRefused(f"{_other(content)}; {_KINDS}")


def _read(content: bytes, media_type: str, read: "Reader") -> Recognised:
    try:
        width, height, frames, end = read(content)
    except (IndexError, ValueError) as error:
        if isinstance(error, PictureRefused):
            raise
        raise PictureRefused("it is cut off or damaged; send the whole file") from None
    if end != len(content):
        raise PictureRefused(f"{len(content) - end} bytes follow its end; save it anew and send that")
    if not (0 < width <= MOST_SIDE and 0 < height <= MOST_SIDE):
        raise PictureRefused(f"it has {width} x {height} pixels; {MOST_SIDE} each way at most")
    if width * height * frames > MOST_PIXELS:
        raise PictureRefused(
            f"it unpacks to {width * height * frames} pixels; {MOST_PIXELS} at most, in all its frames"
        )
    return Recognised(media_type, width, height)


def _other(content: bytes) -> str:
    head = content[:1024].lower()
    if b"<svg" in head or head.lstrip().startswith(b"<?xml"):
        return "it is an SVG, which mail programs do not show"
    if head[:4] == b"riff" and head[8:12] == b"webp":
        return "it is a WebP, which many mail programs do not show"
    return "it is no picture that mail programs show"


Reader = Callable[[bytes], tuple[int, int, int, int]]
"""Width, height, how many frames, and where it ends."""


def _u16(content: bytes, at: int) -> int:
    return content[at] << 8 | content[at + 1]


def _png(content: bytes) -> tuple[int, int, int, int]:
    if content[12:16] != b"IHDR":
        raise ValueError
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    at, frames, kind, seen = 8, 0, b"", set()
    while kind != b"IEND":
        length, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(content) or zlib.crc32(content[at + 4 : end - 4]) != int.from_bytes(content[end - 4 : end], "big"):
            raise ValueError
        frames += kind == b"fcTL"
        seen.add(kind)
        at = end
    if b"IDAT" not in seen:
        raise ValueError
    return width, height, max(frames, 1), at


def _jpeg(content: bytes) -> tuple[int, int, int, int]:
    width = height = passes = 0
    framed = False
    at = 2
    while (marker := content[at + 1]) != _END_OF_IMAGE:
        if content[at] != 0xFF:
            raise ValueError
        if marker == 0xFF or marker in _NO_LENGTH:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _FRAME_HEADERS:
            if framed:  # programs go by the first
                raise ValueError
            framed = True
            height, width = _u16(content, at + 5), _u16(content, at + 7)
        length = _u16(content, at + 2)
        if length < 2:
            raise ValueError
        at += 2 + length
        if marker == _START_OF_SCAN:
            passes += 1
            at = _after_scan(content, at)
    if passes > MOST_PASSES:
        raise PictureRefused(f"it is drawn in {passes} passes, each over all of it; save it anew and send that")
    if content[at] != 0xFF or not passes or not height:
        raise ValueError
    return width, height, 1, at + 2


def _after_scan(content: bytes, at: int) -> int:
    found = _AFTER_SCAN.search(content, at)
    if found is None:
        raise ValueError
    return found.start()


def _gif(content: bytes) -> tuple[int, int, int, int]:
    width, height = unpack_from("<HH", content.ljust(13, b"\0"), 6)
    at, frames = 13 + _colours(content[10]), 0
    while (kind := content[at]) != 0x3B:
        if kind == 0x2C:
            frames += 1
            left, top, wide, high = unpack_from("<HHHH", content.ljust(at + 9, b"\0"), at + 1)
            width, height = max(width, left + wide), max(height, top + high)
            at = _blocks(content, at + 11 + _colours(content[at + 9]))
        elif kind == 0x21:
            at = _blocks(content, at + 2)
        else:
            raise ValueError
    if not frames:
        raise ValueError
    return width, height, frames, at + 1


def _colours(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _blocks(content: bytes, at: int) -> int:
    while content[at]:
        at += 1 + content[at]
    return at + 1


_READERS: Mapping[bytes, tuple[str, Reader]] = {
    b"\x89PNG\r\n\x1a\n": ("image/png", _png),
    b"\xff\xd8\xff": ("image/jpeg", _jpeg),
    b"GIF87a": ("image/gif", _gif),
    b"GIF89a": ("image/gif", _gif),
}
