"""Customers with their open invoices, and the transfers that they make: each with the invoice that it is truly for.

The mix is fixed: 30 % have no reference, 10 % a truncated one, 5 % one wrong digit, 5 % come from a payer with two invoices
of one amount, 2 % are foreign (not for any invoice), the rest is clean. Numbers run on, so a wrong digit mostly names
another invoice; one invoice in eight has a price that many have; people share names, and some are paid for by others.
Everything follows from the seed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from random import Random

from tests.statement_files import Line

SYLLABLES = [consonant + vowel for consonant in "bdfghjklmnprstvw" for vowel in "aeo"]
FIRST = ["Ana", "Jürgen", "María", "Zoë", "Søren", "Łukasz", "François", "Ömer"]
FORMS = ("GmbH", "Ltd", "S.A.", "B.V.")
TEXTS = ("thank you", "for the goods", "Zahlung", "pago", "transfer", "", "as agreed by phone", "regular payment")


class Sort(StrEnum):
    NO_REFERENCE = "no reference"
    TRUNCATED = "truncated"
    WRONG_DIGIT = "one digit wrong"
    TWO_ALIKE = "two invoices alike"
    FOREIGN = "foreign"
    CLEAN = "clean"


MIX = {
    Sort.NO_REFERENCE: 30,
    Sort.TRUNCATED: 10,
    Sort.WRONG_DIGIT: 5,
    Sort.TWO_ALIKE: 5,
    Sort.FOREIGN: 2,
    Sort.CLEAN: 48,
}


@dataclass(frozen=True, slots=True)
class Customer:
    id: int
    name: str
    iban: str


@dataclass(frozen=True, slots=True)
class Invoice:
    id: int
    number: str
    reference: str
    customer: Customer
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Transfer:
    """`meant`: the invoice, None for a foreign one. `own_name`: the payer stands there under a spelling of their name."""

    id: str
    sort: Sort
    line: Line
    meant: Invoice | None
    intact_reference: bool
    intact_number: bool
    own_name: bool


@dataclass(frozen=True, slots=True)
class World:
    customers: list[Customer]
    invoices: list[Invoice]
    transfers: list[Transfer]


def make(size: int, seed: int = 1) -> World:
    """So many transfers, and about a quarter more invoices than they pay."""
    random = Random(seed)
    sorts = [sort for sort, share in MIX.items() for _ in range(size * share // 100)]
    sorts += [Sort.CLEAN] * (size - len(sorts))
    random.shuffle(sorts)
    maker = _Maker(random, _prices(random))
    transfers = [maker.transfer(f"T{n}", sort) for n, sort in enumerate(sorts)]
    for _ in range(size // 4):
        maker.invoice(maker.customer())
    return World(maker.customers, maker.invoices, transfers)


def _prices(random: Random) -> list[Decimal]:
    return [Decimal(random.randrange(5, 400)) - Decimal("0.01") for _ in range(60)]


class _Maker:
    def __init__(self, random: Random, prices: list[Decimal]) -> None:
        self.random = random
        self.prices = prices
        self.customers: list[Customer] = []
        self.invoices: list[Invoice] = []

    def customer(self) -> Customer:
        if self.customers and self.random.random() < 0.3:
            return self.random.choice(self.customers)
        number = len(self.customers) + 1
        made = Customer(number, self._name(), f"DE{self.random.randrange(10**19, 10**20)}")
        self.customers.append(made)
        return made

    def _name(self) -> str:
        last = "".join(self.random.choice(SYLLABLES) for _ in range(3)).capitalize()
        if self.random.random() < 0.15:
            return f"{last} & Söhne {self.random.choice(FORMS)}"
        return f"{self.random.choice(FIRST)} {last}"

    def invoice(self, customer: Customer, amount: Decimal | None = None) -> Invoice:
        number = len(self.invoices) + 1
        if amount is None:
            common = self.random.random() < 0.125
            amount = self.random.choice(self.prices) if common else Decimal(self.random.randrange(500, 900_000)) / 100
        text = f"INV-2026-{number:06}"
        made = Invoice(number, text, checked(text.replace("-", "")), customer, amount)
        self.invoices.append(made)
        return made

    def transfer(self, name: str, sort: Sort) -> Transfer:
        if sort is Sort.FOREIGN:
            return self._foreign(name)
        invoice = self.invoice(self.customer())
        if sort is Sort.TWO_ALIKE:
            twin = self.invoice(invoice.customer, invoice.amount)
            invoice = self.random.choice((invoice, twin))
        return self._paid(name, sort, invoice)

    def _foreign(self, name: str) -> Transfer:
        """Somebody's money that is for nothing here: at times with the amount of an invoice, at times from a namesake."""
        namesake = bool(self.customers) and self.random.random() < 0.2
        payer = self.random.choice(self.customers).name if namesake else self._name() + "son"
        alike = not namesake and bool(self.invoices) and self.random.random() < 0.4
        amount = (
            self.random.choice(self.invoices).amount
            if alike
            else Decimal(self.random.randrange(900_000, 1_900_000)) / 100
        )
        line = self._line(
            name, amount, self.random.choice(TEXTS), None, payer, f"DE{self.random.randrange(10**19, 10**20)}"
        )
        return Transfer(name, Sort.FOREIGN, line, None, False, False, False)

    def _paid(self, name: str, sort: Sort, invoice: Invoice) -> Transfer:
        structured = self.random.random() < 0.5
        written = invoice.reference if structured else invoice.number
        spoilt = _SPOILT[sort](self.random, written)
        if sort is Sort.TWO_ALIKE and self.random.random() < 0.6:
            spoilt = None
        text, reference = self._said(spoilt, structured)
        own_name = self.random.random() >= 0.06
        payer = spelled(self.random, invoice.customer.name) if own_name else self._name()
        iban = invoice.customer.iban if own_name else f"DE{self.random.randrange(10**19, 10**20)}"
        intact = spoilt == written
        amount = invoice.amount
        if intact and structured and self.random.random() < 0.04:
            amount = (amount / 2).quantize(Decimal("0.01"))
        line = self._line(name, amount, text, reference, payer, iban)
        return Transfer(name, sort, line, invoice, intact and structured, intact and not structured, own_name)

    def _said(self, written: str | None, structured: bool) -> tuple[str, str | None]:
        around = self.random.choice(TEXTS)
        if written is None:
            return around, None
        if structured and self.random.random() < 0.6:
            return "", written
        shown = (
            written
            if self.random.random() < 0.6
            else written.replace("-", " ").lower()
            if not structured
            else _in_fours(written)
        )
        return f"{around} {shown} {self.random.choice(TEXTS)}", None

    def _line(self, name: str, amount: Decimal, text: str, reference: str | None, payer: str, iban: str) -> Line:
        return Line(f"{amount:.2f}", text, rf=reference, name=payer, iban=iban, end_to_end=name)


def spelled(random: Random, name: str) -> str:
    """As a bank or a payer writes a name that is the same."""
    for change in random.sample(_SPELLINGS, k=2):
        name = change(name)
    return name


def checked(body: str) -> str:
    """An ISO 11649 reference."""
    as_numbers = "".join(str(int(character, 36)) for character in f"{body}RF00")
    return f"RF{98 - int(as_numbers) % 97:02}{body}"


_UMLAUTS = str.maketrans({"ü": "ue", "ö": "oe", "Ö": "Oe", "ø": "oe"})
_BARE = str.maketrans({"ü": "u", "ö": "o", "Ö": "O", "ë": "e", "í": "i", "ç": "c"})
_SPELLINGS: list[Callable[[str], str]] = [
    str.upper,
    str.lower,
    lambda name: name.translate(_UMLAUTS),
    lambda name: name.translate(_BARE),
    lambda name: " ".join(reversed(name.split())),
    lambda name: name,
    lambda name: name.replace(" ", "  ", 1),
]


def _in_fours(text: str) -> str:
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def _truncated(random: Random, text: str) -> str:
    return text[: -random.randrange(1, 6)]


def _wrong_digit(random: Random, text: str) -> str:
    at = random.choice([n for n, character in enumerate(text) if character.isdigit()])
    return text[:at] + str((int(text[at]) + random.randrange(1, 10)) % 10) + text[at + 1 :]


def _left_out(_random: Random, _text: str) -> None:
    return None


def _as_it_is(_random: Random, text: str) -> str:
    return text


_SPOILT: dict[Sort, Callable[[Random, str], str | None]] = {
    Sort.NO_REFERENCE: _left_out,
    Sort.TRUNCATED: _truncated,
    Sort.WRONG_DIGIT: _wrong_digit,
    Sort.TWO_ALIKE: _as_it_is,
    Sort.CLEAN: _as_it_is,
}
