"""The operator's stop of everything, over HTTP, while a dispatcher is at work."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from tests.servers.embedded import SLOW, Embedded, embedded, until

MANY = 200
WINDOW = 2.0
AT_WORK = "SELECT count(*) AS n FROM reminder WHERE state IN ('queued', 'sending') OR (state = 'pending' AND due_at <= business_now())"
CLAIMED = "SELECT count(*) AS n, max(started) AS last, clock_timestamp() AS now FROM attempt"


@pytest.fixture
def process(run_folder: Path) -> Iterator[Embedded]:
    with embedded(run_folder / "stop-everything", DUNNOCK_HANDOFF_WINDOW=str(WINDOW)) as running:
        yield running


def invoice(number: int) -> bytes:
    """Delivered at once, to a server that takes its time."""
    points = [{"kind": "email", "address": f"slow+{number}@x.sandbox.test"}]
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    customer = {"customer_id": f"C-{number}", "name": "Ana", "contact_points": points}
    return orjson.dumps(
        {"invoice_id": f"I-{number}", "number": f"I-{number}", "issue_date": today, "due_date": "2030-01-01", "currency": "EUR",
         "amount": "10.00", "customer": customer}
    )  # fmt: skip


def test_nothing_is_claimed_after_the_answer_and_what_was_before_is_counted(process: Embedded) -> None:
    with process.client() as http:
        lines = b"\n".join(invoice(number) for number in range(MANY))
        http.post(
            "/v1/invoices/import", content=lines, headers={"Content-Type": "application/x-ndjson"}
        ).raise_for_status()
        until(lambda: process.rows(CLAIMED)[0]["n"], SLOW, lambda: f"nothing is claimed:\n{process.log}")

        answer = http.post("/v1/holds", json={"reason": "the wrong prices"})
        claimed = process.rows(CLAIMED)[0]

        assert answer.status_code == 200, answer.text
        stopped = answer.json()
        assert (stopped["invoice_id"], stopped["customer_id"]) == (None, None)
        assert 0 <= stopped["in_flight"] <= claimed["n"] < MANY
        assert 0 <= stopped["quiet_in"] <= WINDOW
        until(lambda: process.rows(AT_WORK)[0]["n"] == 0, SLOW, lambda: f"it does not come to rest:\n{process.log}")
        after = process.rows(CLAIMED)[0]
        assert (after["n"], after["last"]) == (claimed["n"], claimed["last"]), "nothing was claimed after the stop"
        assert len(http.get("/sandbox/messages").json()["items"]) <= claimed["n"]

        took = []
        for _ in range(5):
            begun = time.monotonic()
            again = http.post("/v1/holds", json={"reason": "the wrong prices"}).json()
            took.append(time.monotonic() - begun)
            assert (again["hold_id"], again["in_flight"], again["quiet_in"]) == (stopped["hold_id"], 0, 0)
        assert min(took) < WINDOW, "with nothing in flight nobody waits for the hand-off window"
