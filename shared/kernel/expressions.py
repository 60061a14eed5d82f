"""JMESPath that somebody wrote, over JSON that somebody else sent.

True here: what an expression may grow to is bounded when it is saved, and the steps that it takes when it is used; one
that cannot be applied finds nothing.
"""

from functools import lru_cache
from math import prod
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter

MOST_GROWTH, MOST_STEPS, MOST_GLUE = 100, 200_000, 20


class NoExpression(ValueError):
    """Not JMESPath."""


class TooMuch(ValueError):
    """It could, or did, go beyond what is allowed."""


def checked(expression: str) -> str:
    """Itself, if it can be used."""
    try:
        parsed = compiled(expression).parsed
        growth = _growth(parsed)
    except JMESPathError as error:
        raise NoExpression(f"is not a JMESPath expression: {str(error).splitlines()[0][:200]}") from None
    except RecursionError:
        raise NoExpression("is nested too deeply; write a simpler JMESPath expression") from None
    if growth > MOST_GROWTH:
        raise TooMuch("makes too many copies of what it finds; name fewer of them with [a, b] or {a: b}")
    return expression


@lru_cache(maxsize=2000)
def compiled(expression: str) -> Any:
    return jmespath.compile(expression)


def found(expression: str, value: Any) -> Any:
    """What it finds; None also where its functions do not take what is there, and where a step of 0 or an endless number
    makes nonsense of it (a JMESPathError is a ValueError; contains() of a text and a number is a TypeError)."""
    try:
        return _Bounded().visit(compiled(expression).parsed, value)
    except (ValueError, TypeError, ArithmeticError, RecursionError):
        return None


class _Bounded(TreeInterpreter):  # type: ignore[misc]  # the package has no types
    def __init__(self) -> None:
        super().__init__()
        self._left = MOST_STEPS

    def visit(self, node: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise TooMuch("takes too many steps")
        return super().visit(node, *args, **kwargs)


def _growth(node: dict[str, Any]) -> int:
    """How many times larger than a body its answer can be: [@,@]|[@,@]|... doubles it with every step, and so does
    to_string() of a text full of quotes; join() puts its glue between all that there is."""
    children = [child for child in node["children"] if isinstance(child, dict)]
    own = len(children) if node["type"].startswith("multi_select") else 1
    if node["type"] == "function_expression":
        own = 2 if node["value"] == "to_string" else own
        if node["value"] == "join" and not _short(children[0] if children else node):
            raise TooMuch(f"join() takes only a short text of its own as glue, of {MOST_GLUE} characters at most")
    return prod(map(_growth, children), start=max(own, 1))


def _short(node: dict[str, Any]) -> bool:
    return node["type"] == "literal" and isinstance(node["value"], str) and len(node["value"]) <= MOST_GLUE
