"""The payment reference that a customer types when the ERP gave none: ISO 11649 (RF), checked by most banks' forms.

What must stay true: the same invoice id always gives the same reference, and different ids practically never the same
one.
"""

import base64
import hashlib

from stdnum.iso7064 import mod_97_10

LONGEST = 21  # letters and digits after RF and the check digits


def creditor_reference(invoice_ref: str) -> str:
    """'INV-2026-001' -> 'RF18INV2026001'. An id that is too long is shortened to 16 characters of its hash."""
    plain = "".join(filter(str.isalnum, invoice_ref)).upper()
    if not 1 <= len(plain) <= LONGEST:
        digest = hashlib.blake2b(invoice_ref.encode(), digest_size=10).digest()
        plain = base64.b32encode(digest).decode()
    return f"RF{mod_97_10.calc_check_digits(f'{plain}RF')}{plain}"
