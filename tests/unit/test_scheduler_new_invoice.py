"""What an invoice says, in one spelling; and the reference that a customer types."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from stdnum import iso11649

from services.scheduler.api.invoice_body import InvoiceIn, read_invoice
from services.scheduler.domain.reference import creditor_reference
from shared.kernel.ids import REF_PATTERN

BODY: dict[str, Any] = {
    "invoice_id": "INV-1", "number": "1", "customer_id": "C-1", "issue_date": "2026-01-10", "due_date": "2026-02-10",
    "currency": "EUR", "amount": "10.00",
}  # fmt: skip


def said(**changes: Any) -> bytes:
    body = {**BODY, **changes}
    return read_invoice(
        InvoiceIn.model_validate({k: v for k, v in body.items() if v is not None}), sandbox=False
    ).content_hash


def test_the_same_invoice_in_other_words_has_the_same_content():
    assert said() == said(amount="10") == said(flow="standard") == said(creditor_id="default")
    assert said() == said(due_date=None, amount=None, installments=[{"due_date": "2026-02-10", "amount": "10.0"}])
    assert said() == said(customer_id=None, customer={"customer_id": "C-1", "name": "Ana"})


def test_every_field_counts():
    others = [
        said(number="2"), said(customer_id="C-2"), said(issue_date="2026-01-11"), said(due_date="2026-02-11"),
        said(currency="USD"), said(amount="10.01"), said(flow="other"), said(creditor_id="other"),
        said(payment_url="https://x.example/"), said(payment_reference="RF18539007547034"), said(attributes={"a": 1}),
    ]  # fmt: skip

    assert len({said(), *others}) == len(others) + 1


@given(st.from_regex(REF_PATTERN, fullmatch=True))
def test_every_reference_passes_a_banks_check(ref: str):
    reference = creditor_reference(ref)

    assert iso11649.is_valid(reference)
    assert len(reference) <= 25


def test_a_reference_shows_the_invoice_where_it_fits():
    assert creditor_reference("INV-2026-001") == "RF10INV2026001"
    assert creditor_reference("x" * 128) != creditor_reference("x" * 127)
