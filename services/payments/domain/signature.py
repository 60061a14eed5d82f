"""Standard Webhooks: is this body from the holder of a secret, and of now?

True here: it is judged on the raw bytes before anybody parses them; every secret is tried against every signature in
constant time; a malformed header is a wrong signature, never an error. The package `standardwebhooks` signs in the
tests; it is not used here because it wants text (a signed body that is not UTF-8 must be told so, not be called forged)
and raises ValueError on odd headers.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

PREFIX = "whsec_"
TOLERANCE = 300  # seconds, either way, of the wall clock
MIN_BYTES, MAX_BYTES = 16, 128
NOBODY = (b"\0" * 32,)  # for a source that does not exist: the same work, the same answer

_ID = re.compile(rb"[\x21-\x7e]{1,255}")
_TIMESTAMP = re.compile(rb"[0-9]{1,12}")
_MOST_SIGNATURES = 20


@dataclass(frozen=True, slots=True)
class Signed:
    """The three headers as they came; None where one is missing."""

    id: bytes | None
    timestamp: bytes | None
    signatures: bytes | None


def parse_secret(text: object) -> bytes:
    """'whsec_<base64>' -> the key; ValueError says what it should be, and never repeats it."""
    if isinstance(text, str) and text.startswith(PREFIX):
        try:
            key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if MIN_BYTES <= len(key) <= MAX_BYTES:
            return key
    raise ValueError(f'must be "{PREFIX}" and then base64 of {MIN_BYTES} to {MAX_BYTES} random bytes')


def is_signed(signed: Signed, body: bytes, keys: Sequence[bytes], now: float) -> bool:
    """`now`: Unix seconds by the wall clock."""
    if signed.id is None or signed.timestamp is None or signed.signatures is None:
        return False
    if not _ID.fullmatch(signed.id) or not _TIMESTAMP.fullmatch(signed.timestamp):
        return False
    fresh = abs(now - int(signed.timestamp)) <= TOLERANCE
    said = b".".join((signed.id, signed.timestamp, body))
    given = [part[3:] for part in signed.signatures.split(b" ")[:_MOST_SIGNATURES] if part.startswith(b"v1,")]
    right = False
    for key in keys:
        expected = base64.b64encode(hmac.digest(key, said, "sha256"))
        for signature in given:
            right |= hmac.compare_digest(expected, signature)
    return right and fresh
