"""What the ERP is told: every event that is to be told, once each, signed, in order, however the endpoint behaves."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from services.payments.domain.delivery import PATIENCE
from services.payments.handlers.deliver_announcements import AT_ONCE
from services.payments.handlers.derive_announcements import derive_announcements
from shared.ledger.send import Receipt, Recorded, receive, record
from tests import factories
from tests.doubles.erp_ears import ErpEars, erp_ears
from tests.integration.announcing import PATH, Announcing, announcing, write_entry
from tests.integration.ledger_database import connect
from tests.integration.payments_running import BEARER, event, payments_running


@pytest.fixture
async def erp() -> AsyncIterator[ErpEars]:
    async with erp_ears() as ears:
        yield ears


@pytest.fixture
async def told(database_dsn: str, tmp_path: Path) -> AsyncIterator[Announcing]:
    async with payments_running(database_dsn, tmp_path) as payments, announcing(payments, timeout=1.0) as told:
        yield told


async def test_the_erp_hears_that_an_invoice_was_paid_signed_by_the_secret_it_was_given(
    told: Announcing, erp: ErpEars
) -> None:
    await told.endpoint(erp)
    invoice = await told.invoice()
    await told.payments.say(event("confirmed", "P-1", "100.00", invoice_id=invoice.ref))

    await told.pass_on()

    assert erp.types == ["payment.received", "invoice.paid"]
    received, paid = (one["data"] for one in erp.heard)
    assert received["amount"] == "100.00"
    assert received["payment_id"] == "P-1"
    assert paid["invoice_id"] == invoice.ref
    assert (erp.forged, erp.refused) == (0, [])
    assert await told.pass_on() == 0
    assert len(erp.heard) == 2


@pytest.mark.parametrize(
    ("promises_receipts", "proofs"),
    [(True, ["receipt"]), (False, ["accepted"])],
    ids=["a channel with receipts", "a channel without"],
)
async def test_a_message_is_announced_once_with_the_proof_that_its_channel_can_give(
    told: Announcing, erp: ErpEars, promises_receipts: bool, proofs: list[str]
) -> None:
    """Looked at between the provider's yes and the receipt, and after it; no limit was set to the wait for receipts."""
    owner = told.payments.owner
    made = await factories.invoice(owner, reminders=1)
    await owner.execute(
        "INSERT INTO channel (name, reaches, promises_receipts) VALUES ('sms', 'phone', $1)", promises_receipts
    )
    (reminder,) = made.reminders
    await factories.attempt(owner, reminder, made.contact_id, channel="sms", provider="twilio")
    await told.endpoint(erp)

    await record(owner, [Recorded(reminder, 1, "accepted")], missed_limit=1, deferred_limit=1, broken_limit=1)
    await told.pass_on()
    await receive(owner, [Receipt(reminder, 1, "delivered")], retry_missed=timedelta(hours=1), missed_limit=1)
    await told.pass_on()

    heard = [one["data"]["proof"] for one in erp.heard if one["type"] == "reminder.delivered"]
    assert heard == proofs


async def test_what_was_derived_twice_is_told_once(told: Announcing, erp: ErpEars) -> None:
    await told.endpoint(erp)
    await told.entry(await told.invoice(), "invoice.paid")
    await asyncio.gather(*(derive_announcements(told.payments.db) for _ in range(4)))
    await told.payments.owner.execute("UPDATE outbound_cursor SET read_to = 0, mark = NULL")

    await told.pass_on()

    assert erp.types == ["invoice.paid"]


async def test_an_entry_whose_transaction_commits_late_is_not_passed_by(
    told: Announcing, erp: ErpEars, database_dsn: str
) -> None:
    """The early id commits last: by then later ids have been announced."""
    await told.endpoint(erp)
    first, second, third = [await told.invoice() for _ in range(3)]
    late = await connect(database_dsn)
    transaction = late.transaction()
    await transaction.start()
    early_id = await write_entry(late, first.id, "invoice.paid")
    later_id = await write_entry(told.payments.owner, second.id, "invoice.paid")
    assert early_id < later_id

    await told.pass_on()
    await told.pass_on()
    assert [one["data"]["invoice_id"] for one in erp.heard] == [second.ref], "an open transaction holds up nobody"
    await told.entry(third, "invoice.paid")
    await told.pass_on()

    await transaction.commit()
    await late.close()
    await told.pass_on()

    assert [one["data"]["invoice_id"] for one in erp.heard] == [second.ref, third.ref, first.ref]
    for _ in range(2):
        await told.entry(third, "hold.released")
        await told.pass_on()
    cursor = await told.payments.owner.fetchrow("SELECT read_to, mark FROM outbound_cursor")
    last = await told.payments.owner.fetchval("SELECT max(id) FROM event")
    assert (cursor["read_to"], cursor["mark"]) == (last, None), "nothing is read again for ever"


async def test_many_transactions_at_once_leave_no_gap(told: Announcing, erp: ErpEars, database_dsn: str) -> None:
    await told.endpoint(erp)
    invoices = [await told.invoice() for _ in range(60)]
    done = asyncio.Event()

    async def writer(mine: list[factories.Made], pause: float) -> None:
        connection = await connect(database_dsn)
        for made in mine:
            async with connection.transaction():
                await write_entry(connection, made.id, "invoice.paid")
                await asyncio.sleep(pause)
        await connection.close()

    async def reader() -> None:
        while not done.is_set():
            await derive_announcements(told.payments.db)

    async with asyncio.TaskGroup() as both:
        reading = both.create_task(reader())
        await asyncio.gather(*(writer(invoices[n::6], 0.002 * n) for n in range(6)))
        done.set()
        await reading
    await told.pass_on()

    assert {one["data"]["invoice_id"] for one in erp.heard} == {made.ref for made in invoices}
    assert len(erp.heard) == len(invoices)


async def test_an_invoices_events_come_in_order_while_others_pass_it(told: Announcing, erp: ErpEars) -> None:
    await told.endpoint(erp)
    stuck, other = await told.invoice(), await told.invoice()
    erp.judge = lambda one: 500 if one["data"]["invoice_id"] == stuck.ref else 204
    for made in (stuck, other):
        await told.entry(made, "invoice.paid")
        await told.entry(made, "invoice.reopened")

    await told.pass_on()

    assert erp.types == ["invoice.paid", "invoice.reopened"], "the other invoice's"
    assert [one["type"] for one in erp.refused] == ["invoice.paid"], "the second waits for the first"

    erp.judge = lambda _: 204
    await told.time_passes(timedelta(seconds=10))
    await told.pass_on()

    assert [one["type"] for one in erp.heard[2:]] == ["invoice.paid", "invoice.reopened"]
    assert erp.refused[0]["id"] == erp.heard[2]["id"], "the same webhook-id at every try"


async def test_a_slow_endpoint_holds_up_no_other_one(told: Announcing, erp: ErpEars) -> None:
    async with erp_ears() as slow:
        slow.hang = True
        await told.endpoint(slow)
        await told.endpoint(erp)
        for _ in range(12):
            await told.entry(await told.invoice(), "invoice.paid")

        await derive_announcements(told.payments.db)
        await asyncio.wait_for(told.announcer.deliver(), 0.9)

        assert len(erp.heard) == 12
        assert slow.most_open == AT_ONCE


async def test_two_processes_share_the_work_and_tell_each_event_once(told: Announcing, erp: ErpEars) -> None:
    await told.endpoint(erp)
    for _ in range(40):
        await told.entry(await told.invoice(), "invoice.paid")
    await derive_announcements(told.payments.db)

    async with announcing(told.payments) as beside:
        await asyncio.gather(told.announcer.deliver(), beside.announcer.deliver())

    assert len(erp.heard) == 40
    assert len({one["id"] for one in erp.heard}) == 40


async def test_what_a_killed_process_had_in_its_hands_goes_again(told: Announcing, erp: ErpEars) -> None:
    endpoint = await told.endpoint(erp)
    await told.entry(await told.invoice(), "invoice.paid")
    await derive_announcements(told.payments.db)
    await told.payments.owner.execute(
        "UPDATE outbound_delivery SET tries = 1, due_at = clock_timestamp() + interval '20 seconds'"
    )

    await told.pass_on()
    assert erp.heard == []
    await told.time_passes(timedelta(seconds=21))
    await told.pass_on()

    assert erp.types == ["invoice.paid"]
    assert [(one["state"], one["tries"]) for one in await told.log(endpoint)] == [("delivered", 2)]


async def test_an_endpoint_that_fails_for_five_days_is_disabled_and_goes_on_when_enabled(
    told: Announcing, erp: ErpEars
) -> None:
    endpoint = await told.endpoint(erp)
    alarms = REGISTRY.get_sample_value("dunnock_endpoints_disabled_total")
    erp.judge = lambda _: 503
    await told.entry(await told.invoice(), "invoice.paid")
    await told.pass_on()
    assert (await told.state(endpoint))["status"] == "failing"

    await told.time_passes(PATIENCE - timedelta(minutes=1))
    await told.pass_on()
    assert (await told.state(endpoint))["status"] == "failing"
    await told.time_passes(timedelta(days=1))
    await told.pass_on()

    state = await told.state(endpoint)
    assert (state["status"], state["disabled_reason"]) == ("disabled", "failing")
    assert REGISTRY.get_sample_value("dunnock_endpoints_disabled_total") == alarms + 1
    erp.judge = lambda _: 204
    later = await told.invoice()
    await told.entry(later, "invoice.paid")
    await told.time_passes(timedelta(days=1))
    await told.pass_on()
    assert erp.heard == []

    assert (await told.call(endpoint, "enable"))["status"] == "enabled"
    await told.pass_on()
    assert later.ref in {one["data"]["invoice_id"] for one in erp.heard}


async def test_an_event_that_alone_is_refused_is_given_up_after_five_days_and_can_be_replayed(
    told: Announcing, erp: ErpEars
) -> None:
    endpoint = await told.endpoint(erp)
    poison, good = await told.invoice(), await told.invoice()
    erp.judge = lambda one: 422 if one["data"]["invoice_id"] == poison.ref else 204
    since = datetime.now(UTC) - timedelta(minutes=1)
    await told.entry(poison, "invoice.paid")
    await told.entry(poison, "invoice.reopened")
    await told.pass_on()
    await told.entry(good, "invoice.paid")
    await told.pass_on()
    await told.time_passes(PATIENCE)
    await told.pass_on()

    states = [(one["type"], one["state"]) for one in await told.log(endpoint, invoice_id=poison.ref)]
    assert states == [("invoice.paid", "failed"), ("invoice.reopened", "pending")]
    assert (await told.state(endpoint))["status"] == "failing"

    erp.judge = lambda _: 204
    assert await told.call(endpoint, "replay", {"since": since.isoformat()}, 202) == {"events": 3}
    await told.pass_on()
    assert [one["type"] for one in erp.heard if one["data"]["invoice_id"] == poison.ref] == [
        "invoice.paid",
        "invoice.reopened",
    ]
    assert len([one for one in erp.heard if one["data"]["invoice_id"] == good.ref]) == 2


async def test_gone_means_gone(told: Announcing, erp: ErpEars) -> None:
    endpoint = await told.endpoint(erp)
    erp.judge = lambda _: 410
    await told.entry(await told.invoice(), "invoice.paid")

    await told.pass_on()

    assert (await told.state(endpoint))["disabled_reason"] == "gone"


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 429, 500, 503])
async def test_any_other_answer_is_tried_again(told: Announcing, erp: ErpEars, status: int) -> None:
    endpoint = await told.endpoint(erp)
    erp.judge = lambda _: status
    erp.answer_headers = {"location": erp.url, "retry-after": "3600"}
    await told.entry(await told.invoice(), "invoice.paid")

    await told.pass_on()

    (delivery,) = await told.log(endpoint, state="pending")
    (attempt,) = delivery["attempts"]
    assert attempt["status"] == status
    assert attempt["detail"].startswith(f"HTTP {status}")
    assert len(erp.refused) == 1, "a redirect is not followed"
    in_seconds = (datetime.fromisoformat(delivery["next_try_at"]) - datetime.now(UTC)).total_seconds()
    assert 3500 < in_seconds < 3601


async def test_an_answer_that_never_comes_is_a_failure_with_its_reason(told: Announcing, erp: ErpEars) -> None:
    endpoint = await told.endpoint(erp)
    erp.hang = True
    await told.entry(await told.invoice(), "invoice.paid")

    await told.pass_on()
    await asyncio.sleep(1.1)  # its timeout
    await told.pass_on()

    (attempt,) = (await told.log(endpoint))[0]["attempts"]
    assert attempt["status"] is None
    assert "within 1 seconds" in attempt["detail"]


async def test_a_new_secret_signs_beside_the_old_one_until_the_overlap_is_over(told: Announcing, erp: ErpEars) -> None:
    endpoint = await told.endpoint(erp)
    old = list(erp.secrets)
    new = (await told.call(endpoint, "rotate-secret", {"overlap_hours": 1}))["secret"]
    for secrets in (old, [new]):
        erp.secrets = secrets
        await told.entry(await told.invoice(), "invoice.paid")
        await told.pass_on()
    assert (len(erp.heard), erp.forged) == (2, 0)
    assert erp.headers[-1]["webhook-signature"].count("v1,") == 2

    newest = (await told.call(endpoint, "rotate-secret", {"overlap_hours": 0}))["secret"]
    erp.secrets = [newest]
    await told.entry(await told.invoice(), "invoice.paid")
    await told.pass_on()

    assert erp.headers[-1]["webhook-signature"].count("v1,") == 1
    assert len(erp.heard) == 3


async def test_a_test_event_goes_to_its_endpoint_alone_and_waits_for_nothing(told: Announcing, erp: ErpEars) -> None:
    async with erp_ears() as other:
        await told.endpoint(other)
        endpoint = await told.endpoint(erp)
        sent = [(await told.call(endpoint, "test", status=202))["event_id"] for _ in range(2)]

        await told.pass_on()

        assert sorted(one["id"] for one in erp.heard) == sorted(sent)
        assert set(erp.types) == {"endpoint.test"}
        assert other.heard == []

        path, once = f"/v1/webhook-endpoints/{endpoint}/test", {**BEARER, "Idempotency-Key": "try"}
        twice = [(await told.payments.http.post(path, headers=once)).json()["event_id"] for _ in range(2)]
        await told.pass_on()
        assert twice[0] == twice[1]
        assert [one["id"] for one in erp.heard].count(twice[0]) == 1


async def test_an_endpoint_hears_what_it_asked_for_and_from_when_it_was_made(told: Announcing, erp: ErpEars) -> None:
    await told.entry(await told.invoice(), "invoice.void")
    await told.endpoint(erp, events=["invoice.void"])
    made = await told.invoice()
    await told.entry(made, "invoice.paid")
    await told.entry(made, "invoice.void")

    await told.pass_on()

    assert [(one["type"], one["data"]["invoice_id"]) for one in erp.heard] == [("invoice.void", made.ref)]


async def test_a_secret_is_answered_once_and_never_again(told: Announcing, erp: ErpEars) -> None:
    http = told.payments.http
    headers = BEARER | {"Idempotency-Key": "make-it-once"}
    first = await http.post(PATH, json={"url": erp.url}, headers=headers)
    again = await http.post(PATH, json={"url": erp.url}, headers=headers)
    assert first.json()["secret"].startswith("whsec_")
    assert again.json()["secret"] is None
    assert again.json()["endpoint_id"] == first.json()["endpoint_id"]
    for path in (PATH, f"{PATH}/{first.json()['endpoint_id']}"):
        assert "secret" not in (await http.get(path, headers=BEARER)).text.replace("old_secret_until", "")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"url": "https://10.0.0.1/hook"}, "private network"),
        ({"url": "ftp://erp.example.com"}, "https://"),
        ({"url": "https://erp.example.com", "events": ["invoice.payed"]}, "must be one of"),
        ({"url": "https://erp.example.com", "events": []}, "at least 1"),
        ({}, "is required"),
    ],
)
async def test_an_endpoint_that_cannot_be_is_refused_with_a_reason(
    told: Announcing, body: dict[str, Any], says: str
) -> None:
    answer = await told.payments.http.post(PATH, json=body, headers=BEARER)
    assert answer.status_code == 422
    assert says in answer.text


async def test_a_key_without_the_scope_may_not_listen(told: Announcing) -> None:
    for method, path in (("GET", PATH), ("POST", PATH), ("DELETE", f"{PATH}/1"), ("POST", f"{PATH}/1/replay")):
        assert (await told.payments.http.request(method, path)).status_code == 401
    assert (await told.payments.http.get(f"{PATH}/77", headers=BEARER)).status_code == 404
