"""Expected trouble, as the caller will read it (RFC 9457).

A problem says what is wrong, which one, and what to do; it never carries a secret, a stack trace or SQL.
Anything raised that is not a `Problem` is a bug and becomes a 500 without detail.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field: `pointer` is a JSON Pointer into the body ('/installments/0/amount'), '' the whole of it."""

    pointer: str
    detail: str


class Problem(Exception):
    """Answered as `application/problem+json`; subclasses fix the status, `detail` is for this occurrence."""

    status: int = 500
    type: str = "about:blank"
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        detail: str = "",
        *,
        status: int | None = None,
        title: str | None = None,
        type: str | None = None,
        errors: tuple[FieldError, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = self.status if status is None else status
        self.title = title or HTTPStatus(self.status).phrase
        self.type = type or self.type
        self.errors = errors
        self.extra_headers: Mapping[str, str] = {**self.headers, **(headers or {})}

    def as_dict(self) -> dict[str, Any]:
        """The members of the JSON answer; also one line's `problem` in an import."""
        members: dict[str, Any] = {"type": self.type, "title": self.title, "status": self.status}
        if self.detail:
            members["detail"] = self.detail
        if self.errors:
            members["errors"] = [{"pointer": e.pointer, "detail": e.detail} for e in self.errors]
        return members


class BadRequest(Problem):
    """The request cannot be read at all (malformed JSON, a bad cursor)."""

    status = 400


class Unauthorized(Problem):
    """Nobody known is asking: a missing, unknown or revoked key, a wrong signature."""

    status = 401
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": 'Bearer realm="dunnock"'}


class Forbidden(Problem):
    """Known, but not allowed; the detail names the scope that is missing."""

    status = 403


class NotFound(Problem):
    """There is no such thing."""

    status = 404


class Timeout(Problem):
    """The client sent its body too slowly."""

    status = 408


class Conflict(Problem):
    """It exists with other content, or its state does not allow this."""

    status = 409


class TooLarge(Problem):
    """The body or document is over the limit."""

    status = 413


class Unsupported(Problem):
    """The media type is not one that this path reads."""

    status = 415


class Invalid(Problem):
    """Readable, but a value is wrong; `errors` point at which."""

    status = 422


class Unavailable(Problem):
    """A part that is needed does not answer now; the same request may be sent again."""

    status = 503
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "2"}
