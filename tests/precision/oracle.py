"""Which transfers carry enough evidence that a careful clerk, who sees all open invoices, would book without asking.

Enough is one of:
1. the reference with check digits, unharmed;
2. the number, unharmed, with the whole amount, from a payer under a spelling of the customer's name;
3. the whole amount from a payer under a spelling of the customer's name, where no other invoice of anybody with that name
   has this amount, and nobody else has that name.

Not enough: a number alone or with the amount alone (one wrong digit names another invoice, and prices repeat), an amount
alone, a name alone. Foreign transfers never carry any. The oracle knows how each transfer was made; the matching does not.
"""

from collections import Counter, defaultdict
from decimal import Decimal

from tests.precision.world import Transfer, World

_FOLD = str.maketrans({"ü": "u", "ö": "o", "ø": "o", "ë": "e", "í": "i", "ç": "c", "ł": "l"})


class Oracle:
    def __init__(self, world: World) -> None:
        self._owners: dict[str, set[int]] = defaultdict(set)
        self._owed: Counter[tuple[str, Decimal]] = Counter()
        for invoice in world.invoices:
            name = _folded(invoice.customer.name)
            self._owners[name].add(invoice.customer.id)
            self._owed[name, invoice.amount] += 1

    def enough(self, transfer: Transfer) -> bool:
        invoice = transfer.meant
        if invoice is None:
            return False
        if transfer.intact_reference:
            return True
        whole = Decimal(transfer.line.amount) == invoice.amount
        if not transfer.own_name or not whole:
            return False
        name = _folded(invoice.customer.name)
        alone = len(self._owners[name]) == 1 and self._owed[name, invoice.amount] == 1
        return transfer.intact_number or alone


def _folded(name: str) -> str:
    return " ".join(sorted(name.lower().translate(_FOLD).split()))
