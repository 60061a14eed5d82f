"""What payments do to what is owed and to the reminders, over a real database."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from pathlib import Path

import pytest

from tests import factories
from tests.factories import TODAY
from tests.integration.payments_running import Payments, event, payments_running


@pytest.fixture
async def bank(database_dsn: str, tmp_path: Path) -> AsyncIterator[Payments]:
    async with payments_running(database_dsn, tmp_path) as running:
        yield running


def money(*amounts: str) -> list[Decimal]:
    return [Decimal(amount) for amount in amounts]


async def test_a_full_payment_stops_the_reminders_and_releases_the_thank_you(bank: Payments) -> None:
    made = await factories.invoice(bank.owner, reminders=5, thank_you=True)
    await bank.owner.execute("UPDATE reminder SET occurrence = 1 WHERE step = 'thank-you'")
    answer = await bank.say(event("confirmed", "p1", "100.00", invoice_id=made.ref, paid_at="2026-11-22T09:00:00Z"))
    assert (answer.status_code, answer.json()) == (200, {"payment_id": "p1", "result": "applied", "repeated": False})
    assert await bank.open_amounts(made.id) == money("0")
    assert await bank.reminders(made.id) == [
        *((f"step-{n}", "cancelled", "paid") for n in range(5)),
        ("thank-you", "pending", None),
    ]
    assert (await bank.invoice(made.id))["settled_at"] is not None


async def test_a_partial_payment_lowers_what_is_owed_and_leaves_the_reminders(bank: Payments) -> None:
    made = await factories.invoice(bank.owner, reminders=1)
    answer = await bank.say(event("confirmed", "p1", "30.00", invoice_id=made.ref))
    assert answer.json()["result"] == "applied"
    assert await bank.open_amounts(made.id) == money("70")
    assert await bank.reminders(made.id) == [("step-0", "pending", None)]


async def test_the_oldest_due_date_is_paid_first_and_only_its_reminders_stop(bank: Payments) -> None:
    later, sooner = TODAY + timedelta(days=30), TODAY
    made = await factories.invoice(bank.owner, ("50.00", "50.00"), reminders=1, due_dates=(later, sooner))
    await bank.say(event("confirmed", "p1", "60.00", invoice_id=made.ref))
    assert await bank.open_amounts(made.id) == money("40", "0")
    assert await bank.reminders(made.id) == [("step-0", "pending", None), ("step-0", "cancelled", "paid")]


async def test_a_named_installment_is_paid_and_no_other(bank: Payments) -> None:
    made = await factories.invoice(bank.owner, ("50.00", "50.00"))
    answer = await bank.say(event("confirmed", "p1", "60.00", invoice_id=made.ref, installment=2))
    assert await bank.open_amounts(made.id) == money("50", "0")
    assert answer.json()["unallocated"] == "10.00"
    assert answer.json()["reason"] == "overpaid"


async def test_what_names_its_installment_goes_before_what_does_not_in_either_order(bank: Payments) -> None:
    states = []
    for turn in range(2):
        made = await factories.invoice(bank.owner, ("50.00", "50.00"))
        said = [
            event("confirmed", f"free-{turn}", "30.00", invoice_id=made.ref),
            event("confirmed", f"named-{turn}", "40.00", invoice_id=made.ref, installment=1),
        ]
        for each in said if turn else reversed(said):
            await bank.say(each)
        states.append(await bank.open_amounts(made.id))
    assert states == [money("0", "30")] * 2


async def test_overpaid_money_is_kept_and_told(bank: Payments) -> None:
    made = await factories.invoice(bank.owner)
    answer = await bank.say(event("confirmed", "p1", "120.50", invoice_id=made.ref))
    assert (answer.status_code, answer.json()["unallocated"], answer.json()["reason"]) == (200, "20.50", "overpaid")
    (item,) = (await bank.get("/v1/payments", status="unmatched"))["items"]
    assert (item["payment_id"], item["status"], item["allocated"]) == ("p1", "partly", "100.00")


async def test_a_reversal_opens_the_invoice_again_and_asks_for_a_new_plan(bank: Payments) -> None:
    made = await factories.invoice(bank.owner, reminders=1, thank_you=True)
    await bank.say(event("confirmed", "p1", "100.00", invoice_id=made.ref))
    answer = await bank.say(event("reversed", "p1"))
    assert (answer.status_code, answer.json()["result"]) == (200, "applied")
    assert await bank.open_amounts(made.id) == money("100")
    row = await bank.invoice(made.id)
    assert row["replan_at"] is not None
    assert row["settled_at"] is None
    assert ("thank-you", "cancelled", "reopened") in await bank.reminders(made.id)


async def test_a_reversal_of_one_installment_asks_for_a_new_plan_although_the_invoice_was_never_paid(
    bank: Payments,
) -> None:
    made = await factories.invoice(bank.owner, ("50.00", "50.00"), reminders=1)
    await bank.say(event("confirmed", "p1", "50.00", invoice_id=made.ref))
    assert (await bank.invoice(made.id))["replan_at"] is None
    await bank.say(event("reversed", "p1", "20.00"))
    assert await bank.open_amounts(made.id) == money("20", "50")
    assert (await bank.invoice(made.id))["replan_at"] is not None


async def test_a_reversal_before_its_payment_is_kept_and_counts_when_it_comes(bank: Payments) -> None:
    made = await factories.invoice(bank.owner)
    early = await bank.say(event("reversed", "p1", "40.00", invoice_id=made.ref))
    assert (early.status_code, early.json()["result"], early.json()["reason"]) == (202, "stored", "unknown_payment")
    await bank.say(event("confirmed", "p1", "100.00", invoice_id=made.ref))
    assert await bank.open_amounts(made.id) == money("40")


async def test_money_that_a_reversal_freed_goes_to_what_was_over(bank: Payments) -> None:
    made = await factories.invoice(bank.owner)
    await bank.say(event("confirmed", "p1", "100.00", invoice_id=made.ref))
    await bank.say(event("confirmed", "p2", "40.00", invoice_id=made.ref))
    await bank.say(event("reversed", "p1"))
    assert await bank.open_amounts(made.id) == money("60")
    assert (await bank.payment("p2"))["allocated"] == Decimal(40)


ORDERS = list(permutations(range(5)))


async def test_the_order_of_events_never_changes_what_is_owed(bank: Payments) -> None:
    """Confirmed, partial, duplicate, two reversals: all 120 orders on an invoice of two parts end in one state."""
    ends = set()
    for order in ORDERS:
        made = await factories.invoice(bank.owner, ("60.00", "60.00"), reminders=1)
        ref = made.ref
        said = [
            event("confirmed", f"full-{ref}", "120.00", invoice_id=ref),
            event("confirmed", f"part-{ref}", "25.00", invoice_id=ref),
            event("confirmed", f"twin-{ref}", "60.00", invoice_id=ref),
            event("reversed", f"full-{ref}", "110.00"),
            event("reversed", f"twin-{ref}", None),
        ]
        for at in (*order, order[0]):
            answer = await bank.say(said[at], event_id=f"{ref}-{at}")
            assert answer.status_code in (200, 202), (order, at)
        ends.add(tuple(await bank.open_amounts(made.id)))
    assert ends == {tuple(money("25", "60"))}


async def test_another_currency_is_stored_and_not_converted(bank: Payments) -> None:
    made = await factories.invoice(bank.owner)
    answer = await bank.say(event("confirmed", "p1", "100.00", invoice_id=made.ref, currency="USD"))
    assert (answer.status_code, answer.json()["reason"]) == (202, "other_currency")
    assert await bank.open_amounts(made.id) == money("100")


@pytest.mark.parametrize("closed_as", ["void", "uncollectible"])
async def test_money_for_a_closed_invoice_is_stored_with_the_reason(bank: Payments, closed_as: str) -> None:
    made = await factories.invoice(bank.owner)
    await bank.owner.execute("UPDATE invoice SET closed_as = $2, closed_at = now() WHERE id = $1", made.id, closed_as)
    answer = await bank.say(event("confirmed", "p1", "100.00", invoice_id=made.ref))
    assert (answer.status_code, answer.json()["reason"]) == (202, f"invoice_{closed_as}")
    assert await bank.open_amounts(made.id) == money("100")


async def test_a_payment_reference_finds_the_invoice_if_it_names_just_one(bank: Payments) -> None:
    made = await factories.invoice(bank.owner, payment_reference="RF18-ONE")
    await factories.invoice(bank.owner, payment_reference="RF18-TWO")
    await factories.invoice(bank.owner, payment_reference="RF18-TWO")
    assert (await bank.say(event("confirmed", "p1", "100.00", reference="RF18-ONE"))).status_code == 200
    assert await bank.open_amounts(made.id) == money("0")
    assert (await bank.say(event("confirmed", "p2", "100.00", reference="RF18-TWO"))).status_code == 202


async def test_a_pending_payment_changes_nothing_that_is_owed(bank: Payments) -> None:
    made = await factories.invoice(bank.owner, reminders=1)
    assert (await bank.say(event("pending", "p1", "100.00", invoice_id=made.ref))).status_code == 200
    assert await bank.open_amounts(made.id) == money("100")
    await bank.say(event("confirmed", "p1", "100.00", invoice_id=made.ref))
    assert await bank.open_amounts(made.id) == money("0")


async def test_the_body_is_kept_as_evidence(bank: Payments) -> None:
    raw = b'{"type": "payment.confirmed",  "data": {"payment_id": "p1", "amount": "1.00", "currency": "EUR"}}'
    assert (await bank.say(raw)).status_code == 202
    assert await bank.owner.fetchval("SELECT body FROM payment_event") == raw
