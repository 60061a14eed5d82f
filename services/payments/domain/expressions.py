"""JMESPath expressions in a source's settings: checked when they are set, parsed once."""

from functools import cache
from typing import Annotated, Any

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import AfterValidator, Field


def _expression(value: str) -> str:
    try:
        jmespath.compile(value)
    except (JMESPathError, RecursionError):
        raise ValueError("must be a JMESPath expression, such as data.object.id") from None
    return value


Path = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_expression)]


@cache
def compiled(expression: str) -> Any:
    """A parsed expression; only those of sources come here, so they are few."""
    return jmespath.compile(expression)


def found(expression: str, value: Any) -> Any:
    """What it finds; None also where its functions do not take what is there, and where a step of 0 or an endless number
    makes nonsense of it (a JMESPathError is a ValueError)."""
    try:
        return compiled(expression).search(value)
    except (ValueError, ArithmeticError, RecursionError):
        return None
