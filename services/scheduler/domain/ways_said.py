"""Why a route begins as it does, in sentences that a clerk understands: of a customer now, and of an attempt then."""

from collections.abc import Mapping
from typing import Any

import orjson

from services.scheduler.domain.sentences import CHANNELS

_BY = {
    "only": "{first} was the only way",
    "preferred": "the customer prefers {first}",
    "cost": "{first} was the cheapest of {all}",
    "chance": "{first} moves this customer more than {all} for what it costs ({chances})",
}


def worth_telling(why: str | None) -> str | None:
    """The same where it was more than a matter of price."""
    if not why:
        return None
    decided = orjson.loads(why)
    return _said(decided) if decided["by"] in ("preferred", "chance") else None


def why_said(why: str | None) -> str | None:
    """Of an attempt's decision; None for attempts that were made before decisions were kept."""
    if not why:
        return None
    decided = orjson.loads(why)
    left = "; ".join(dict.fromkeys(f"{_name(channel)}: {reason}" for channel, reason in decided.get("out", ())))
    return f"{_said(decided)}; left out {left}" if left else _said(decided)


def _said(decided: Mapping[str, Any]) -> str:
    ways, by = decided["ways"], decided["by"]
    names = [_name(way[0]) for way in ways]
    chances = {name: way[3] for name, way in zip(names, ways, strict=True) if way[3] is not None}
    return _BY[by].format(
        first=names[0],
        all=", ".join(dict.fromkeys(names[1:] if by == "chance" else names)),
        chances=", ".join(f"{name} {chance:.0%}" for name, chance in chances.items()),
    )


def _name(channel: str) -> str:
    return CHANNELS.get(channel, channel)
