"""The EPC QR code ("GiroCode"): a SEPA credit transfer in euro. Source: EPC069-12, version 002."""

import segno
from segno.helpers import make_epc_qr
from stdnum import iso11649

from shared.transfer.transfer import Transfer

_NAME, _TEXT = 70, 140  # characters
# Where an account takes SEPA transfers: the countries of the EPC's list (EPC409-09), by the first letters of the IBAN.
_SEPA = (
    "AD AL AT BE BG CH CY CZ DE DK EE ES FI FR GB GI GR HR HU IE IS IT LI LT LU LV MC MD ME MK MT NL NO PL PT RO RS SE"
    " SI SK SM VA"
)


def epc_code(transfer: Transfer) -> segno.QRCode | None:
    if transfer.currency != "EUR" or transfer.iban[:2] not in _SEPA.split():
        return None
    structured = iso11649.is_valid(transfer.reference)
    try:
        return make_epc_qr(
            name=transfer.holder[:_NAME],
            iban=transfer.iban,
            bic=transfer.bic,
            amount=transfer.amount,
            reference=transfer.reference if structured else None,
            text=None if structured else transfer.reference[:_TEXT],
            encoding="utf-8",
        )
    except ValueError:  # an amount or an account that the scheme cannot say
        return None
