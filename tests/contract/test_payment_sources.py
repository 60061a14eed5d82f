"""What holds for money whoever speaks of it: a gateway, a bank's file however it came, the ERP that was asked, a clerk."""

import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest

from services.payments.adapters.registry import STATEMENTS, WEBHOOKS
from services.payments.domain.pick_up import Place
from services.payments.domain.source_settings import SourceSettings
from services.payments.store.sources import BUILT_IN_KIND, FILES_KIND
from tests import factories
from tests.contract.payment_sources import SOURCES, WINDOW, Said, Source, elapsed
from tests.integration.payments_running import Payments, payments_running

RF = "RF18539007547034"


@pytest.fixture(params=sorted(SOURCES))
async def source(request: pytest.FixtureRequest, database_dsn: str, tmp_path: Path) -> AsyncIterator[Source]:
    async with (
        payments_running(database_dsn, tmp_path / "documents", window=WINDOW) as running,
        SOURCES[request.param](running, tmp_path) as made,
    ):
        yield made


def test_every_kind_of_source_is_tried_here() -> None:
    kinds = {get_args(each.model_fields["kind"].annotation)[0] for each in get_args(get_args(SourceSettings)[0])}
    files = {*STATEMENTS, *Place}
    assert set(SOURCES) == (kinds - {FILES_KIND}) | files | {BUILT_IN_KIND}
    assert set(WEBHOOKS) < kinds


async def owed(payments: Payments, *amounts: str) -> factories.Made:
    return await factories.invoice(payments.owner, amounts or ("100.00",), reminders=1, payment_reference=RF)


async def test_what_came_is_owed_no_more_and_its_reminders_stop(source: Source) -> None:
    made = await owed(source.payments)
    await source.pay(Said(made.ref, RF, "pay-1"))
    assert await source.payments.open_amounts(made.id) == [Decimal(0)]
    assert await source.payments.reminders(made.id) == [("step-0", "cancelled", "paid")]


async def test_the_same_word_again_and_again_counts_once(source: Source) -> None:
    made = await owed(source.payments)
    for _ in range(3):
        await source.pay(Said(made.ref, RF, "pay-1", "40.00"))
    assert await source.payments.open_amounts(made.id) == [Decimal(60)]
    assert await source.payments.reminders(made.id) == [("step-0", "pending", None)]


async def test_a_part_pays_the_oldest_installment_first(source: Source) -> None:
    made = await owed(source.payments, "60.00", "40.00")
    await source.pay(Said(made.ref, RF, "pay-1", "70.00"))
    assert await source.payments.open_amounts(made.id) == [Decimal(0), Decimal(30)]


async def test_what_is_taken_back_is_owed_again_and_planned_anew(source: Source) -> None:
    made = await owed(source.payments)
    said = Said(made.ref, RF, "pay-1")
    await source.pay(said)
    assert (await source.payments.invoice(made.id))["settled_at"] is not None
    for _ in range(2):
        await source.take_back(said)
        row = await source.payments.invoice(made.id)
        assert (row["settled_at"], row["replan_at"] is None) == (None, False)
        assert await source.payments.open_amounts(made.id) == [Decimal(100)]


async def test_another_currency_pays_nothing(source: Source) -> None:
    made = await owed(source.payments)
    await source.pay(Said(made.ref, RF, "pay-1", currency="USD"))
    assert await source.payments.open_amounts(made.id) == [Decimal(100)]
    assert await source.payments.reminders(made.id) == [("step-0", "pending", None)]


async def test_it_is_heard_only_when_no_hand_off_can_begin_any_more(source: Source) -> None:
    """Also the second time: whoever asks again because the first answer was lost must not be told sooner."""
    made = await owed(source.payments)
    await factories.attempt(source.payments.owner, made.reminders[0], made.contact_id)
    began = time.monotonic()
    await source.pay(Said(made.ref, RF, "pay-1"))
    assert elapsed(began) >= WINDOW - 0.05


async def test_a_void_invoice_takes_no_money(source: Source) -> None:
    made = await owed(source.payments)
    await source.payments.owner.execute(
        "UPDATE invoice SET closed_as = 'void', closed_at = now() WHERE id = $1", made.id
    )
    await source.pay(Said(made.ref, RF, "pay-1"))
    assert await source.payments.open_amounts(made.id) == [Decimal(100)]
    assert (await source.payments.invoice(made.id))["settled_at"] is None
