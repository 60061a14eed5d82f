"""JMESPath expressions in a source's settings: checked when they are set, parsed once."""

from functools import cache
from math import prod
from typing import Annotated, Any

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import AfterValidator, Field

MOST_GROWTH = 100


def _expression(value: str) -> str:
    try:
        growth = _growth(jmespath.compile(value).parsed)
    except (JMESPathError, RecursionError):
        raise ValueError("must be a JMESPath expression, such as data.object.id") from None
    if growth > MOST_GROWTH:
        raise ValueError("makes too many copies of what it finds; name fewer of them with [a, b] or {a: b}")
    return value


def _growth(node: dict[str, Any]) -> int:
    """How many times larger than a body its answer can be: [@,@]|[@,@]|... doubles it with every step."""
    children = [child for child in node["children"] if isinstance(child, dict)]
    own = len(children) if node["type"].startswith("multi_select") else 1
    return prod(map(_growth, children), start=max(own, 1))


Path = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_expression)]


@cache
def compiled(expression: str) -> Any:
    """A parsed expression; only those of sources come here, so they are few."""
    return jmespath.compile(expression)


def found(expression: str, value: Any) -> Any:
    """What it finds; None also where its functions do not take what is there, and where a step of 0 or an endless number
    makes nonsense of it (a JMESPathError is a ValueError; contains() of a text and a number is a TypeError)."""
    try:
        return compiled(expression).search(value)
    except (ValueError, TypeError, ArithmeticError, RecursionError):
        return None
