"""Scenarios read as a calendar: day 1 is a Monday, 'day 5 09:00' is a time, everything is driven over HTTP.

All cases share one embedded process and its one clock, which only moves forward: each case has a customer of its own
and begins on the next Monday at noon.
"""

import base64
import itertools
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import httpx
from standardwebhooks import Webhook

SECRET = "whsec_" + base64.b64encode(b"the secret of the scenarios' bank").decode()
_numbers = itertools.count(1)


@dataclass(frozen=True)
class World:
    """A running system without keys of its own: `client` has one."""

    client: httpx.Client

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
        answer = self.client.request(method, path, json=body, **more)
        assert answer.is_success, f"{method} {path} answered {answer.status_code}: {answer.text}"
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found

    def now(self) -> datetime:
        return datetime.fromisoformat(self.call("GET", "/sandbox/clock")["now"])

    def move(self, to: datetime) -> None:
        self.call("POST", "/sandbox/clock", {"to": to.isoformat()})

    def webhook(self, kind: str, data: dict[str, Any], event: str) -> httpx.Response:
        """Signed by the bank."""
        now = datetime.now(UTC)
        body = json.dumps({"type": f"payment.{kind}", "timestamp": now.isoformat(), "data": data})
        headers = {
            "webhook-id": event,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(SECRET).sign(event, now, body),
            "content-type": "application/json",
        }
        return self.client.post("/v1/webhooks/bank", content=body, headers=headers)


@dataclass
class Case:
    """One customer with an invoice. Days and times are those of `zone`, the customer's. `beside`: a case whose days it
    shares; else it begins on the next Monday."""

    world: World
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    beside: "Case | None" = None
    first_day: date = field(init=False)

    def __post_init__(self) -> None:
        number = next(_numbers)
        self.customer, self.ref = f"customer-{number}", f"INV-{number}"
        if self.beside is not None:
            self.first_day = self.beside.first_day
            return
        today = self.world.now().astimezone(self.zone).date()
        self.first_day = today + timedelta(days=7 - today.weekday())
        self.clock("day 1 12:00")

    # --- the calendar

    def date(self, day: int) -> date:
        return self.first_day + timedelta(days=day - 1)

    def moment(self, text: str) -> datetime:
        """'day 5 09:00', or 'day 5' for noon."""
        found = re.fullmatch(r"day (-?\d+)(?: (\d\d):(\d\d))?", text)
        assert found, f"{text!r} is not like 'day 5 09:00'"
        day, hour, minute = int(found[1]), int(found[2] or 12), int(found[3] or 0)
        return datetime.combine(self.date(day), datetime.min.time(), self.zone) + timedelta(hours=hour, minutes=minute)

    def clock(self, text: str) -> None:
        self.world.move(self.moment(text))

    def settle(self) -> None:
        """Until nothing is on its way, not even after a try that a busy machine was too slow for."""
        self.world.call("POST", "/sandbox/clock", {"advance": "PT10M"})

    # --- what the ERP and the bank do

    def invoice(
        self,
        email: str | None = "ana@x.sandbox.test",
        phone: str | None = None,
        due: int | None = 15,
        amount: str | None = "100.00",
        customer: dict[str, Any] | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Posted today; everything that goes out at once has gone out then."""
        body = self.body(email, phone, due, amount, customer, **more)
        answer = self.world.call("POST", "/v1/invoices", body)
        self.settle()
        return answer

    def body(
        self,
        email: str | None,
        phone: str | None,
        due: int | None,
        amount: str | None,
        customer: dict[str, Any] | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        points = [{"kind": kind, "address": at} for kind, at in (("email", email), ("phone", phone)) if at]
        about = {"customer_id": self.customer, "name": "Ana", "contact_points": points, "timezone": self.zone.key}
        single = {"due_date": due and self.date(due).isoformat(), "amount": amount}
        return {
            "invoice_id": self.ref,
            "number": self.ref,
            "customer": {**about, **(customer or {})},
            "issue_date": self.world.now().astimezone(self.zone).date().isoformat(),
            "currency": "EUR",
            **{name: value for name, value in single.items() if value},
            **more,
        }

    def pay(
        self, amount: str = "100.00", payment: str = "p1", kind: str = "confirmed", event: str | None = None
    ) -> int:
        """By the bank's signed webhook; the answer's status."""
        data = {"payment_id": f"{self.ref}-{payment}", "amount": amount, "currency": "EUR", "invoice_id": self.ref}
        answer = self.world.webhook(kind, data, event or f"{self.ref}-{kind}-{payment}")
        assert answer.is_success, answer.text
        self.settle()
        return answer.status_code

    def do(self, what: str, body: dict[str, Any] | None = None, method: str = "POST") -> dict[str, Any]:
        """`what` of the invoice: hold, resume, void ..."""
        return self.world.call(method, f"/v1/invoices/{self.ref}/{what}".rstrip("/"), body)

    # --- what can be seen

    def read(self) -> dict[str, Any]:
        return self.world.call("GET", f"/v1/invoices/{self.ref}")

    def messages(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.world.call("GET", f"/sandbox/messages?invoice_id={self.ref}")["items"]
        return found

    def sent(self) -> list[str]:
        """'day 10 email upcoming' for each message that reached the world."""
        return [f"day {self._day(one['sent_at'])} {one['channel']} {one['step']}" for one in self.messages()]

    def hours(self) -> list[str]:
        """The same with the local time: 'day 10 09:00 email upcoming'."""
        return [
            f"day {self._day(one['sent_at'])} {self._local(one['sent_at']):%H:%M} {one['channel']} {one['step']}"
            for one in self.messages()
        ]

    def reminder(self, step: str, occurrence: int = 1) -> dict[str, Any]:
        """The one that was planned last."""
        found = [one for one in self.read()["reminders"] if (one["step"], one["occurrence"]) == (step, occurrence)]
        assert found, f"{step} {occurrence} was not planned"
        newest: dict[str, Any] = max(found, key=lambda one: one["reminder_id"])
        return newest

    def state(self, step: str, occurrence: int = 1) -> str:
        """'failed: no_provider'"""
        one = self.reminder(step, occurrence)
        return f"{one['state']}: {one['reason']}" if one["reason"] else f"{one['state']}"

    def tries(self, step: str) -> list[str]:
        """'email rejected' for each attempt."""
        return [f"{one['channel']} {one['state']}" for one in self.reminder(step)["attempts"]]

    def timeline(self) -> list[str]:
        events = self.world.call("GET", f"/v1/invoices/{self.ref}/timeline?limit=100")["items"]
        return [f"day {self._day(event['at'])}: {event['text']}" for event in events]

    def suppressed(self) -> list[str]:
        """'email bounced' for each address of this customer that is barred."""
        found = self.world.call("GET", f"/v1/suppressions?customer_id={self.customer}")["items"]
        return [f"{one['channel']} {one['reason']}" for one in found]

    def opt_out_path(self) -> str:
        """Of the last mail: the link of its List-Unsubscribe, which its text ends with too."""
        [link] = re.findall(r"http://\S+/u/\S+", str(self.messages()[-1]["text"]))
        path: str = urlsplit(link).path
        return path

    def forget(self) -> None:
        """What is still open must not disturb the cases after this one."""
        self.world.client.post(f"/v1/invoices/{self.ref}/void")

    def _day(self, at: str) -> int:
        return (self._local(at).date() - self.first_day).days + 1

    def _local(self, at: str) -> datetime:
        return datetime.fromisoformat(at).astimezone(self.zone)
