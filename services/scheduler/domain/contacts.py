"""Addresses in one spelling, or the reason why not.

One address has one spelling (so that a suppression fits it whoever wrote it), no address can smuggle a header in, and
the API shows addresses masked. An import asks for hundreds of thousands, so what both libraries would say of a plain
address is found without asking them again: a domain is judged once, and a country's numbers by its own metadata.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from phonenumbers import PhoneNumberFormat
from phonenumbers.phonemetadata import PhoneMetadata

from shared.outgoing.addresses import NotAnAddress, literal, why_denied
from shared.push import normalise_push

_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DIALLED = re.compile(r"[0-9+()./\s\u2010-\u2013-]{3,40}")
_URL = re.compile(r"https?://[^\s\x00-\x1f\x7f<>\"\\^`{|}]+")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_COUNTRY_CODES = frozenset(str(code) for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE)


@dataclass(frozen=True, slots=True)
class Unusable:
    """Not an address; `reason` is a sentence for whoever wrote it, without the address."""

    reason: str


def normalise_email(text: str, *, sandbox: bool = False) -> str | Unusable:
    """'Anna@Exämple.com' -> 'Anna@xn--exmple-cua.com'. Domains under .test exist in the sandbox only."""
    local, at, domain = text.rpartition("@")
    if at and len(text) < 200 and len(local) <= 64 and _LOCAL.fullmatch(local):
        judged = _domain(domain, sandbox)
        return judged if isinstance(judged, Unusable) else f"{local}@{judged}"
    return _ask_for_email(text, sandbox)


def normalise_phone(text: str, country: str | None = None) -> str | Unusable:
    """'0151 123 45 678' in DE -> '+4915112345678'. Possible numbers count: only the network knows which exist."""
    if _E164.fullmatch(text) and _is_plain(text[1:]):
        return text
    if not _DIALLED.fullmatch(text):
        return Unusable('must be a phone number with its country code, such as "+4915112345678"')
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        hint = "" if country else "; without a country the number must begin with + and its country code"
        return Unusable(f'must be a phone number such as "+4915112345678"{hint}')
    if not phonenumbers.is_possible_number(number):
        return Unusable("has too many or too few digits for a phone number of its country")
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def check_web_address(text: str, *, sandbox: bool = False) -> str | Unusable:
    """Where the channel http reaches a customer. Only what can be seen without asking a name server: each call is
    guarded."""
    try:
        host = (urlsplit(text).hostname or "").lower()
        address = literal(host) if host else None
    except (NotAnAddress, ValueError):
        return Unusable("must name a host of the internet")
    if not _URL.fullmatch(text) or not host or not text.startswith(("https://", "http://" if sandbox else "https://")):
        return Unusable('must be an address that begins with "https://", without blanks')
    if address is not None and not (sandbox and address.is_loopback) and (reason := why_denied(address)):
        return Unusable(f"must be an address of the internet; {address} is {reason}")
    return text


def check_push_address(text: str, *, sandbox: bool = False) -> str | Unusable:
    """An app's token, or a browser's subscription in its one spelling."""
    try:
        return normalise_push(text, sandbox=sandbox)
    except ValueError as error:
        return Unusable(str(error))


def mask(address: str) -> str:
    """As the API shows it: 'a***@example.com', '+1*****0009', 'https://example.com/***', 'abcd***'."""
    if address.startswith("+"):
        return f"{address[:2]}*****{address[-4:]}"
    scheme, slashes, rest = address.partition("://")
    if slashes:
        return f"{scheme}://{rest.partition('/')[0].rpartition('@')[2]}/***"
    local, at, domain = address.rpartition("@")
    return f"{local[:1]}***@{domain}" if at else f"{address[:4]}***"


def _ask_for_email(text: str, sandbox: bool) -> str | Unusable:
    try:
        found = validate_email(
            text, check_deliverability=False, test_environment=sandbox, allow_smtputf8=False, strict=True
        )
    except EmailNotValidError:
        return Unusable('must be an email address such as "anna@example.com", with plain letters before the @')
    return found.ascii_email or found.normalized


@lru_cache(maxsize=65_536)
def _domain(domain: str, sandbox: bool) -> str | Unusable:
    """The domain in ASCII; what is before the @ does not change the answer."""
    if domain.lower().endswith((".test", ".test.")) and not sandbox:
        return Unusable("is an address under .test, which exists in the sandbox only")
    found = _ask_for_email(f"x@{domain}", sandbox)
    return found if isinstance(found, Unusable) else found.partition("@")[2]


def _is_plain(digits: str) -> bool:
    """Whether the library would return the number as it stands: a possible length, and no trunk prefix to remove."""
    code = next((digits[:n] for n in (1, 2, 3) if digits[:n] in _COUNTRY_CODES), None)
    if code is None:
        return False
    lengths, prefix = _rules(int(code))
    national = digits[len(code) :]
    return len(national) in lengths and not (prefix and prefix.match(national))


@lru_cache(maxsize=512)
def _rules(code: int) -> tuple[frozenset[int], re.Pattern[str] | None]:
    region = phonenumbers.region_code_for_country_code(code)
    metadata = (
        PhoneMetadata.metadata_for_nongeo_region(code) if region == "001" else PhoneMetadata.metadata_for_region(region)
    )
    if metadata is None or metadata.general_desc is None:
        return frozenset(), None
    prefix = metadata.national_prefix_for_parsing
    return frozenset(metadata.general_desc.possible_length), re.compile(prefix) if prefix else None
