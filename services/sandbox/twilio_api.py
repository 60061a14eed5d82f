"""Twilio's published API description, as far as we use it: is this a request that Twilio knows?

True here: every parameter is one of the description, of its type; what is required is there. What a number or a sender
is worth is the double's own matter.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import yaml

_HOST = re.compile(r"[A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\]")


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `parameters`: kind by name."""

    method: str
    path: re.Pattern[str]
    required: Sequence[str]
    either: Sequence[Sequence[str]]
    parameters: Mapping[str, str]

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Self:
        path = re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(said["path"])) + "$")
        return cls(said["method"], path, said["required"], said["either"], said["parameters"])

    def unknown(self, pairs: Sequence[tuple[str, str]]) -> list[str]:
        """Parameters that the description does not have."""
        return sorted({name for name, _ in pairs} - set(self.parameters))

    def badly_typed(self, pairs: Sequence[tuple[str, str]]) -> list[str]:
        names = [name for name, _ in pairs]
        known = [(name, value) for name, value in pairs if name in self.parameters]
        twice = {name for name, _ in known if names.count(name) > 1 and not self.parameters[name].startswith("many ")}
        return sorted(twice | {name for name, value in known if not fits(self.parameters[name], value)})

    def missing(self, pairs: Sequence[tuple[str, str]]) -> list[str]:
        given = {name for name, value in pairs if value}
        lacking = [" or ".join(names) for names in self.either if given.isdisjoint(names)]
        return [*[name for name in self.required if name not in given], *lacking]

    def faults(self, pairs: Sequence[tuple[str, str]]) -> list[str]:
        """All of them, in words."""
        return [
            *[f"unknown parameter {name}" for name in self.unknown(pairs)],
            *[f"parameter {name} is not {self.parameters[name]}" for name in self.badly_typed(pairs)],
            *[f"parameter {name} is missing" for name in self.missing(pairs)],
        ]


def fits(kind: str, value: str) -> bool:
    kind, *more = kind.removeprefix("many ").split()
    return _KINDS[kind](value, more)


def _is_date_time(value: str, _more: Sequence[str]) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _is_uri(value: str, _more: Sequence[str]) -> bool:
    """Absolute; the description wants a valid host name, without underscores."""
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(
            _HOST.fullmatch(parts.netloc.rpartition("@")[2].split(":")[0])
        )
    except ValueError:
        return False


_KINDS: dict[str, Callable[[str, Sequence[str]], bool]] = {
    "string": lambda _value, _more: True,
    "boolean": lambda value, _more: value.lower() in ("true", "false"),
    "integer": lambda value, _more: re.fullmatch(r"-?\d{1,18}", value, re.ASCII) is not None,
    "number": lambda value, _more: re.fullmatch(r"-?\d{1,18}(\.\d{1,18})?", value, re.ASCII) is not None,
    "date-time": _is_date_time,
    "uri": _is_uri,
    "sid": lambda value, more: re.fullmatch(more[0] + "[0-9a-fA-F]{32}", value) is not None,
    "one": lambda value, more: value in more[1:],
}
OPERATIONS = {
    name: Operation.read(said)
    for name, said in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8")).items()
}


def operation_of(method: str, path: str) -> Operation | None:
    return next((one for one in OPERATIONS.values() if one.method == method and one.path.search(path)), None)
