"""What a message says to an API (`values_of`), and what an API's word means to us (`read_word`). Pure."""

from collections.abc import Mapping
from typing import Any

from services.dispatcher.domain.outcomes import Accepted, Delivered, Missed, Receipt, Rejected, SuppressReason
from services.dispatcher.domain.ports import Outgoing

NAMES = frozenset(
    {
        "address",
        "text",
        "subject",
        "attempt_id",
        "callback_url",
        "message_id",
        "customer_name",
        "locale",
        "invoice_id",
        "invoice_number",
        "currency",
        "amount",
        "open_amount",
        "issue_date",
        "due_date",
        "days_past_due",
        "payment_reference",
        "pay_url",
        "document_url",
        "opt_out_url",
        "creditor_name",
        "installment_no",
        "installment_count",
        "fallback_from",
        "attributes",
    }
)


def values_of(outgoing: Outgoing, provider: str) -> Mapping[str, Any]:
    """What templates may use: amounts and dates as machines write them, no text from outside changed."""
    facts = outgoing.facts
    return {
        "address": outgoing.to_address,
        "text": outgoing.rendered.text.rstrip("\n"),
        "subject": outgoing.rendered.subject,
        "attempt_id": outgoing.attempt_id,
        "message_id": outgoing.message_id.strip("<>"),
        "callback_url": f"{outgoing.callback_url}/{provider}?attempt={outgoing.attempt_id}",
        "customer_name": facts.customer_name,
        "locale": facts.locale,
        "invoice_id": facts.invoice_ref,
        "invoice_number": facts.invoice_number,
        "currency": facts.currency,
        "amount": str(facts.amount),
        "open_amount": str(facts.open_amount),
        "issue_date": facts.issue_date.isoformat(),
        "due_date": facts.due_date.isoformat() if facts.due_date else "",
        "days_past_due": str(facts.days_past_due),
        "payment_reference": facts.payment_reference,
        "pay_url": facts.pay_url,
        "document_url": facts.document_url or "",
        "opt_out_url": facts.opt_out_url,
        "creditor_name": facts.creditor_name,
        "installment_no": str(facts.installment_no),
        "installment_count": str(facts.installment_count),
        "fallback_from": facts.fallback_from or "",
        "attributes": facts.attributes or {},
    }


def read_word(word: str, detail: str, ref: str = "") -> Receipt | None:
    """None for a word that nobody has explained: an API may say more than it was asked."""
    match word:
        case "accepted":
            return Accepted(ref, detail)
        case "delivered":
            return Delivered(ref, detail)
        case "undelivered":
            return Rejected(detail)
        case "missed":
            return Missed(detail)
        case "invalid":
            return Rejected(detail, suppress=SuppressReason.INVALID)
        case "opted_out":
            return Rejected(detail, suppress=SuppressReason.OPTED_OUT)
        case _:
            return None
