"""JMESPath expressions in a source's settings: checked when they are set."""

from typing import Annotated

from pydantic import AfterValidator, Field

from shared.kernel.expressions import NoExpression, checked


def _expression(value: str) -> str:
    try:
        return checked(value)
    except NoExpression:
        raise ValueError("must be a JMESPath expression, such as data.object.id") from None


Path = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_expression)]
