"""What a customer sends from the page, read into what it says.

True here: a body is small and read whole or not at all; what cannot be read is a sentence at its field, never an error.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from urllib.parse import parse_qsl

from babel.numbers import NumberFormatError, parse_decimal

from services.payments.api.voices import LANGUAGES, Voice
from services.payments.domain.customer_word import Disputes, Grievance, HasPaid, Prefers, Refused, WillPay, Word
from shared.content.formats import babel_locale
from shared.kernel.money import parse_amount

MOST_BYTES, MOST_FIELDS, MOST_NOTE = 16 * 1024, 20, 1000
_PLAIN_AMOUNT = re.compile(r"(\d{1,12})(?:[.,](\d{1,2}))?", re.ASCII)
_BREAKS = re.compile(r"[^\S\n]+|[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
Form = Mapping[str, str]


def read_form(content_type: str, body: bytes) -> dict[str, str] | None:
    """The fields, each once; None for what no form of ours sends."""
    if not body:
        return {}
    if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded" or len(body) > MOST_BYTES:
        return None
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        return None
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) and not any("\0" in text for text in fields.values()) else None


def _paid(form: Form, voice: Voice) -> Word | Refused:
    return HasPaid()


def _promise(form: Form, voice: Voice) -> Word | Refused:
    days: list[tuple[date, Decimal | None]] = []
    for n in range(1, MOST_FIELDS):
        if f"date{n}" not in form:
            break
        written, amount = form[f"date{n}"].strip(), _amount(form.get(f"amount{n}", ""), voice)
        if isinstance(amount, str):
            return Refused("promise_amount", f"amount{n}")
        if not written:
            if amount is not None or n == 1:
                return Refused("promise_missing", f"date{n}")
            continue
        try:
            days.append((date.fromisoformat(written), amount))
        except ValueError:
            return Refused("promise_date", f"date{n}")
    return WillPay(tuple(days)) if days else Refused("promise_missing", "date1")


def _dispute(form: Form, voice: Voice) -> Word | Refused:
    try:
        reason = Grievance(form.get("reason", ""))
    except ValueError:
        return Refused("dispute_missing", "reason")
    note = _BREAKS.sub(" ", form.get("note", "").replace("\r\n", "\n")).strip()
    if len(note) > MOST_NOTE:
        return Refused("dispute_note", "note")
    return Disputes(reason, note or None)


def _preferences(form: Form, voice: Voice) -> Word | Refused:
    language = form.get("language", "")
    if language not in LANGUAGES:
        return Refused("unknown_choice", "language")
    return Prefers(language, form.get("channel") or None)


FORMS: Mapping[str, Callable[[Form, Voice], Word | Refused]] = {
    "paid": _paid,
    "promise": _promise,
    "dispute": _dispute,
    "preferences": _preferences,
}


def _amount(text: str, voice: Voice) -> Decimal | str | None:
    """As people write it ("1.250,50", "1250.5", "50 €"); None for nothing, the text itself if it is no amount."""
    written = text.strip(" \u00a0\u202f€$£R")
    if not written:
        return None
    try:
        if plain := _PLAIN_AMOUNT.fullmatch(written):
            return _positive(f"{plain[1]}.{plain[2] or '0'}")
        return _positive(str(parse_decimal(written, locale=babel_locale(voice.tag) or "en", strict=True)))
    except (ValueError, NumberFormatError, InvalidOperation):
        return text


def _positive(text: str) -> Decimal:
    amount = parse_amount(text)
    if not amount:
        raise ValueError("nothing is no promise")
    return amount
