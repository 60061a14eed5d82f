"""Whatever a gateway, a bank's file and the ERP say of one invoice, and in whatever order: it ends in the same state."""

import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests import factories
from tests.doubles.erp_books import ErpBooks, erp_books
from tests.integration.payments_running import BEARER, Payments, event, payments_running
from tests.statement_files import Line, camt

EXAMPLES = 1_000 if os.environ.get("FULL", "0") not in ("", "0") else 30
KINDS = ("paid", "partial", "duplicate", "reversed", "pending", "statement", "poll")
AMOUNTS = ("70.00", "50.00")
OWED = Decimal(120)
CAME = Decimal(75)  # 10 of the full payment stay, 25 of the partial one, 40 of the statement
ANSWERS = ("120.00", "45.00", "30.00", "0.00")
"""What the ERP says is open: it knows of nothing, of just what came, of more, or of a settlement that no bank knows."""


@dataclass
class Talk:
    payments: Payments
    books: ErpBooks

    async def say(self, what: str, ref: str, reference: str) -> httpx.Response:
        said: dict[str, Any] = {
            "paid": event("confirmed", f"paid-{ref}", "60.00", invoice_id=ref),
            "partial": event("confirmed", f"part-{ref}", "25.00", invoice_id=ref),
            "duplicate": event("confirmed", f"paid-{ref}", "60.00", invoice_id=ref),
            "reversed": event("reversed", f"paid-{ref}", "50.00"),
            "pending": event("pending", f"part-{ref}", "25.00", invoice_id=ref),
        }
        if what == "statement":
            return await self.payments.upload(camt([Line("40.00", rf=reference, bank_ref=ref)]))
        if what == "poll":
            return await self.payments.http.post(f"/v1/payment-status/{ref}/refresh", headers=BEARER)
        return await self.payments.say(said[what], event_id=f"{what}-{ref}")

    async def end_of(self, order: Sequence[str], answer: str) -> dict[str, Any]:
        reference = checked_reference(await self.payments.owner.fetchval("SELECT count(*) FROM invoice"))
        made = await factories.invoice(self.payments.owner, AMOUNTS, reminders=1, payment_reference=reference)
        self.books.open_amounts[made.ref] = answer
        for what in order:
            said = await self.say(what, made.ref, reference)
            assert said.status_code in (200, 202), (order, what, said.text)
        return await self._state(made)

    async def _state(self, made: factories.Made) -> dict[str, Any]:
        row = await self.payments.owner.fetchrow(STATE, made.id)
        assert row is not None
        return {"open": await self.payments.open_amounts(made.id), **row}


STATE = """
SELECT i.settled_at IS NOT NULL AS settled,
       (SELECT count(*) FROM hold h WHERE h.invoice_id = i.id AND kind = 'in_flight' AND released_at IS NULL
           AND until > business_now()) AS held,
       (SELECT sum(allocated) FROM payment WHERE invoice_id = i.id) AS given,
       (SELECT sum(amount - allocated) FROM payment WHERE invoice_id = i.id) AS waits,
       (SELECT count(*) FROM reminder r WHERE r.invoice_id = i.id AND state = 'pending'
           AND i.settled_at IS NOT NULL) AS would_still_go
  FROM invoice i WHERE i.id = $1
"""


def end(answer: str) -> dict[str, Any]:
    """By hand: what came, or what the ERP knows of, if that is more; the first installment first."""
    paid = max(CAME, OWED - Decimal(answer))
    first, second = (Decimal(amount) for amount in AMOUNTS)
    left = [first - min(first, paid), second - max(Decimal(0), paid - first)]
    return {"open": left, "settled": paid == OWED, "held": 0, "given": paid, "waits": 0, "would_still_go": 0}


@pytest.fixture
async def talk(database_dsn: str, tmp_path: Path) -> AsyncIterator[Talk]:
    async with payments_running(database_dsn, tmp_path, window=0.02) as running, erp_books() as books:
        answer = await running.http.put("/v1/sources/erp", json=books.settings(), headers=BEARER)
        assert answer.status_code == 201, answer.text
        yield Talk(running, books)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(order=st.permutations(KINDS), answer=st.sampled_from(ANSWERS))
@example(order=["poll", *KINDS[:-1]], answer="0.00")
@example(order=list(KINDS), answer="30.00")
async def test_every_order_of_everything_that_can_be_said_ends_in_the_same_state(
    talk: Talk, order: list[str], answer: str
) -> None:
    assert await talk.end_of(order, answer) == end(answer)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    order=st.lists(st.sampled_from(KINDS), min_size=1, max_size=7).flatmap(
        lambda again: st.permutations([*KINDS, *again])
    ),
    answer=st.sampled_from(ANSWERS),
)
async def test_repeating_any_of_it_at_any_place_changes_nothing(talk: Talk, order: list[str], answer: str) -> None:
    assert await talk.end_of(order, answer) == end(answer)


def checked_reference(number: int) -> str:
    body = f"{number:09}"
    digits = 98 - int(f"{body}271500") % 97
    return f"RF{digits:02}{body}"
