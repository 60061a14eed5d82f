"""The caller's ids and our tokens.

A ref is the caller's own id and goes into paths and message headers as it is, so it has no slash, blank or control
character. A token is unguessable (128 bit) and fits a short link; it is never logged.
"""

import re
import secrets

REF_PATTERN = r"[A-Za-z0-9._:@~-]{1,128}"
TOKEN_PATTERN = r"[A-Za-z0-9_-]{22}"

_REF = re.compile(REF_PATTERN)
_TOKEN = re.compile(TOKEN_PATTERN)


def parse_ref(text: object) -> str:
    """`text` if it is a usable id, else ValueError saying what an id looks like."""
    if isinstance(text, str) and _REF.fullmatch(text):
        return text
    raise ValueError("must be 1 to 128 characters of A-Z a-z 0-9 . _ : @ ~ - (no blank, no slash)")


def is_token(text: str) -> bool:
    """Whether `text` can be a token at all; saves the database a look-up of nonsense."""
    return _TOKEN.fullmatch(text) is not None


def new_token() -> str:
    """22 URL-safe characters, 128 random bits."""
    return secrets.token_urlsafe(16)
