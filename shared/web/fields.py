"""The values of the API's schemas: each says in its error what it should look like, and in the OpenAPI document too."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from shared.kernel.ids import REF_PATTERN, parse_ref
from shared.kernel.money import AMOUNT_PATTERN, parse_amount, parse_currency

_COUNTRY_CODES = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY "
    "BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK "
    "FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR "
    "IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK "
    "ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM "
    "PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF "
    "TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW"
)
_COUNTRIES = frozenset(_COUNTRY_CODES.split())
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z]{4})?(-([A-Za-z]{2}|[0-9]{3}))?(-[A-Za-z0-9]{4,8})*")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]+([Zz]|[+-][0-9]{2}:[0-9]{2})")


def parse_date(value: object) -> date:
    """'2026-12-24' only: pydantic would also take a Unix time."""
    try:
        if isinstance(value, str) and _DATE.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise ValueError('must be a date that exists, written as "2026-12-24"')


def parse_time(value: object) -> datetime:
    """'2026-12-24T12:00:00Z' as aware UTC; without a zone nobody knows when it was."""
    try:
        if isinstance(value, str) and _TIME.fullmatch(value):
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError('must be a time with its zone, written as "2026-12-24T12:00:00Z"')


def parse_country(value: object) -> str:
    """ISO 3166-1 alpha-2."""
    if isinstance(value, str) and value in _COUNTRIES:
        return value
    raise ValueError('must be an ISO 3166-1 country code in capitals, such as "DE"')


def parse_language(value: object) -> str:
    """BCP 47, the part of it that names a language, script and region."""
    if isinstance(value, str) and len(value) <= 35 and _LANGUAGE.fullmatch(value):
        return value
    raise ValueError('must be a BCP 47 language tag, such as "de" or "pt-BR"')


def parse_zone(value: object) -> str:
    """A name of the IANA time zone database."""
    if isinstance(value, str) and value in _zones():
        return value
    raise ValueError('must be an IANA time zone, such as "Europe/Berlin"')


def positive(amount: Decimal) -> Decimal:
    """For an amount that makes no sense as zero."""
    if amount == 0:
        raise ValueError("must be more than zero")
    return amount


def _text(example: str, **schema: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "examples": [example], **schema})


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones() - {"Factory", "localtime"})


Amount = Annotated[Decimal, BeforeValidator(parse_amount), _text("1250.00", pattern=AMOUNT_PATTERN)]
PositiveAmount = Annotated[
    Decimal, BeforeValidator(parse_amount), AfterValidator(positive), _text("1250.00", pattern=AMOUNT_PATTERN)
]
Currency = Annotated[str, BeforeValidator(parse_currency), _text("EUR", pattern="^[A-Z]{3}$")]
Ref = Annotated[str, BeforeValidator(parse_ref), _text("INV-2026-001", pattern=f"^{REF_PATTERN}$")]
IsoDate = Annotated[date, BeforeValidator(parse_date), _text("2026-12-24", format="date")]
IsoTime = Annotated[datetime, BeforeValidator(parse_time), _text("2026-12-24T12:00:00Z", format="date-time")]
Country = Annotated[str, BeforeValidator(parse_country), _text("DE", pattern="^[A-Z]{2}$")]
Language = Annotated[str, BeforeValidator(parse_language), _text("de-DE")]
TimeZone = Annotated[str, BeforeValidator(parse_zone), _text("Europe/Berlin")]
AmountText = Annotated[str, Field(pattern=AMOUNT_PATTERN, examples=["1250.00"])]
"""An amount in an answer, made by `amount_text`."""
