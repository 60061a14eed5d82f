"""JSON as the API accepts it: one meaning or none.

Refused, although some parser takes them: NaN and Infinity, duplicate keys (two readers would see two values), nesting
over 32 levels, invalid UTF-8, lone surrogates, numbers beyond 64 bits or a double, and U+0000 (PostgreSQL cannot store
it). The standard library's parser reads, because it can be asked about keys; orjson also took six times as long over a
20 MiB document in base64.
"""

import json
import math
import re
from typing import Any, NoReturn

import orjson

from shared.kernel.errors import BadRequest

MAX_DEPTH = 32

_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def loads(body: bytes) -> Any:
    """The value, or `BadRequest` that says what is wrong."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not UTF-8 (byte {error.start})") from None
    if text.startswith("\ufeff"):
        raise BadRequest("the body is not valid JSON: a byte order mark comes first; send UTF-8 without one")
    _check_depth(text)
    try:
        value = _STRICT.decode(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise BadRequest(f"the body is not valid JSON: {error.msg} ({place}); send one JSON value") from None
    if "\\u" in text and _is_unstorable(value):
        raise BadRequest("a string in the body has the character U+0000 or half a surrogate pair; remove it")
    return value


def dumps(value: Any) -> bytes:
    """Compact JSON; times and dates as RFC 3339. A Decimal is an error: amounts are strings before they get here."""
    return orjson.dumps(value)


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for token in _BRACKETS.finditer(text):
        first = text[token.start()]
        if first in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise BadRequest(f"the body is nested deeper than {MAX_DEPTH} levels; flatten it")
        elif first in "]}":
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in value if names.count(name) > 1)
        raise BadRequest(f"the key {twice[:100]!r} stands twice in one object; send it once")
    return value


def _bounded(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
        raise BadRequest("a whole number in the body does not fit 64 bits; send it as a string")
    return int(digits)


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise BadRequest("a number in the body is beyond a double; send it as a string")
    return value


def _no_constant(name: str) -> NoReturn:
    raise BadRequest(f"the body is not valid JSON: {name} is not a JSON value")


_STRICT = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_bounded, parse_float=_finite, parse_constant=_no_constant
)


def _is_unstorable(value: Any) -> bool:
    if isinstance(value, str):
        return _UNSTORABLE.search(value) is not None
    if isinstance(value, dict):
        return any(_is_unstorable(key) or _is_unstorable(item) for key, item in value.items())
    return isinstance(value, list) and any(_is_unstorable(item) for item in value)
