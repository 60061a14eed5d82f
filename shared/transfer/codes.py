"""Codes that a banking app reads instead of typed transfer data: one file for each scheme, all listed here.

A scheme answers None where it does not apply; the first that does is shown.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from segno import QRCode

from shared.transfer.epc_code import epc_code
from shared.transfer.transfer import Transfer

CODES: Mapping[str, Callable[[Transfer], QRCode | None]] = {"epc": epc_code}
_SCALE, _BORDER = 4, 4  # pixels of a module, modules of the quiet zone that readers need


@dataclass(frozen=True, slots=True)
class Drawn:
    """`scheme` names the words that explain it."""

    scheme: str
    code: QRCode

    def svg(self) -> str:
        """For a page: no style, no script and no address in it."""
        return self.code.svg_inline(scale=_SCALE, border=_BORDER, light="#fff", omitsize=True)

    def png(self) -> bytes:
        """For mails, whose programs show no SVG: some 500 bytes."""
        out = io.BytesIO()
        self.code.save(out, kind="png", scale=_SCALE, border=_BORDER)
        return out.getvalue()


def transfer_code(transfer: Transfer) -> Drawn | None:
    for scheme, code in CODES.items():
        if drawn := code(transfer):
            return Drawn(scheme, drawn)
    return None
