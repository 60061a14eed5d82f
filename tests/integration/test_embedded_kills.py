"""The embedded process dies at every point and at bad moments; on the same folder the next one continues."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import orjson
import pytest

from tests.integration.embedded_checks import (
    at_rest,
    check_nothing_lost_or_doubled,
    invoice,
    messages,
    reminder_of,
    steps_of,
)
from tests.servers.embedded import SLOW, Embedded, until

POINTS = [
    "before_queue_commit", "after_queue_commit", "after_publish", "before_claim", "after_claim", "after_send",
    "before_record", "after_record",
]  # fmt: skip
QUICK = {  # a lost attempt is found in seconds, not after a minute
    "DUNNOCK_REPUBLISH_AFTER": "1", "DUNNOCK_SEND_TIMEOUT": "4", "DUNNOCK_LEASE": "5", "DUNNOCK_TEST_FLAGS": "1",
}  # fmt: skip
SIGKILLED = -9
TOGETHER = {
    "name": "together", "group": "customer",
    "steps": [{"id": "due", "when": {"on": "due"}, "message": "due-today", "channels": ["email"]}],
}  # fmt: skip
STATES = "SELECT i.ref, r.state FROM reminder r JOIN invoice i ON i.id = r.invoice_id WHERE r.step = 'deliver-invoice'"


@pytest.fixture
def process(run_folder: Path, request: pytest.FixtureRequest) -> Iterator[Embedded]:
    """Not yet started."""
    process = Embedded(run_folder / request.node.name, dict(QUICK))
    yield process
    process.end()


@pytest.mark.timeout(900)
def test_a_kill_at_each_step_of_queue_claim_send_and_record_loses_and_doubles_nothing(process: Embedded) -> None:
    refs = [dies_at(process, point, deliver) for point in POINTS]
    with process.start().ready().client() as client:
        for ref in refs:  # the ERP got no answer and posts again
            assert deliver(client, ref) in (200, 201)
        at_rest(client)
        check_nothing_lost_or_doubled(process, client)
        states = {row["ref"]: row["state"] for row in process.rows(STATES)}
        assert set(states) == set(refs)
        assert set(states.values()) == {"accepted", "uncertain"}  # uncertain: killed between claim and record

        assert client.post("/sandbox/clock", json={"advance": "P2D"}).is_success
        check_nothing_lost_or_doubled(process, client)
        assert {row["state"] for row in process.rows(STATES)} == {"accepted"}
        ids = defaultdict(set)
        for message in messages(client):
            ids[message["invoice_id"]].add(message["message_id"])
        assert {ref: len(ids[ref]) for ref in refs} == dict.fromkeys(refs, 1)  # sent again: the same Message-ID


@pytest.mark.timeout(600)
def test_a_kill_around_the_commit_of_a_payment_costs_the_bank_one_more_try(process: Embedded) -> None:
    refs = [dies_at(process, point, pay) for point in ("before_payment_commit", "after_payment_commit")]
    with process.start().ready().client() as client:
        answers = [client.post("/v1/payments", json=money(ref)) for ref in refs]
        assert [answer.status_code for answer in answers] == [201, 200]  # the second was stored: known before
        at_rest(client)
        check_nothing_lost_or_doubled(process, client)
        for ref in refs:
            assert client.get(f"/v1/payment-status/{ref}").json()["status"] == "paid"
            assert sorted(steps_of(client, ref)) == ["deliver-invoice", "thank-you"]


@pytest.mark.timeout(900)
def test_a_kill_in_the_middle_of_an_import_or_of_sending_loses_and_doubles_nothing(process: Embedded) -> None:
    refs = [f"INV-{number}" for number in range(240)]
    lines = [orjson.dumps(invoice(ref, today())) for ref in refs]

    def take(client: httpx.Client, most: int = len(lines)) -> None:
        headers = {"content-type": "application/x-ndjson"}
        body = b"\n".join(lines[:most])
        assert client.post("/v1/invoices/import", content=body, headers=headers).status_code == 200

    def walk(client: httpx.Client) -> None:
        client.post("/sandbox/clock", json={"advance": "P13D"})

    # All of the first half may be claimed when the process dies, and then nobody knows which of them went; the others still go.
    killed_while(process, lambda client: take(client, 120), lambda client: len(messages(client)) > 3)
    killed_while(process, take, lambda client: len(messages(client)) > 60)
    killed_while(process, walk, lambda client: "upcoming" in {one["step"] for one in messages(client)})
    with process.start().ready().client() as client:
        take(client)
        at_rest(client)
        check_nothing_lost_or_doubled(process, client)
        delivered = {row["ref"]: row["state"] for row in process.rows(STATES)}
        assert set(delivered) == set(refs)
        assert set(delivered.values()) <= {"accepted", "uncertain"}
        assert len({reminder_of(one) for one in messages(client) if one["step"] == "deliver-invoice"}) > 100


@pytest.mark.timeout(600)
@pytest.mark.parametrize("point", ["before_carry", "after_claim"])
def test_a_kill_between_the_claim_of_one_message_for_all_and_its_hand_off_doubles_none(
    process: Embedded, point: str
) -> None:
    with process.start().ready().client() as client:
        assert client.put("/v1/flows/together", json=TOGETHER).is_success
        for ref in ("INV-A", "INV-B", "INV-C"):
            body = invoice(ref, today(), flow="together")
            body["customer"]["customer_id"] = "of-all"
            assert client.post("/v1/invoices", json=body).status_code == 201
    process.terminate()

    with process.start(DUNNOCK_CRASH_AT=point).ready().client() as client:
        attempted(lambda: client.post("/sandbox/clock", json={"advance": "P16D"}))
    assert process.ended() == SIGKILLED, process.log
    left_alone(process)

    with process.start().ready().client() as client:
        at_rest(client)
        assert [row["state"] for row in process.rows("SELECT state FROM attempt")] == ["unknown"] * 3
        assert client.post("/sandbox/clock", json={"advance": "P2D"}).is_success
        assert {row["state"] for row in process.rows("SELECT state FROM reminder")} == {"accepted"}  # taken as sent
        assert messages(client) == []


def dies_at(process: Embedded, point: str, then: Callable[[httpx.Client, str], int]) -> str:
    """The invoice of whose request the process died at that point; the request may or may not have been stored."""
    ref = f"INV-{point}"
    for _ in range(5):
        process.start(DUNNOCK_CRASH_AT=point)
        until(lambda: process.has_ended or process.status("/readyz") == 200, SLOW, lambda: process.log)
        with process.client() as client:
            reached = attempted(lambda: then(client, ref))
        assert process.ended() == SIGKILLED, process.log
        left_alone(process)
        if reached:
            return ref
        with process.start().ready().client() as client:  # it died of what an earlier kill had left: that first
            at_rest(client)
        process.kill()
    raise AssertionError(f"it dies at {point!r} before anybody can ask it for anything")


def deliver(client: httpx.Client, ref: str) -> int:
    return client.post("/v1/invoices", json=invoice(ref, today())).status_code


def pay(client: httpx.Client, ref: str) -> int:
    deliver(client, ref)
    at_rest(client)
    return client.post("/v1/payments", json=money(ref)).status_code


def money(ref: str) -> dict[str, str]:
    return {"payment_id": f"of-{ref}", "invoice_id": ref, "amount": "100.00", "currency": "EUR"}


def attempted(work: Callable[[], object]) -> bool:
    """Whether the request reached somebody, who may have died of it."""
    try:
        work()
    except httpx.ConnectError:
        return False
    except httpx.TransportError:
        return True
    return True


def killed_while(
    process: Embedded, work: Callable[[httpx.Client], None], moment: Callable[[httpx.Client], bool]
) -> None:
    """SIGKILL once `moment` has come, while `work` is going on or has just ended."""
    process.start().ready()
    with process.client() as client, process.client() as looking:
        working = threading.Thread(target=lambda: attempted(lambda: work(client)))
        working.start()
        until(lambda: moment(looking), SLOW, lambda: f"the moment never came:\n{process.log}")
        process.kill()
        working.join()
    left_alone(process)


def left_alone(process: Embedded) -> None:
    until(lambda: not process.servers(), 30, lambda: f"PostgreSQL {process.servers()} outlived its process")


def today() -> date:
    return datetime.now(UTC).date() - timedelta(days=1)
