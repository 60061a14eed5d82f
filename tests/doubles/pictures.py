"""Small real pictures, made here byte by byte, so that a test says what is in them."""

import struct
import zlib
from hashlib import sha256

from shared.content import Picture

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int = 2, height: int = 1, *, more: bytes = b"", grey: int = 0) -> bytes:
    """A grey picture; `more`: bytes of a comment, to make it larger."""
    rows = (b"\0" + bytes([grey]) * width) * height
    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))]
    parts += [chunk(b"tEXt", b"Comment\0" + more)] if more else []
    return PNG_SIGNATURE + b"".join([*parts, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")])


def gif(width: int = 1, height: int = 1, frames: int = 1) -> bytes:
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + frame * frames + b";"


def jpeg(width: int = 3, height: int = 2) -> bytes:
    """Its segments are whole; the scan is nothing that anybody would look at."""
    quantising = b"\xff\xdb\x00\x43\x00" + bytes(64)
    frame = b"\xff\xc0\x00\x0b\x08" + struct.pack(">HH", height, width) + b"\x01\x01\x11\x00"
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + b"\x12\xff\x00\x34"
    return b"\xff\xd8" + b"\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\1\0\1\0\0" + quantising + frame + scan + b"\xff\xd9"


def picture(name: str = "banner", content: bytes | None = None, version: int = 1) -> Picture:
    content = png() if content is None else content
    return Picture(f"{name}.png", "image/png", content, sha256(content).hexdigest(), f"{name}@{version}")
