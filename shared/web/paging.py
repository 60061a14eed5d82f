"""Lists: `?limit=&cursor=`, answered `{"items": [...], "next_cursor": null}`.

A cursor holds the sort key of the last item, so a page is as fast as the first one and rows that appear or go in
between neither repeat nor hide others. It is opaque to callers and holds nothing that the item did not show.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict

from shared.kernel import json
from shared.kernel.errors import BadRequest

Item = TypeVar("Item")
Row = TypeVar("Row")


class Page(BaseModel, Generic[Item]):
    """One page; `next_cursor` is null on the last."""

    model_config = ConfigDict(frozen=True)

    items: list[Item]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Paging:
    """What was asked for: fetch `limit + 1` rows after `after`, then `cut` them."""

    limit: int
    after: tuple[int | str, ...] | None

    def last(self, *kinds: type[int] | type[str]) -> tuple[Any, ...] | None:
        """The sort key to go on after, its shape checked; None on the first page."""
        if self.after is None:
            return None
        if len(self.after) != len(kinds) or any(type(v) is not k for v, k in zip(self.after, kinds, strict=True)):
            raise _bad_cursor()
        return self.after

    def cut(self, rows: Sequence[Row], key: Callable[[Row], tuple[int | str, ...]]) -> tuple[Sequence[Row], str | None]:
        """The page's rows, and the cursor if there are more."""
        if len(rows) <= self.limit:
            return rows, None
        return rows[: self.limit], encode(key(rows[self.limit - 1]))


def encode(key: tuple[int | str, ...]) -> str:
    """An opaque cursor."""
    return base64.urlsafe_b64encode(json.dumps(list(key))).rstrip(b"=").decode()


def decode(cursor: str) -> tuple[int | str, ...]:
    """The key in a cursor, or `BadRequest`."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        values = json.loads(raw)
    except (binascii.Error, ValueError, BadRequest):
        raise _bad_cursor() from None
    if not isinstance(values, list) or not all(type(v) is str or _is_bigint(v) for v in values):
        raise _bad_cursor()
    return tuple(values)


def _is_bigint(value: object) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


def _bad_cursor() -> BadRequest:
    return BadRequest("the cursor is not one of this list; start without a cursor")


async def _paging(
    limit: Annotated[int, Query(ge=1, le=200, description="Items a page")] = 50,
    cursor: Annotated[str | None, Query(max_length=1000, description="`next_cursor` of the page before")] = None,
) -> Paging:
    return Paging(limit, None if cursor is None else decode(cursor))


Paged = Annotated[Paging, Depends(_paging)]
"""An endpoint's parameter."""
