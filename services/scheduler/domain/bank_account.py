"""Where money goes to: an account that is written wrong is refused, for nobody would notice until a customer has paid. Pure."""

from schwifty import BIC, IBAN
from schwifty.exceptions import SchwiftyException


def check_iban(text: str) -> str:
    """Without its blanks; ValueError never repeats it."""
    try:
        return str(IBAN(text).compact)
    except (SchwiftyException, ValueError):
        raise ValueError("is not an IBAN: check its country, length and digits") from None


def check_bic(text: str) -> str:
    try:
        return str(BIC(text).compact)
    except (SchwiftyException, ValueError):
        raise ValueError("is not a BIC of 8 or 11 characters") from None
