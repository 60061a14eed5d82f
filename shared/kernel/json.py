"""JSON as the API accepts it: one meaning or none.

Refused, although some parser takes them: NaN and Infinity, duplicate keys (two readers would see two values), nesting
over 32 levels, invalid UTF-8, lone surrogates, numbers beyond a double, and U+0000 (PostgreSQL cannot store it).
"""

import json
import re
from typing import Any

import orjson

from shared.kernel.errors import BadRequest

MAX_DEPTH = 32

_BRACKETS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def loads(body: bytes) -> Any:
    """The value, or `BadRequest` that says what is wrong."""
    _check_depth(body)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not valid JSON: {_sentence(error)}; send one JSON value in UTF-8") from None
    _check_keys(body)
    if b"\\u0000" in body and _has_nul(value):
        raise BadRequest("the body has the character U+0000 in a string; remove it, it cannot be stored")
    return value


def dumps(value: Any) -> bytes:
    """Compact JSON; times and dates as RFC 3339. A Decimal is an error: amounts are strings before they get here."""
    return orjson.dumps(value)


def _sentence(error: orjson.JSONDecodeError) -> str:
    return f"{error.msg.split(': line', 1)[0]} (line {error.lineno}, column {error.colno})"


def _check_depth(body: bytes) -> None:
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for token in _BRACKETS.finditer(body):
        first = body[token.start()]
        if first in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise BadRequest(f"the body is nested deeper than {MAX_DEPTH} levels; flatten it")
        elif first in b"]}":
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadRequest(f"the key {twice[:100]!r} stands twice in one object; send it once")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise BadRequest("a number in the body is too large; numbers must fit a double")
    return value


_KEYS = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_int=len)


def _check_keys(body: bytes) -> None:
    """orjson keeps the last of two equal keys without a word; the standard parser can be asked."""
    _KEYS.decode(body.decode())


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any("\0" in key or _has_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(_has_nul(item) for item in value)
