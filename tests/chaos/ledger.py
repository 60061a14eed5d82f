"""What the provider saw: one line for each hand-off that began and one for each that it accepted."""

import json
from dataclasses import dataclass
from pathlib import Path

from services.dispatcher.domain.tokens import ReturnPaths


@dataclass(frozen=True, slots=True)
class Line:
    """`at`: seconds of the monotonic clock. `message_id` only of what was accepted."""

    reminder_id: int
    fence: int
    at: float
    message_id: str | None


class Ledger:
    def __init__(self, file: Path, return_paths: ReturnPaths) -> None:
        self._file = file
        self._return_paths = return_paths

    def begun(self) -> list[Line]:
        return self._lines("begun")

    def accepted(self) -> list[Line]:
        return self._lines("accepted")

    def _lines(self, what: str) -> list[Line]:
        if not self._file.exists():
            return []
        whole = self._file.read_text().rpartition("\n")[0]
        return [self._read(line) for line in map(json.loads, whole.splitlines()) if line["what"] == what]

    def _read(self, line: dict[str, str | float | None]) -> Line:
        attempt = self._return_paths.read(str(line["return_path"]))
        assert attempt is not None, f"the provider was given a return path of nobody: {line}"
        message_id = line["message_id"]
        return Line(*attempt, float(line["at"] or 0), str(message_id) if message_id else None)
