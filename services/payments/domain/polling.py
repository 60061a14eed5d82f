"""Questions to a polled source, and what its answers mean. Pure.

True here: one question per customer where the source takes several invoices at once; an answer that cannot be read, or
speaks of another currency, is no answer: nothing is booked on a guess.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol
from urllib.parse import quote

from services.payments.domain.minor_units import from_minor
from services.payments.domain.poll_settings import BatchSettings, HttpPollSettings, Reading
from shared.kernel.expressions import found
from shared.kernel.json import dumps
from shared.kernel.money import check_minor_units

LARGEST = Decimal(10) ** 15


@dataclass(frozen=True, slots=True)
class Debt:
    """An invoice to ask about."""

    id: int
    ref: str
    number: str
    payment_reference: str
    currency: str
    customer_ref: str


@dataclass(frozen=True, slots=True)
class Question:
    """One request, and the invoices that its answer speaks of. Two with the same `key` are one."""

    method: str
    url: str
    body: bytes | None
    debts: tuple[Debt, ...]
    batch: bool

    @property
    def key(self) -> tuple[str, str, bytes | None]:
        return self.method, self.url, self.body


@dataclass(frozen=True, slots=True)
class Open:
    """`amount` None: not paid, and nobody says how much is open."""

    amount: Decimal | None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing can be said, and why."""

    why: str


Word = Open | Unknown


class Unanswered(Exception):
    """The source did not answer; the text says what happened, and nothing that is secret."""


class Ask(Protocol):
    async def __call__(self, settings: HttpPollSettings, question: Question) -> Any:
        """The parsed answer; raises Unanswered."""


def questions(settings: HttpPollSettings, debts: Sequence[Debt]) -> Iterator[Question]:
    """About invoices of any number of customers."""
    if settings.batch is None:
        for debt in debts:
            yield _question(settings, _places_of(debt), (debt,), batch=False)
        return
    by_customer: dict[str, list[Debt]] = {}
    for debt in debts:
        by_customer.setdefault(debt.customer_ref, []).append(debt)
    for customer_ref, theirs in by_customer.items():
        yield from _batches(settings.batch, customer_ref, theirs)


def words(settings: HttpPollSettings, question: Question, answer: Any) -> dict[int, Word]:
    """What the answer says of each invoice of the question."""
    if not question.batch:
        return {debt.id: read(settings.read, debt, answer) for debt in question.debts}
    assert settings.batch is not None
    items = found(settings.batch.items, answer)
    if not isinstance(items, list):
        return {debt.id: Unknown("there is no list where 'batch.items' says") for debt in question.debts}
    by_ref = {str(found(settings.batch.invoice_id, item)): item for item in items}
    missing = Open(Decimal(0)) if settings.batch.missing == "paid" else Unknown("it is not in the list")
    return {
        debt.id: read(settings.read, debt, by_ref[debt.ref]) if debt.ref in by_ref else missing
        for debt in question.debts
    }


def read(reading: Reading, debt: Debt, answer: Any) -> Word:
    if reading.currency is not None:
        currency = found(reading.currency, answer)
        if currency != debt.currency:
            return Unknown("the answer is in another currency, or in none")
    amount = None if reading.open_amount is None else found(reading.open_amount, answer)
    if amount is not None:
        return _amount(amount, debt.currency, minor=reading.amount == "minor")
    paid = None if reading.paid is None else found(reading.paid, answer)
    if paid is True:
        return Open(Decimal(0))
    return Open(None) if paid is False else Unknown("the answer does not say what is open, nor whether it is paid")


def _amount(value: Any, currency: str, *, minor: bool) -> Word:
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        said = Decimal(str(value))
        if "_" in str(value) or not 0 <= said < LARGEST or (minor and said != int(said)):
            raise ValueError
        amount = Decimal(from_minor(int(said), currency)) if minor else said
        check_minor_units(amount, currency)
    except (ValueError, InvalidOperation):
        return Unknown("the open amount is not an amount of the invoice's currency")
    return Open(amount)


def _batches(batch: BatchSettings, customer_ref: str, debts: Sequence[Debt]) -> Iterator[Question]:
    size = batch.most if "invoice_ids" in batch.used() else len(debts)
    for start in range(0, len(debts), size):
        some = tuple(debts[start : start + size])
        filled = {"customer_id": customer_ref, "invoice_ids": ",".join(debt.ref for debt in some)}
        yield _question(batch, filled, some, batch=True)


def _question(
    asked: HttpPollSettings | BatchSettings, filled: Mapping[str, str], debts: tuple[Debt, ...], *, batch: bool
) -> Question:
    url = asked.url
    for name, value in filled.items():
        url = url.replace(f"{{{name}}}", quote(value, safe=""))
    body = None if asked.body is None else dumps(_filled(asked.body, filled))
    return Question(asked.method, url, body, debts, batch)


def _filled(value: Any, filled: Mapping[str, str]) -> Any:
    match value:
        case str():
            for name, text in filled.items():
                value = value.replace(f"{{{name}}}", text)
            return value
        case dict():
            return {name: _filled(one, filled) for name, one in value.items()}
        case list():
            return [_filled(one, filled) for one in value]
    return value


def _places_of(debt: Debt) -> dict[str, str]:
    return {
        "invoice_id": debt.ref,
        "customer_id": debt.customer_ref,
        "number": debt.number,
        "payment_reference": debt.payment_reference,
    }
