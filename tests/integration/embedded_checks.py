"""What must hold after any kill, checked on the database and on what the doubles accepted (the invariants I1 to I4)."""

import re
from collections import Counter
from datetime import date, timedelta
from typing import Any

import httpx

from tests.servers.embedded import Embedded

WENT = {"accepted", "delivered", "undelivered", "missed", "expired"}
AT_WORK = """
SELECT id, step, state FROM reminder
 WHERE state IN ('queued', 'sending') OR (state = 'pending' AND due_at <= business_now())
"""
ATTEMPTS = "SELECT reminder_id, channel, state FROM attempt"


def invoice(ref: str, day: date, **more: object) -> dict[str, Any]:
    points = [{"kind": "email", "address": f"{ref.lower()}@x.sandbox.test"}]
    return {
        "invoice_id": ref,
        "number": ref,
        "customer": {"customer_id": f"of-{ref}", "name": "Ana", "contact_points": points},
        "issue_date": day.isoformat(),
        "due_date": (day + timedelta(days=15)).isoformat(),
        "currency": "EUR",
        "amount": "100.00",
        **more,
    }


def messages(client: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/sandbox/messages").json()["items"]
    return found


def steps_of(client: httpx.Client, ref: str) -> list[str]:
    return [one["step"] for one in messages(client) if one["invoice_id"] == ref]


def at_rest(client: httpx.Client) -> None:
    """Ten minutes of business time later nothing is on its way."""
    answer = client.post("/sandbox/clock", json={"advance": "PT10M"})
    assert answer.is_success, answer.text


def check_nothing_lost_or_doubled(process: Embedded, client: httpx.Client) -> None:
    """At rest. Only what nobody knew the fate of may have been sent again, after a day and as such (`resent`)."""
    attempts = process.rows(ATTEMPTS)
    allowed = Counter(way(attempt) for attempt in attempts if attempt["state"] == "resent")
    accepts = Counter((reminder_of(one), one["channel"]) for one in messages(client))
    assert [each for each, times in accepts.items() if times > 1 + allowed[each]] == []  # I1
    assert process.rows(AT_WORK) == []  # I3
    assert [attempt for attempt in attempts if not _agrees(attempt["state"], accepts[way(attempt)])] == []  # I4
    assert set(accepts) <= {way(attempt) for attempt in attempts}


def way(attempt: dict[str, Any]) -> tuple[int, str]:
    return attempt["reminder_id"], attempt["channel"]


def _agrees(state: str, accepts: int) -> bool:
    return accepts >= 1 if state in WENT else state in ("unknown", "resent", "rejected", "notsent")


def reminder_of(message: dict[str, Any]) -> int:
    """From the Message-ID, which is the same whenever a mail is sent again."""
    found = re.search(r"r(\d+)\.\d+\.\w+@", message["message_id"])
    assert found, message
    return int(found[1])
