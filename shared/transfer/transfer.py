"""What a bank transfer needs to be told."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Transfer:
    """`reference` is structured (ISO 11649) or free text; `iban` without blanks."""

    holder: str
    iban: str
    bic: str | None
    amount: Decimal
    currency: str
    reference: str
