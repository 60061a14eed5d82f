"""Return paths that name their attempt and cannot be guessed: `b+<reminder>.<fence>.<mac>@<bounce domain>`.

The mac is 80 bits of keyed BLAKE2s in hexadecimal: short enough for the 64 characters of a local part, and the same
in upper and lower case, which some mail servers do not keep.
"""

import hmac
import re
from hashlib import blake2s, sha256

_LOCAL_PART = re.compile(r"b\+([1-9]\d{0,18})\.(\d{1,9})\.([0-9a-f]{20})", re.ASCII)
_PURPOSE = b"dunnock return path v1"


class ReturnPaths:
    """Makes and verifies; `secret` is DUNNOCK_SECRET_KEY, of which a key for this purpose alone is derived."""

    def __init__(self, secret: bytes, domain: str) -> None:
        self._key = hmac.digest(secret, _PURPOSE, sha256)
        self._domain = domain.lower()

    def make(self, reminder_id: int, fence: int) -> str:
        named = f"{reminder_id}.{fence}"
        return f"b+{named}.{self._mac(named)}@{self._domain}"

    def read(self, address: str) -> tuple[int, int] | None:
        """(reminder id, fence) of an address made here, else None."""
        local, _, domain = address.lower().rpartition("@")
        found = _LOCAL_PART.fullmatch(local)
        if found is None or domain != self._domain:
            return None
        reminder, fence, mac = found.groups()
        if not hmac.compare_digest(mac, self._mac(f"{reminder}.{fence}")):
            return None
        return int(reminder), int(fence)

    def _mac(self, named: str) -> str:
        return blake2s(named.encode(), key=self._key, digest_size=10).hexdigest()
