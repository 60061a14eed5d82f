"""How an SMS is encoded and counted: one foreign character makes every segment less than half as long.

Source: 3GPP TS 23.038 (GSM 7-bit default alphabet and its extension table).
"""

import unicodedata
from functools import lru_cache

_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = "\f^{}\\[~]|€"
_SEPTETS = {**dict.fromkeys(_BASIC, 1), **dict.fromkeys(_EXTENDED, 2)}
_PLAIN = {
    "\u00a0": " ",
    "\u202f": " ",
    "\u2009": " ",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "–": "-",
    "—": "-",
    "…": "...",
}


def segments(text: str) -> int:
    """How many SMS the text is billed as: 160 (153 when split) septets, or 70 (67) UTF-16 units."""
    if not is_gsm(text):
        return _parts([len(char.encode("utf-16-be")) // 2 for char in text], single=70, split=67)
    return _parts([_SEPTETS[char] for char in text], single=160, split=153)


def fold(text: str) -> str:
    """The text with accents left out where that makes it fit the 7-bit alphabet, else only with plain spaces.

    "Atención" stays readable as "Atencion" at a third of the price; Greek or Arabic stays as it is.
    """
    if is_gsm(text):
        return text
    folded = "".join(map(_fold_char, text))
    return folded if is_gsm(folded) else text.replace("\u00a0", " ").replace("\u202f", " ")


def is_gsm(text: str) -> bool:
    """Whether the 7-bit alphabet has every character of it."""
    return _SEPTETS.keys() >= set(text)


def _parts(widths: list[int], *, single: int, split: int) -> int:
    """A character of two units is never cut in two, so the sum alone would undercount."""
    if sum(widths) <= single:
        return 1
    count, used = 1, 0
    for width in widths:
        if used + width > split:
            count, used = count + 1, 0
        used += width
    return count


@lru_cache(maxsize=2048)
def _fold_char(char: str) -> str:
    if char in _SEPTETS:
        return char
    return _PLAIN.get(char) or unicodedata.normalize("NFKD", char)[0]
