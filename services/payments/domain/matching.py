"""Which invoice a transfer is for, with the reasons, and how sure that is.

True here: a wrong automatic match is worse than none, because it stops the reminders of somebody who owes and chases
somebody who paid. So what one wrong digit could turn into another invoice (a number, an own reference) counts only with
a second witness (the amount, the payer); a reference with check digits or a UUID needs none; amount and payer decide
alone only where they leave one open invoice. Everything less is a suggestion for a person.

The rules are one page on purpose. `Confidence` says how sure each is; what is below the threshold is never automatic.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import accumulate

from services.payments.domain.payer_names import same_name
from services.payments.domain.references import Found, plain

MOST_SUGGESTIONS = 5
MANY = 50  # candidates of one kind; where there are more, "only one" cannot be said


class Confidence:
    """How sure a rule is that it is right."""

    CHECKED = Decimal("1.00")  # a reference with check digits, or a UUID
    NUMBER_AMOUNT_PAYER = Decimal("0.99")
    AMOUNT_AND_IBAN = Decimal("0.97")  # the account paid this customer's invoices before
    SEVERAL_NUMBERS = Decimal("0.97")  # the sum of all invoices that are named, and the payer
    NUMBER_AND_FEES = Decimal("0.95")  # short by no more than a bank takes, and the payer
    NUMBER_AND_PAYER = Decimal("0.92")  # another amount, which nothing else explains
    AMOUNT_AND_NAME = Decimal("0.92")
    NUMBER_AND_AMOUNT = Decimal("0.85")
    SUM_OF_PAYER = Decimal("0.70")  # all that the payer owes together
    AMOUNT_AND_LIKE_NAME = Decimal("0.70")
    NUMBER_ONLY = Decimal("0.60")
    AMBIGUOUS = Decimal("0.50")
    AMOUNT_ONLY = Decimal("0.30")


@dataclass(frozen=True, slots=True)
class Rules:
    """`threshold`: the confidence from which a match is automatic; `fees`: what a bank may have kept."""

    threshold: Decimal = Decimal("0.90")
    fees: Decimal = Decimal("5.00")


@dataclass(frozen=True, slots=True)
class Transfer:
    """Money that came, and what came with it."""

    amount: Decimal
    currency: str
    found: Found
    payer_name: str | None = None
    payer_iban: str | None = None


@dataclass(frozen=True, slots=True)
class Debt:
    """An invoice as a candidate. `parts`: what is open of each installment. `known_account`: the transfer's account paid
    this customer's invoices before."""

    invoice_id: int
    ref: str
    number: str
    reference: str
    currency: str
    customer_id: int
    customer_name: str
    parts: tuple[Decimal, ...]
    closed: bool = False
    known_account: bool = False

    @property
    def open(self) -> Decimal:
        return sum(self.parts, Decimal(0))


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A candidate with its reasons, for a person."""

    invoice_id: int
    ref: str
    open_amount: Decimal
    currency: str
    confidence: Decimal
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """What of a transfer goes to which invoice."""

    invoice_id: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Verdict:
    """`pieces`: empty if nobody but a person should decide."""

    confidence: Decimal
    pieces: tuple[Piece, ...] = ()


@dataclass(slots=True)
class _Case:
    """One transfer before its candidates."""

    transfer: Transfer
    debts: Sequence[Debt]
    rules: Rules
    common_amount: bool
    owes_much: bool
    payers: dict[int, str] = field(default_factory=dict)  # customer: account, name or like; nobody else pays

    def __post_init__(self) -> None:
        for debt in self.debts:
            if debt.customer_id not in self.payers and (how := _payer(self.transfer, debt)):
                self.payers[debt.customer_id] = how

    def paid_by(self, debt: Debt) -> bool:
        return self.payers.get(debt.customer_id) in ("account", "name")

    def usable(self, debt: Debt) -> bool:
        return debt.currency == self.transfer.currency and not debt.closed and debt.open > 0

    def exact(self, debt: Debt) -> bool:
        return self.usable(debt) and self.transfer.amount in (debt.open, *debt.parts)

    def short_by_fees(self, debt: Debt) -> bool:
        return self.usable(debt) and Decimal(0) < debt.open - self.transfer.amount <= self.rules.fees


def judge(looked: "Looked", rules: Rules) -> Verdict:
    """What is sure enough to be done without a person, or nothing."""
    case = _case(looked, rules)
    for rule in (_by_checked_reference, _by_number, _by_amount_and_payer):
        sure = rule(case)
        if sure is not None and sure.confidence >= rules.threshold:
            return sure
    return Verdict(Decimal(0))


def suggestions(looked: "Looked", rules: Rules) -> tuple[Suggestion, ...]:
    """The candidates for a person, the likeliest first."""
    case = _case(looked, rules)
    listed = [_suggestion(case, debt) for debt in case.debts]
    likely = sorted((s for s in listed if s is not None), key=lambda s: (-s.confidence, s.invoice_id))
    return tuple(likely[:MOST_SUGGESTIONS])


def _case(looked: "Looked", rules: Rules) -> _Case:
    return _Case(looked.transfer, looked.debts, rules, looked.common_amount, looked.owes_much)


def _by_checked_reference(case: _Case) -> Verdict | None:
    found = case.transfer.found
    named = [debt for debt in case.debts if _checked(debt, found)]
    if len(named) > 1:
        return _several(case, named, Confidence.CHECKED) or _the_exact_one(case, named)
    if not named:
        return None
    others = [debt for debt in case.debts if debt not in named and _numbered(debt, found) and case.usable(debt)]
    if others and case.transfer.amount > named[0].open:
        return _several(case, named + others, Confidence.CHECKED) or _all_to(case, named[0], Confidence.CHECKED)
    return _all_to(case, named[0], Confidence.CHECKED)


def _the_exact_one(case: _Case, named: Sequence[Debt]) -> Verdict | None:
    """Several invoices with one reference: the one that owes just this, if its customer pays."""
    exact = [debt for debt in named if case.exact(debt) and case.paid_by(debt)]
    return _all_to(case, exact[0], Confidence.NUMBER_AMOUNT_PAYER) if len(exact) == 1 else None


def _by_number(case: _Case) -> Verdict | None:
    named = _longest([debt for debt in case.debts if _numbered(debt, case.transfer.found)], case.transfer.found)
    if len(named) == 1:
        return _one_number(case, named[0])
    own = [debt for debt in named if case.usable(debt) and case.paid_by(debt)]
    if (together := _several(case, own, Confidence.SEVERAL_NUMBERS)) is not None:
        return together
    meant = [debt for debt in own if case.exact(debt) or case.short_by_fees(debt)]
    return _one_number(case, meant[0]) if len(meant) == 1 else None


def _one_number(case: _Case, debt: Debt) -> Verdict | None:
    payer = case.paid_by(debt)
    if case.exact(debt):
        return _all_to(case, debt, Confidence.NUMBER_AMOUNT_PAYER if payer else Confidence.NUMBER_AND_AMOUNT)
    if not payer or any(case.exact(other) and case.paid_by(other) for other in case.debts):
        return None  # the amount speaks for another invoice than the number does
    if case.short_by_fees(debt):
        return _all_to(case, debt, Confidence.NUMBER_AND_FEES)
    return _all_to(case, debt, Confidence.NUMBER_AND_PAYER) if case.usable(debt) else None


def _by_amount_and_payer(case: _Case) -> Verdict | None:
    exact = [debt for debt in case.debts if case.exact(debt)]
    by_account = [debt for debt in exact if case.payers.get(debt.customer_id) == "account"]
    by_name = [debt for debt in exact if case.paid_by(debt)]
    if case.owes_much or len(by_name) != 1:
        return None
    if by_account:
        return _all_to(case, by_account[0], Confidence.AMOUNT_AND_IBAN)
    namesakes = {customer for customer, how in case.payers.items() if how in ("account", "name")}
    if case.common_amount or len(namesakes) > 1 or len((case.transfer.payer_name or "").split()) < 2:
        return None  # two customers of that name, or a name that says too little
    return _all_to(case, by_name[0], Confidence.AMOUNT_AND_NAME)


def _several(case: _Case, debts: Sequence[Debt], confidence: Decimal) -> Verdict | None:
    """One transfer that pays all that it names, to the cent or less the bank's fees."""
    payable = [debt for debt in debts if case.usable(debt)]
    missing = sum((debt.open for debt in payable), Decimal(0)) - case.transfer.amount
    if len(payable) < 2 or not Decimal(0) <= missing <= case.rules.fees or missing >= payable[-1].open:
        return None
    pieces = [Piece(debt.invoice_id, debt.open) for debt in payable]
    pieces[-1] = Piece(payable[-1].invoice_id, payable[-1].open - missing)
    return Verdict(confidence, tuple(pieces))


def _all_to(case: _Case, debt: Debt, confidence: Decimal) -> Verdict:
    return Verdict(confidence, (Piece(debt.invoice_id, case.transfer.amount),))


def _checked(debt: Debt, found: Found) -> bool:
    return plain(debt.reference) in found.checked or debt.ref.lower() in found.checked


def _numbered(debt: Debt, found: Found) -> bool:
    return not _key(debt, found).isdisjoint(found.words)


def _key(debt: Debt, found: Found) -> set[str]:
    return {plain(debt.number), plain(debt.reference), plain(debt.ref)} & found.words


def _longest(debts: Sequence[Debt], found: Found) -> list[Debt]:
    """'2026-17' names invoice 2026-17, not the invoices 2026 and 17 too."""
    keys = {word for debt in debts for word in _key(debt, found)}
    return [
        debt
        for debt in debts
        if any(not any(word != longer and word in longer for longer in keys) for word in _key(debt, found))
    ]


def _payer(transfer: Transfer, debt: Debt) -> str | None:
    if debt.known_account:
        return "account"
    return same_name(transfer.payer_name, debt.customer_name)


def _suggestion(case: _Case, debt: Debt) -> Suggestion | None:
    found, payer = case.transfer.found, case.payers.get(debt.customer_id)
    checked, numbered = _checked(debt, found), _numbered(debt, found)
    exact = case.exact(debt)
    reasons = {
        "the reference names it": checked,
        "its number stands in the text": numbered and not checked,
        "the amount is what is open": exact,
        "the amount is short by no more than bank fees": case.short_by_fees(debt),
        "this account paid the customer's invoices before": payer == "account",
        "the payer has the customer's name": payer == "name",
        "the payer's name is like the customer's": payer == "like",
        "it is in another currency": debt.currency != case.transfer.currency,
        "nothing of it is open": debt.open == 0,
        "it is closed": debt.closed,
    }
    confidence = _how_likely(case, debt, named=checked or numbered, exact=exact, payer=payer)
    if confidence is None:
        return None
    said = tuple(reason for reason, holds in reasons.items() if holds)
    return Suggestion(debt.invoice_id, debt.ref, debt.open, debt.currency, confidence, said)


def _how_likely(case: _Case, debt: Debt, *, named: bool, exact: bool, payer: str | None) -> Decimal | None:
    """Never as sure as a rule that matches by itself."""
    if named:
        return Confidence.NUMBER_AND_AMOUNT if exact else Confidence.NUMBER_ONLY
    if not case.usable(debt):
        return None
    if exact:
        alike = sum(case.exact(other) and case.paid_by(other) for other in case.debts) > 1
        known = Confidence.AMBIGUOUS if alike else Confidence.AMOUNT_AND_LIKE_NAME
        return known if payer else Confidence.AMOUNT_ONLY
    if payer in ("account", "name"):
        owed = sum((d.open for d in case.debts if d.customer_id == debt.customer_id and case.usable(d)), Decimal(0))
        return Confidence.SUM_OF_PAYER if owed == case.transfer.amount else Confidence.AMOUNT_ONLY
    return None


@dataclass(frozen=True, slots=True)
class Looked:
    """A transfer with every invoice that it may name, and the open ones that its amount or payer leads to.
    `common_amount`: more invoices owe just this than were looked at; `owes_much`: so with the payer's own."""

    transfer: Transfer
    debts: tuple[Debt, ...]
    common_amount: bool = False
    owes_much: bool = False


def judge_batch(looked: Sequence[Looked], rules: Rules) -> list[Verdict]:
    """In the order of the statement: what one transfer pays is not open for the next one."""
    paid: dict[int, Decimal] = {}
    verdicts = []
    for each in looked:
        left = tuple(_less(debt, paid[debt.invoice_id]) if debt.invoice_id in paid else debt for debt in each.debts)
        verdict = judge(replace(each, debts=left), rules)
        for piece in verdict.pieces:
            paid[piece.invoice_id] = paid.get(piece.invoice_id, Decimal(0)) + piece.amount
        verdicts.append(verdict)
    return verdicts


def _less(debt: Debt, paid: Decimal) -> Debt:
    """The oldest due date first, as the ledger books it."""
    ends = list(accumulate(debt.parts))
    return replace(
        debt,
        parts=tuple(max(Decimal(0), end - max(end - part, paid)) for part, end in zip(debt.parts, ends, strict=True)),
    )
