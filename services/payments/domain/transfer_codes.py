"""Codes that a banking app reads instead of typed transfer data: one file for each scheme, all listed here.

A scheme answers None where it does not apply; the page shows the first that does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from segno import QRCode

from services.payments.domain.epc_code import epc_code
from services.payments.domain.transfer import Transfer

CODES: Mapping[str, Callable[[Transfer], QRCode | None]] = {"epc": epc_code}


@dataclass(frozen=True, slots=True)
class Drawn:
    """`scheme` names the words that explain it; `svg` has no style, no script and no address in it."""

    scheme: str
    svg: str


def transfer_code(transfer: Transfer) -> Drawn | None:
    for scheme, code in CODES.items():
        if drawn := code(transfer):
            return Drawn(scheme, drawn.svg_inline(scale=4, border=4, light="#fff", omitsize=True))
    return None
