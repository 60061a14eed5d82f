"""Payments that people record and match, sources, and the status that the ERP polls."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.payments.adapters.folder import Folder
from services.payments.adapters.http_poll import HttpAsker
from services.payments.adapters.registry import reader_of
from services.payments.adapters.stripe_checkout import StripeCheckout
from services.payments.domain.matching import Rules
from services.payments.handlers.check_payments import PaymentCheck
from services.payments.handlers.close_checkouts import CloseCheckouts
from services.payments.handlers.deliver_announcements import Announcer
from services.payments.handlers.poller import Poller
from services.payments.handlers.reconcile import reconcile
from services.payments.handlers.record_payment import PaymentRecorder
from services.payments.handlers.watch_places import Watch
from services.payments.settings import PaymentsSettings
from services.payments.worker import PaymentsWorker
from shared.web.auth import key_hash
from tests import factories
from tests.integration.payments_running import BEARER, Payments, event, new_secret, payments_running


@pytest.fixture
async def erp(database_dsn: str, tmp_path: Path) -> AsyncIterator[Payments]:
    async with payments_running(database_dsn, tmp_path) as running:
        yield running


async def post(erp: Payments, path: str, body: dict[str, Any], key: str | None = None) -> httpx.Response:
    return await erp.http.post(path, json=body, headers={**BEARER, **({"Idempotency-Key": key} if key else {})})


def paid(invoice: str, amount: str = "100.00", **more: Any) -> dict[str, Any]:
    return {"amount": amount, "currency": "EUR", "invoice_id": invoice, **more}


async def test_a_payment_by_hand_settles_like_a_webhook(erp: Payments) -> None:
    made = await factories.invoice(erp.owner, reminders=2)
    answer = await post(erp, "/v1/payments", paid(made.ref, payment_id="P-1", payer={"name": "Jo"}))
    assert answer.status_code == 201
    body = answer.json()
    assert answer.headers["location"] == f"/v1/payments/{body['id']}"
    assert (body["source"], body["payment_id"], body["status"]) == ("api", "P-1", "matched")
    assert body["allocations"] == [{"invoice_id": made.ref, "installment": 1, "amount": "100.00"}]
    assert await erp.get(f"/v1/payments/{body['id']}") == body
    assert {state for _, state, _ in await erp.reminders(made.id)} == {"cancelled"}


async def test_the_same_key_gives_the_same_answer_also_at_the_same_time(erp: Payments) -> None:
    made = await factories.invoice(erp.owner)
    answers = await asyncio.gather(*(post(erp, "/v1/payments", paid(made.ref, "40.00"), "k1") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert await erp.open_amounts(made.id) == [Decimal(60)]
    other = await post(erp, "/v1/payments", paid(made.ref, "41.00"), "k1")
    assert other.status_code == 422


async def test_the_same_payment_id_again_is_a_200_and_with_other_content_a_409(erp: Payments) -> None:
    made = await factories.invoice(erp.owner)
    first = await post(erp, "/v1/payments", paid(made.ref, "40.00", payment_id="P-1"))
    again = await post(erp, "/v1/payments", paid(made.ref, "40.00", payment_id="P-1"))
    other = await post(erp, "/v1/payments", paid(made.ref, "50.00", payment_id="P-1"))
    assert [first.status_code, again.status_code, other.status_code] == [201, 200, 409]
    assert await erp.open_amounts(made.id) == [Decimal(60)]


async def test_an_unknown_invoice_is_kept_and_a_reversal_needs_its_payment_named(erp: Payments) -> None:
    kept = await post(erp, "/v1/payments", paid("NOT-YET"))
    assert (kept.status_code, kept.json()["status"], kept.json()["reason"]) == (202, "unmatched", "unknown_invoice")
    nameless = await post(erp, "/v1/payments", {"type": "payment.reversed"})
    assert nameless.json()["errors"][0]["pointer"] == "/payment_id"


async def test_two_equal_reversals_with_keys_of_their_own_both_count(erp: Payments) -> None:
    made = await factories.invoice(erp.owner)
    await post(erp, "/v1/payments", paid(made.ref, payment_id="P-1"))
    back = {"type": "payment.reversed", "payment_id": "P-1", "amount": "10.00", "currency": "EUR"}
    for key in ("k1", "k2", "k2"):
        await post(erp, "/v1/payments", back, key)
    assert await erp.open_amounts(made.id) == [Decimal(20)]


async def test_the_unmatched_queue_is_matched_by_hand_and_undone(erp: Payments) -> None:
    made = await factories.invoice(erp.owner, ("60.00", "60.00"), reminders=1)
    kept = (await post(erp, "/v1/payments", {"amount": "100.00", "currency": "EUR", "reference": "??"})).json()
    assert [item["id"] for item in (await erp.get("/v1/payments", status="unmatched"))["items"]] == [kept["id"]]
    path = f"/v1/payments/{kept['id']}/allocations"

    matched = await post(erp, path, {"invoice_id": made.ref, "amount": "70.00"}, "k1")
    assert matched.status_code == 201
    assert matched.json()["unallocated"] == "30.00"
    assert (await post(erp, path, {"invoice_id": made.ref, "amount": "70.00"}, "k1")).status_code == 201
    assert await erp.open_amounts(made.id) == [Decimal(0), Decimal(50)]
    assert await erp.reminders(made.id) == [("step-0", "cancelled", "paid"), ("step-0", "pending", None)]

    assert (await post(erp, path, {"invoice_id": made.ref})).json()["status"] == "matched"
    assert await erp.open_amounts(made.id) == [Decimal(0), Decimal(20)]
    assert (await erp.get("/v1/payments", status="unmatched"))["items"] == []

    undone = await erp.http.delete(path, params={"invoice_id": made.ref, "installment": 1}, headers=BEARER)
    assert undone.status_code == 204
    assert await erp.open_amounts(made.id) == [Decimal(60), Decimal(20)]
    assert (await erp.invoice(made.id))["replan_at"] is not None
    assert (await erp.http.delete(path, headers=BEARER)).status_code == 204
    assert await erp.open_amounts(made.id) == [Decimal(60), Decimal(60)]
    assert (await erp.http.delete(path, headers=BEARER)).status_code == 404


async def test_what_a_person_took_back_is_not_given_again_by_the_machine(erp: Payments) -> None:
    made = await factories.invoice(erp.owner)
    body = (await post(erp, "/v1/payments", paid(made.ref, "40.00", payment_id="P-1"))).json()
    await erp.http.delete(f"/v1/payments/{body['id']}/allocations", headers=BEARER)
    assert await reconcile(erp.db) == 0
    await post(erp, "/v1/payments", {"type": "payment.pending", **paid(made.ref, "40.00", payment_id="P-1")})
    assert await erp.open_amounts(made.id) == [Decimal(100)]
    assert (await erp.get(f"/v1/payments/{body['id']}"))["reason"] == "by_hand"


async def test_a_reversal_takes_back_what_a_person_had_allocated(erp: Payments) -> None:
    one, two = await factories.invoice(erp.owner), await factories.invoice(erp.owner)
    body = (await post(erp, "/v1/payments", {"amount": "150.00", "currency": "EUR", "payment_id": "P-1"})).json()
    for made in (one, two):
        await post(erp, f"/v1/payments/{body['id']}/allocations", {"invoice_id": made.ref})
    await post(erp, "/v1/payments", {"type": "payment.reversed", "payment_id": "P-1"})
    assert await erp.open_amounts(one.id) + await erp.open_amounts(two.id) == [Decimal(100)] * 2


@pytest.mark.parametrize(
    ("new", "status", "says"),
    [
        ({"amount": "40.00"}, 409, "more than is left"),
        ({"installment": 7}, 409, "no such installment"),
        ({"amount": "0.001"}, 422, "digits"),
        ({"invoice_id": "nothing"}, 422, "no invoice"),
        ({"amount": "-1"}, 422, "decimal string"),
        ({"colour": "red"}, 422, "not a known field"),
    ],
)
async def test_an_allocation_that_cannot_be_is_refused_with_its_reason(
    erp: Payments, new: dict[str, Any], status: int, says: str
) -> None:
    made = await factories.invoice(erp.owner)
    body = (await post(erp, "/v1/payments", {"amount": "30.00", "currency": "EUR"})).json()
    answer = await post(erp, f"/v1/payments/{body['id']}/allocations", {"invoice_id": made.ref, **new})
    assert answer.status_code == status
    assert says in answer.json()["detail"]
    assert await erp.open_amounts(made.id) == [Decimal(100)]


async def test_other_currencies_closed_invoices_and_unknown_payments_are_refused(erp: Payments) -> None:
    dollars = await factories.invoice(erp.owner, currency="USD")
    void = await factories.invoice(erp.owner)
    await erp.owner.execute("UPDATE invoice SET closed_as = 'void', closed_at = now() WHERE id = $1", void.id)
    body = (await post(erp, "/v1/payments", {"amount": "30.00", "currency": "EUR"})).json()
    for ref, says in ((dollars.ref, "currencies"), (void.ref, "void")):
        answer = await post(erp, f"/v1/payments/{body['id']}/allocations", {"invoice_id": ref})
        assert (answer.status_code, says in answer.json()["detail"]) == (409, True)
    assert (await post(erp, "/v1/payments/999999/allocations", {"invoice_id": void.ref})).status_code == 404


async def test_the_list_is_filtered_and_walked(erp: Payments) -> None:
    made = await factories.invoice(erp.owner)
    for n in range(5):
        await erp.say(event("confirmed", f"p{n}", "10.00", invoice_id=made.ref))
    await erp.say(event("confirmed", "lost", "10.00", invoice_id="nowhere"))
    first = await erp.get("/v1/payments", invoice_id=made.ref, limit=3)
    rest = await erp.get("/v1/payments", invoice_id=made.ref, limit=3, cursor=first["next_cursor"])
    assert [p["payment_id"] for p in first["items"] + rest["items"]] == ["p4", "p3", "p2", "p1", "p0"]
    assert rest["next_cursor"] is None
    assert len((await erp.get("/v1/payments", status="matched", source="bank"))["items"]) == 5
    assert [p["payment_id"] for p in (await erp.get("/v1/payments", payment_id="lost"))["items"]] == ["lost"]


async def test_the_status_of_an_invoice_follows_its_open_amount(erp: Payments) -> None:
    made = await factories.invoice(erp.owner, ("60.00", "60.00"))
    await erp.say(event("confirmed", "p1", "80.00", invoice_id=made.ref))
    status = await erp.get(f"/v1/payment-status/{made.ref}")
    assert (status["status"], status["open_amount"], status["currency"]) == ("open", "40.00", "EUR")
    assert [(p["no"], p["open_amount"], p["status"]) for p in status["installments"]] == [
        (1, "0.00", "paid"),
        (2, "40.00", "open"),
    ]
    await erp.say(event("confirmed", "p2", "40.00", invoice_id=made.ref))
    assert (await erp.get(f"/v1/payment-status/{made.ref}"))["status"] == "paid"
    assert (await erp.http.get("/v1/payment-status/none", headers=BEARER)).status_code == 404


async def test_a_refresh_finds_money_that_waits_and_says_that_nobody_could_be_asked(erp: Payments) -> None:
    await erp.say(event("confirmed", "p1", "100.00", invoice_id="BORN-LATER"))
    made = await factories.invoice(erp.owner, ref="BORN-LATER")
    answer = await erp.http.post(f"/v1/payment-status/{made.ref}/refresh", headers=BEARER)
    body = answer.json()
    assert (answer.status_code, body["status"], body["matched"], body["asked"]) == (200, "paid", True, [])
    assert "no payment source that can be asked" in body["detail"]


async def test_the_reconciler_repairs_what_a_crash_left_and_then_finds_nothing(erp: Payments) -> None:
    await erp.say(event("confirmed", "p1", "100.00", invoice_id="CRASHED"))
    await erp.say(event("confirmed", "p2", "100.00", reference="RF-CRASHED-2"))
    one = await factories.invoice(erp.owner, reminders=1, ref="CRASHED")
    two = await factories.invoice(erp.owner, payment_reference="RF-CRASHED-2")
    assert await reconcile(erp.db) == 2
    assert await erp.open_amounts(one.id) + await erp.open_amounts(two.id) == [Decimal(0)] * 2
    assert await erp.reminders(one.id) == [("step-0", "cancelled", "paid")]
    assert await reconcile(erp.db) == 0


async def test_an_amount_that_was_raised_takes_the_money_that_was_over(erp: Payments) -> None:
    made = await factories.invoice(erp.owner)
    await erp.say(event("confirmed", "p1", "130.00", invoice_id=made.ref))
    await erp.owner.execute("UPDATE installment SET amount = 120 WHERE invoice_id = $1", made.id)
    assert await reconcile(erp.db) == 1
    assert await erp.open_amounts(made.id) == [Decimal(0)]
    assert (await erp.payment("p1"))["allocated"] == Decimal(120)


async def test_the_worker_reconciles_and_forgets_old_answers(erp: Payments) -> None:
    await erp.say(event("confirmed", "p1", "100.00", invoice_id="SOON"))
    made = await factories.invoice(erp.owner, ref="SOON")
    for age in ("4 days", "1 day"):
        await erp.owner.execute(
            "INSERT INTO idempotency (owner, key, route, body_hash, created_at) VALUES ('x', $1::text, '', '', now() - $1::text::interval)",
            age,
        )
    announcer = Announcer(erp.db, httpx.AsyncClient(), 1.0)
    check = PaymentCheck(erp.db, Poller(HttpAsker(httpx.AsyncClient())), timedelta(0))
    watch = Watch(PaymentRecorder(erp.db, timedelta(0)), Rules(), reader_of, None, lambda _: Folder(Path()))
    close = CloseCheckouts(erp.db, StripeCheckout(httpx.AsyncClient()))
    worker = PaymentsWorker(erp.db, PaymentsSettings(reconcile_seconds=0.05), announcer, check, watch, close)
    await worker.start()
    try:
        async with asyncio.timeout(10):
            while await erp.open_amounts(made.id) != [Decimal(0)]:
                await asyncio.sleep(0.02)
            while await erp.owner.fetchval("SELECT count(*) FROM idempotency WHERE key = '4 days'"):
                await asyncio.sleep(0.02)
    finally:
        await worker.stop()
    assert await erp.owner.fetchval("SELECT array_agg(key) FROM idempotency") == ["1 day"]


async def test_a_source_never_shows_its_secrets(erp: Payments) -> None:
    secret = new_secret()
    settings = {"kind": "standard_webhook", "secrets": [secret, new_secret()]}
    made = await erp.http.put("/v1/sources/gateway", json=settings, headers=BEARER)
    assert (made.status_code, made.json()["secrets"]) == (201, 2)
    again = await erp.http.put("/v1/sources/gateway", json=settings, headers=BEARER)
    listed = await erp.http.get("/v1/sources", headers=BEARER)
    got = await erp.http.get("/v1/sources/gateway", headers=BEARER)
    assert again.status_code == 200
    assert [item["source"] for item in listed.json()["items"]] == ["bank", "gateway"]
    assert not any(secret[6:] in answer.text for answer in (made, again, listed, got))


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"kind": "pigeon", "secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]}, "/kind"),
        ({"kind": "standard_webhook"}, "/secrets"),
        ({"kind": "standard_webhook", "secrets": []}, "/secrets"),
        ({"kind": "standard_webhook", "secrets": ["hunter2hunter2"]}, "/secrets/0"),
        ({"kind": "standard_webhook", "secrets": ["whsec_hunter2!"]}, "/secrets/0"),
        ({"kind": "standard_webhook", "secrets": ["whsec_aHVudGVyMg=="]}, "/secrets/0"),
    ],
)
async def test_a_bad_source_is_refused_by_its_field(erp: Payments, settings: dict[str, Any], pointer: str) -> None:
    answer = await erp.http.put("/v1/sources/x", json=settings, headers=BEARER)
    assert answer.status_code == 422
    assert [e["pointer"] for e in answer.json()["errors"]] == [pointer]
    assert "hunter2" not in answer.text
    if pointer == "/kind":
        assert "standard_webhook" in answer.json()["detail"]


async def test_a_deleted_source_is_deaf_at_once_and_its_payments_stay(erp: Payments) -> None:
    made = await factories.invoice(erp.owner)
    await erp.say(event("confirmed", "p1", "10.00", invoice_id=made.ref))
    assert (await erp.http.delete("/v1/sources/bank", headers=BEARER)).status_code == 204
    assert (await erp.say(event("confirmed", "p2", "10.00", invoice_id=made.ref))).status_code == 401
    assert (await erp.http.get("/v1/sources/bank", headers=BEARER)).status_code == 404
    assert (await erp.http.delete("/v1/sources/bank", headers=BEARER)).status_code == 404
    assert [p["payment_id"] for p in (await erp.get("/v1/payments"))["items"]] == ["p1"]
    assert await erp.owner.fetchval("SELECT config FROM source WHERE ref = 'bank'") == {}


async def test_the_built_in_source_cannot_be_replaced_or_deleted(erp: Payments) -> None:
    settings = {"kind": "standard_webhook", "secrets": [new_secret()]}
    assert (await erp.http.put("/v1/sources/api", json=settings, headers=BEARER)).status_code == 409
    assert (await erp.http.delete("/v1/sources/api", headers=BEARER)).status_code == 409


async def test_without_the_right_key_nothing_is_told_or_done(erp: Payments) -> None:
    await erp.owner.execute(
        "INSERT INTO api_key (name, key_hash, scopes) VALUES ('reader', $1, '{invoices:read}')", key_hash("reader-key")
    )
    reads = ["/v1/payments", "/v1/payments/1", "/v1/sources", "/v1/sources/bank", "/v1/payment-status/x"]
    for path in reads:
        assert (await erp.http.get(path)).status_code == 401
        assert (await erp.http.get(path, headers={"Authorization": "Bearer reader-key"})).status_code == 403
    for path in ("/v1/payments", "/v1/payments/1/allocations", "/v1/payment-status/x/refresh"):
        assert (await erp.http.post(path, content=b"{")).status_code == 401
    assert await erp.counts() == (0, 0)


@pytest.mark.parametrize("payment_id", ["0", "x", "9223372036854775808", "-1"])
async def test_an_id_that_cannot_be_is_no_server_error(erp: Payments, payment_id: str) -> None:
    assert (await erp.http.get(f"/v1/payments/{payment_id}", headers=BEARER)).status_code == 422
