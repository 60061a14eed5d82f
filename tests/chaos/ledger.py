"""What the provider saw: one line for each hand-off that began and one for each that it accepted."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.dispatcher.domain.tokens import ReturnPaths


@dataclass(frozen=True, slots=True)
class Line:
    """`at`: seconds of the monotonic clock. `message_id` only of what was accepted."""

    reminder_id: int
    fence: int
    at: float
    message_id: str | None


class Ledger:
    """Reads on where it stopped."""

    def __init__(self, file: Path, return_paths: ReturnPaths) -> None:
        self._file = file
        self._return_paths = return_paths
        self._read_to = 0
        self._lines: dict[str, list[Line]] = {"begun": [], "accepted": []}

    def begun(self) -> list[Line]:
        return self._all("begun")

    def accepted(self) -> list[Line]:
        return self._all("accepted")

    def _all(self, what: str) -> list[Line]:
        for said in self._news():
            attempt = self._return_paths.read(said["return_path"])
            assert attempt is not None, f"the provider was given a return path of nobody: {said}"
            self._lines[said["what"]].append(Line(*attempt, said["at"], said["message_id"]))
        return self._lines[what]

    def _news(self) -> Iterator[dict[str, Any]]:
        if not self._file.exists():
            return
        with self._file.open("rb") as file:
            file.seek(self._read_to)
            whole = file.read().rpartition(b"\n")[0]
        if whole:
            self._read_to += len(whole) + 1
            yield from map(json.loads, whole.split(b"\n"))
