"""Is the payer the customer? Names come in any order, without accents, cut off, with or without a legal form."""

import re
import unicodedata
from functools import lru_cache

from rapidfuzz import fuzz

SAME, LIKE = 95.0, 82.0  # of 100
_CUT = 20  # characters from which a name may be one that the bank cut off
_TOO_SHORT = 4
_EXPANDED = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "ø": "oe", "å": "aa", "ł": "l", "&": " "}
)
_LEGAL_FORMS = """
gmbh ag kg ohg gbr ug se ev ltd limited llc llp plc inc corp co company sa sas sarl srl spa sl slu lda bv nv oy ab as
aps sro doo kft zrt eood ood eg mr mrs ms dr herr frau sr sra
"""
_FORMS = frozenset(_LEGAL_FORMS.split())
_WORD = re.compile(r"[a-z0-9]+")


def same_name(payer: str | None, customer: str) -> str | None:
    """'name' if it is the same, 'like' if it may be, else None."""
    if not payer:
        return None
    best = max(_score(a, b) for a in _forms_of(payer) for b in _forms_of(customer))
    return "name" if best >= SAME else "like" if best >= LIKE else None


def _score(payer: str, customer: str) -> float:
    if min(len(payer), len(customer)) < _TOO_SHORT:
        return 100.0 if payer == customer and payer else 0.0
    if len(payer) >= _CUT and customer.startswith(payer):
        return 96.0
    score = fuzz.token_sort_ratio(payer, customer)
    # One other letter in a short name is another person, whatever share of it that is.
    return min(score, SAME - 1) if score >= SAME and sorted(payer.split()) != sorted(customer.split()) else score


@lru_cache(maxsize=4096)
def _forms_of(name: str) -> tuple[str, ...]:
    """With umlauts written out, and with accents dropped: banks do either."""
    lower = name.casefold() if "ß" not in name else name.lower()
    written_out = _ascii(lower.translate(_EXPANDED))
    dropped = _ascii(lower.replace("ß", "ss"))
    return tuple({_words(written_out), _words(dropped)})


def _ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _words(text: str) -> str:
    words = _WORD.findall(text)
    return " ".join([word for word in words if word not in _FORMS] or words)
