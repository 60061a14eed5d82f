"""Expressions that somebody wrote stay within bounds, whatever they are given."""

import json
from time import monotonic

import pytest

from shared.kernel.expressions import NoExpression, TooMuch, checked, found


@pytest.mark.parametrize(
    "expression", ["data.id", "error.code == 'x'", "join(', ', errors[*].text)", "to_string(data)", "[a, b, {c: d}]"]
)
def test_what_somebody_needs_is_allowed(expression: str) -> None:
    assert expression == checked(expression)


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("|".join(["[@,@]"] * 20), "too many copies"),
        ("to_string(" * 20 + "@" + ")" * 20, "too many copies"),
        ("join(text, items)", "glue"),
        ("join('" + "-" * 21 + "', items)", "glue"),
        ("items[*].{a: join(@, @)}", "glue"),
    ],
)
def test_what_grows_beyond_measure_is_refused(expression: str, why: str) -> None:
    with pytest.raises(TooMuch, match=why):
        checked(expression)


@pytest.mark.parametrize("expression", ["a ||", "!" * 499 + "a"])
def test_what_is_no_expression_or_too_deep_is_refused(expression: str) -> None:
    with pytest.raises(NoExpression):
        checked(expression)


def test_an_expression_that_takes_too_many_steps_finds_nothing_and_soon() -> None:
    body = json.loads("[" + ",".join(["[1,2,3,4,5,6,7,8]"] * 20_000) + "]")
    began = monotonic()

    assert found("[*][*].[@,@,@,@,@]", body) is None
    assert monotonic() - began < 20
    assert found("length(@)", body) == 20_000
    assert found("[*][0]", body) == [1] * 20_000
