"""What the reconciler finds when somebody died half-way, or wrote where nobody should, and what it does about it."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from services.payments.handlers import reconcile
from services.payments.handlers.reconcile import Adding
from tests import factories
from tests.integration.payments_running import Payments, event, payments_running


@pytest.fixture
async def erp(database_dsn: str, tmp_path: Path) -> AsyncIterator[Payments]:
    async with payments_running(database_dsn, tmp_path) as running:
        yield running


@pytest.fixture
async def paid(erp: Payments) -> factories.Made:
    """60.00 of 100.00 came, 50.00 of it for the first date."""
    made = await factories.invoice(erp.owner, ("50.00", "50.00"), reminders=1, thank_you=True)
    await erp.say(event("confirmed", "P-1", "60.00", invoice_id=made.ref))
    return made


async def test_money_that_adds_up_is_left_alone(erp: Payments, paid: factories.Made) -> None:
    await erp.say(event("confirmed", "P-2", "500.00", invoice_id=(await factories.invoice(erp.owner)).ref))
    events = await erp.owner.fetchval("SELECT count(*) FROM event")
    assert await Adding(erp.db)() == 0
    assert await erp.owner.fetchval("SELECT count(*) FROM event") == events


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE installment SET allocated = 0",
        "UPDATE installment SET allocated = 50",
        "UPDATE installment SET allocated = allocated + 7 WHERE no = 2",
        "DELETE FROM allocation",
        "DELETE FROM allocation a USING installment n WHERE n.id = a.installment_id AND n.no = 1",
        "UPDATE allocation SET amount = amount / 2",
        "UPDATE allocation SET amount = 1000",
        "UPDATE payment SET allocated = 12",
        "DELETE FROM allocation; UPDATE installment SET allocated = 0",
    ],
)
async def test_money_that_does_not_add_up_is_dealt_out_anew_with_an_alarm(
    erp: Payments, paid: factories.Made, harm: str
) -> None:
    before = REGISTRY.get_sample_value("dunnock_payments_differences_total")
    await erp.owner.execute(harm)

    assert await Adding(erp.db)() == 1

    assert await erp.open_amounts(paid.id) == [Decimal(0), Decimal(40)]
    assert (await erp.payment("P-1"))["allocated"] == 60
    assert REGISTRY.get_sample_value("dunnock_payments_differences_total") == (before or 0) + 1
    assert await erp.owner.fetchval("SELECT count(*) FROM event WHERE kind = 'payment.repaired'") == 1
    assert await Adding(erp.db)() == 0


async def test_an_invoice_that_should_be_settled_is_and_its_reminders_stop(erp: Payments, paid: factories.Made) -> None:
    await erp.owner.execute("UPDATE payment SET amount = 100, allocated = 100")
    await erp.owner.execute("UPDATE allocation SET amount = 50")
    await erp.owner.execute("UPDATE installment SET allocated = 50")

    assert await Adding(erp.db)() == 1

    assert (await erp.invoice(paid.id))["settled_at"] is not None
    assert [state for _, state, _ in await erp.reminders(paid.id)] == ["cancelled", "cancelled", "pending"]


async def test_an_invoice_that_is_called_settled_and_is_not_is_opened_again(
    erp: Payments, paid: factories.Made
) -> None:
    await erp.owner.execute("UPDATE invoice SET settled_at = now(), settled_n = 1")

    assert await Adding(erp.db)() == 1

    invoice = await erp.invoice(paid.id)
    assert invoice["settled_at"] is None
    assert invoice["replan_at"] is not None, "it is followed up again"


async def test_what_a_person_allocated_stays(erp: Payments, paid: factories.Made) -> None:
    other = await factories.invoice(erp.owner)
    payment = (await erp.payment("P-1"))["id"]
    await erp.owner.execute("UPDATE payment SET unmatched_reason = 'by_hand', invoice_id = $1", other.id)
    await erp.owner.execute("UPDATE installment SET allocated = 33 WHERE invoice_id = $1", paid.id)

    assert await Adding(erp.db)() == 1

    assert await erp.open_amounts(paid.id) == [Decimal(0), Decimal(40)]
    assert await erp.owner.fetchval("SELECT sum(amount) FROM allocation WHERE payment_id = $1", payment) == 60


async def test_all_invoices_are_compared_a_slice_after_the_other(
    erp: Payments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "SLICE", 2)
    monkeypatch.setattr(reconcile, "SLICES", 2)
    made = [await factories.invoice(erp.owner) for _ in range(9)]
    await erp.owner.execute("UPDATE installment SET allocated = 1")
    adding = Adding(erp.db)

    turns = [await adding() for _ in range(4)]

    assert sum(turns) == len(made)
    assert max(turns) <= 4


async def test_payments_that_arrive_while_it_repairs_are_not_lost(erp: Payments, paid: factories.Made) -> None:
    await erp.owner.execute("UPDATE installment SET allocated = 0")
    await asyncio.gather(
        Adding(erp.db)(), erp.say(event("confirmed", "P-2", "40.00", invoice_id=paid.ref)), Adding(erp.db)()
    )
    await Adding(erp.db)()
    assert await erp.open_amounts(paid.id) == [Decimal(0), Decimal(0)]
    assert (await erp.invoice(paid.id))["settled_n"] == 1
