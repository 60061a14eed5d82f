"""Refs go into paths and headers as they are; tokens cannot be guessed."""

import pytest

from shared.kernel.errors import Conflict, FieldError, Invalid, Unavailable
from shared.kernel.ids import is_token, new_token, parse_ref


@pytest.mark.parametrize("text", ["1", "INV-2026.001", "a:b@c~d_e", "x" * 128])
def test_a_ref_is_kept_as_it_is(text: str) -> None:
    assert parse_ref(text) == text


@pytest.mark.parametrize("text", ["", "a/b", "a b", "a\n", "ä", "x" * 129, "a%2F", 7, None])
def test_what_would_not_fit_a_path_is_no_ref(text: object) -> None:
    with pytest.raises(ValueError, match="1 to 128"):
        parse_ref(text)


def test_tokens_are_short_and_never_the_same() -> None:
    tokens = {new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(is_token(token) and len(token) == 22 for token in tokens)
    assert not is_token("a" * 21)


def test_a_problem_tells_its_members_and_keeps_its_status() -> None:
    problem = Invalid("two values are wrong", errors=(FieldError("/amount", "must be positive"),))
    assert problem.as_dict() == {
        "type": "about:blank",
        "title": problem.title,
        "status": 422,
        "detail": "two values are wrong",
        "errors": [{"pointer": "/amount", "detail": "must be positive"}],
    }
    assert Conflict("x").as_dict()["title"] == "Conflict"
    assert Unavailable("x").extra_headers == {"Retry-After": "2"}
