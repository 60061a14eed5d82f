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
    """At rest, and within the 24 hours in which what is uncertain is left alone."""
    accepts = Counter((reminder_of(one), one["channel"]) for one in messages(client))
    assert [way for way, times in accepts.items() if times > 1] == []  # I1
    assert process.rows(AT_WORK) == []  # I3
    wrong = [attempt for attempt in process.rows(ATTEMPTS) if not _agrees(attempt, accepts)]
    assert wrong == []  # I4
    known = {(attempt["reminder_id"], attempt["channel"]) for attempt in process.rows(ATTEMPTS)}
    assert set(accepts) <= known


def _agrees(attempt: dict[str, Any], accepts: Counter[tuple[int, str]]) -> bool:
    times = accepts[attempt["reminder_id"], attempt["channel"]]
    if attempt["state"] in WENT:
        return times == 1
    return times <= 1 if attempt["state"] == "unknown" else attempt["state"] in ("rejected", "notsent")


def reminder_of(message: dict[str, Any]) -> int:
    """From the Message-ID, which is the same whenever a mail is sent again."""
    found = re.search(r"r(\d+)\.\d+@", message["message_id"])
    assert found, message
    return int(found[1])
