"""Names that cannot be guessed, of an attempt and of a mail: the return path `b+<reminder>.<fence>.<mac>@<mail domain>`
and the Message-ID `<r<reminder>.<contact point>.<mac>@<mail domain>>`, which stays when a mail is sent again.

The mac is 80 bits of keyed BLAKE2s in hexadecimal: short enough for the 64 characters of a local part, and the same
in upper and lower case, which some mail servers do not keep.
"""

import hmac
import re
from hashlib import blake2s, sha256

_LOCAL_PART = re.compile(r"b\+([1-9]\d{0,18})\.(\d{1,9})\.([0-9a-f]{20})", re.ASCII)
_MESSAGE_ID = re.compile(r"<?r([1-9]\d{0,18})\.(\d{1,18})\.([0-9a-f]{20})@([^<>@]{1,253})>?", re.ASCII)
_PURPOSE = b"dunnock return path v1"
_MAIL_PURPOSE = b"dunnock message id v1"


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

    def at_home(self, address: str) -> bool:
        """Of our domain, whoever made it."""
        return address.lower().rpartition("@")[2] == self._domain

    def _mac(self, named: str) -> str:
        return _mac(self._key, named)


class MessageIds:
    """Makes and verifies the Message-IDs of mails; `secret` is DUNNOCK_SECRET_KEY."""

    def __init__(self, secret: bytes, domain: str) -> None:
        self._key = hmac.digest(secret, _MAIL_PURPOSE, sha256)
        self._domain = domain

    def make(self, reminder_id: int, contact_point_id: int) -> str:
        named = f"{reminder_id}.{contact_point_id}"
        return f"<r{named}.{_mac(self._key, named)}@{self._domain}>"

    def read(self, message_id: str) -> tuple[int, int] | None:
        """(reminder id, contact point id) of one made here, else None."""
        found = _MESSAGE_ID.fullmatch(message_id.strip().lower())
        if found is None or found[4] != self._domain.lower():
            return None
        if not hmac.compare_digest(found[3], _mac(self._key, f"{found[1]}.{found[2]}")):
            return None
        return int(found[1]), int(found[2])


def _mac(key: bytes, named: str) -> str:
    return blake2s(named.encode(), key=key, digest_size=10).hexdigest()
