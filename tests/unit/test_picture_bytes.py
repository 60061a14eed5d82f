"""What is a picture is told by its bytes alone; what is none, or too much of one, is refused with the reason."""

import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.domain.picture_bytes import PictureRefused, Recognised, recognise
from services.dispatcher.domain.picture_limits import MOST_BYTES
from tests.doubles.pictures import PNG_SIGNATURE, chunk, gif, jpeg, png

PROGRESSIVE = jpeg().replace(b"\xff\xc0\x00\x0b", b"\xff\xc2\x00\x0b").replace(b"\xff\xd9", jpeg()[-14:])


def bomb(width: int, height: int) -> bytes:
    """What it says of itself is all that there is."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return PNG_SIGNATURE + head + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (png(7, 3), Recognised("image/png", 7, 3)),
        (png(7, 3, more=bytes(9_000)), Recognised("image/png", 7, 3)),
        (jpeg(640, 480), Recognised("image/jpeg", 640, 480)),
        (PROGRESSIVE, Recognised("image/jpeg", 3, 2)),
        (gif(5, 6), Recognised("image/gif", 5, 6)),
        (gif(5, 6, frames=3), Recognised("image/gif", 5, 6)),
        (gif(5, 6).replace(b"GIF89a", b"GIF87a"), Recognised("image/gif", 5, 6)),
    ],
    ids=["png", "png-comment", "jpeg", "jpeg-progressive", "gif", "gif-moving", "gif-old"],
)
def test_a_picture_is_known_by_its_bytes(content: bytes, expected: Recognised) -> None:
    assert recognise(content) == expected


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty; send a PNG"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "it is an SVG, which mail programs do not show"),
        (b'<?xml version="1.0"?><svg/>', "it is an SVG"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "it is a WebP"),
        (b"%PDF-1.7", "it is no picture that mail programs show; send a PNG, a JPEG or a GIF"),
        (b"<script>alert(1)</script>", "it is no picture"),
        (png(more=bytes(MOST_BYTES)), "it has more than 256 KiB"),
        (png() + b"<script>alert(1)</script>", "25 bytes follow its end"),
        (gif() + b"PK\x03\x04", "4 bytes follow its end"),
        (jpeg() + b"\0", "1 bytes follow its end"),
        (png().replace(b"IEND", b"IENX"), "it is cut off or damaged"),
        (png(grey=1).replace(b"IHDR\0\0\0\2", b"IHDR\0\0\0\3"), "it is cut off or damaged"),
        (PNG_SIGNATURE + chunk(b"IEND", b""), "it is cut off or damaged"),
        (bomb(1, 1).replace(chunk(b"IDAT", b"x"), b""), "it is cut off or damaged"),
        (bomb(40_000, 40_000), "it has 40000 x 40000 pixels; 4096 each way at most"),
        (bomb(0, 4), "it has 0 x 4 pixels"),
        (bomb(2**31, 1), "pixels; 4096 each way"),
        (bomb(4_000, 4_000), "it unpacks to 16000000 pixels; 8000000 at most"),
        (gif(65_535, 65_535), "65535 x 65535 pixels"),
        (gif(2_000, 2_000, frames=9), "it unpacks to 36000000 pixels; 8000000 at most, in all its frames"),
        (gif(1, 1, frames=0), "it is cut off or damaged"),
        (b"\xff\xd8\xff\xd9", "it is cut off or damaged"),
        (jpeg(0, 5), "it has 0 x 5 pixels"),
        (jpeg(60_000, 60_000)[:-16] + jpeg(1, 1)[2:], "it is cut off or damaged"),
        (jpeg()[:-2] + jpeg()[-16:-2] * 90 + b"\xff\xd9", "it is drawn in 91 passes"),
    ],
)
def test_what_is_none_or_too_much_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    with pytest.raises(PictureRefused, match=re.escape(reason)) as refused:
        recognise(content)
    assert len(str(refused.value)) < 120


@pytest.mark.parametrize(
    "whole", [png(3, 3), jpeg(), PROGRESSIVE, gif(2, 2, frames=2)], ids=["png", "jpeg", "two", "gif"]
)
def test_a_picture_cut_anywhere_is_refused(whole: bytes) -> None:
    assert recognise(whole)
    for length in range(len(whole)):
        with pytest.raises(PictureRefused):
            recognise(whole[:length])


@given(start=st.sampled_from([png(), jpeg(), gif()]), at=st.integers(0, 60), noise=st.binary(max_size=80))
def test_noise_is_a_picture_or_refused_and_nothing_else(start: bytes, at: int, noise: bytes) -> None:
    try:
        found = recognise(start[:at] + noise + start[at + len(noise) :])
    except PictureRefused:
        return
    assert found.width * found.height > 0


def test_the_longest_way_through_a_picture_is_short() -> None:
    pieces = chunk(b"tEXt", b"") * ((MOST_BYTES - 100) // 12)
    assert recognise(png().replace(chunk(b"IEND", b""), pieces + chunk(b"IEND", b"")))
    blocks = b"\x21\xfe" + b"\x01x" * ((MOST_BYTES - 100) // 2) + b"\0"
    assert recognise(gif().replace(b"\x2c\0\0\0\0", blocks + b"\x2c\0\0\0\0"))
