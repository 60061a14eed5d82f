"""What the sender of a payment is told: matched, or kept until somebody knows what it was for.

True here: whatever was stored is answered with 2xx, and 202 says that it did not (yet) change what anybody owes.
"""

from enum import StrEnum

OVERPAID = "overpaid"
BY_HAND = "by_hand"
SPLIT = "split"


class Kind(StrEnum):
    """What a source can say of a payment."""

    CONFIRMED = "confirmed"
    PENDING = "pending"  # under way: holds the reminders for a while
    FAILED = "failed"  # what was under way will not come
    REVERSED = "reversed"


class Match(StrEnum):
    """Where a payment's money is."""

    MATCHED = "matched"
    PARTLY = "partly"
    UNMATCHED = "unmatched"


def kept_for_later(invoice_known: bool, reason: str | None) -> bool:
    """Whether what was said is stored without an effect: unknown invoice or payment, other currency, closed invoice."""
    return not invoice_known or reason not in (None, OVERPAID, BY_HAND, SPLIT)


EXPLAINED = {
    "unknown_invoice": "no invoice with this id or reference is known yet; matched when it comes, or by hand",
    "unknown_payment": "the payment that is reversed is not known yet; the reversal counts when it comes",
    "other_currency": "the invoice is in another currency; nothing was allocated",
    "invoice_void": "the invoice is void; nothing was allocated",
    "invoice_uncollectible": "the invoice was written off; nothing was allocated",
    OVERPAID: "more than was owed; the rest is kept unallocated",
    SPLIT: "one transfer for several invoices; what they no longer owed waits for a person",
    BY_HAND: "a person allocated this payment; its rest waits for one",
}
