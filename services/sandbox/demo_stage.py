"""What the demo does and sees, and how it says it: the same words at every run.

What must stay true: nothing that differs between runs (dates, ports, tokens) is printed; day 1 is a Monday after today.
"""

import re
import sys
import textwrap
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import httpx

from services.sandbox.demo_process import DemoFailed

_PLACE = re.compile(r"http://127\.0\.0\.1:\d+/pay/[\w-]+")
_VERSIONS = re.compile(r" \[flow [^]]*\]")
_DATE = re.compile(r"\b([A-Z][a-z]{2})[a-z]* (\d{1,2}), (\d{4})\b")
WIDTH = 108


class Stage:
    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._seen: set[str] = set()
        today = datetime.fromisoformat(self.call("GET", "/sandbox/clock")["now"]).date()
        self.first_day = today + timedelta(days=7 - today.weekday())

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
        """The answer of a request that must succeed."""
        answer = self._client.request(method, path, json=body, **more)
        if not answer.is_success:
            raise DemoFailed(f"{method} {path} answered {answer.status_code}: {answer.text}")
        found: dict[str, Any] = answer.json()
        return found

    def status(self, path: str, content: bytes, headers: dict[str, str]) -> int:
        return self._client.post(path, content=content, headers=headers).status_code

    def date(self, day: int) -> date:
        return self.first_day + timedelta(days=day - 1)

    def moment(self, day: int, hour: int) -> datetime:
        return datetime.combine(self.date(day), time(hour), UTC)

    def clock(self, day: int, hour: int, what: str) -> None:
        self.call("POST", "/sandbox/clock", {"to": self.moment(day, hour).isoformat()})
        say(f"\nDay {day}, {hour:02}:00. {what}")

    def settle(self) -> None:
        """Until nothing is on its way any more."""
        self.call("POST", "/sandbox/clock", {"advance": "PT1S"})

    def messages(self, invoice: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", f"/sandbox/messages?invoice_id={invoice}")["items"]
        return found

    def news(self, *invoices: str) -> None:
        """What has reached the world since the last time."""
        for invoice in invoices:
            for message in self.messages(invoice):
                if message["message_id"] not in self._seen:
                    self._seen.add(message["message_id"])
                    self._show(message)

    def _show(self, message: dict[str, Any]) -> None:
        files = "".join(f", with {file['filename']}" for file in message["attachments"])
        text = message["subject"] or message["text"]
        indented(f"> {message['channel']:5} to {message['to']}: {self.tidy(text)}{files}")

    def tidy(self, text: str) -> str:
        """Dates as days, links without their secret."""
        return _DATE.sub(self._day, _PLACE.sub("http://.../pay/...", " ".join(text.split())))

    def _day(self, found: re.Match[str]) -> str:
        month, day, year = found.groups()
        return f"day {self.day_of(datetime.strptime(f'{month} {day} {year} +0000', '%b %d %Y %z'))}"

    def day_of(self, moment: datetime) -> int:
        return (moment.astimezone(UTC).date() - self.first_day).days + 1

    def timeline(self, invoice: str) -> None:
        """Without the versions of flow and texts, which are all the first here."""
        for event in self.call("GET", f"/v1/invoices/{invoice}/timeline?limit=100")["items"]:
            at = datetime.fromisoformat(event["at"])
            lead = f"  day {self.day_of(at):2} {at.astimezone(UTC):%H:%M}  "
            text = _VERSIONS.sub("", self.tidy(event["text"]))
            say(textwrap.fill(text, WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead)))

    def channels(self) -> dict[str, float]:
        """Shows those that were used; the share of each that arrived."""
        shares = {}
        for one in self.call("GET", "/v1/channels")["items"]:
            if (
                out := one["accepted"] + one["delivered"] + one["failed"]
            ):  # tries that came to nothing differ between runs
                shares[one["channel"]] = one["delivered_share"]
                arrived = f"{out} went out, {one['delivered_share']:.0%} arrived"
                say(f"  {one['channel']:6} {arrived:25} {Decimal(one['cost']):.4f} {one['currency']}")
        return shares


def indented(text: str) -> None:
    say(textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="      ", break_on_hyphens=False))


def say(text: str) -> None:
    print(text, flush=True)


def expect(holds: bool, what: str) -> None:
    if not holds:
        raise DemoFailed(what)


def failed(error: Exception) -> int:
    print(f"\nThe demo failed: {error}", file=sys.stderr)
    return 1
