"""Renders the customer's page from `pages/`.

True here: everything that came from a caller is escaped; no script runs and no form is sent (the content security
policy names the one style by its hash); nothing is cached, indexed or told to the next site.
"""

import base64
import hashlib
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from services.payments.store.invoices import Owed, Part
from shared.content.formats import babel_locale, day, money

LANGUAGES = ("en", "es", "pt")
_FOLDER = Path(__file__).parent.parent / "pages"
_STYLE = (_FOLDER / "pay.css").read_text("utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src https:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
}
_TEMPLATE = Environment(
    loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, auto_reload=False
).get_template("pay.html.jinja")
_BARE: dict[str, Any] = {"logo_url": None, "creditor": None, "notice": None, "owed": None, "document_url": None}


@dataclass(frozen=True, slots=True)
class Voice:
    """A language we have words in, and the locale that writes money and dates."""

    language: str
    tag: str

    @property
    def words(self) -> dict[str, str]:
        return _words(self.language)


def voice_of(locale: str) -> Voice:
    """`es-CO` speaks Spanish as in Colombia; what we have no words for is English."""
    language = locale.replace("_", "-").split("-")[0].lower()
    if language not in LANGUAGES:
        return Voice("en", "en")
    return Voice(language, locale if babel_locale(locale) else language)


def voice_of_browser(accept_language: str) -> Voice:
    """The first language of the header that we have words in."""
    for choice in accept_language[:200].split(","):
        language = choice.split(";")[0].strip().split("-")[0].lower()
        if language in LANGUAGES:
            return Voice(language, language)
    return Voice("en", "en")


def notice_page(voice: Voice, name: str, status: int) -> HTMLResponse:
    """A page that only says something: missing, no_document or away."""
    words = voice.words
    return _page(voice, status, {**_BARE, "heading": words[f"{name}_title"], "notice": words[name]})


def pay_page(owed: Owed, token: str) -> HTMLResponse:
    """What is owed and how to pay it; or that nothing is."""
    voice = voice_of(owed.locale)
    total = money(owed.amount, owed.currency, voice.tag)
    shown = {
        **_BARE,
        "creditor": owed.creditor_name,
        "logo_url": _web_address(owed.logo_url, "https"),
        "document_url": f"/pay/{token}/document" if owed.document_key else None,
    }
    if owed.status == "open":
        return _page(voice, 200, {**shown, **_asked(owed, voice, total)})
    said = {"number": owed.number, "creditor": owed.creditor_name, "amount": total}
    heading, notice = voice.words[f"{owed.status}_title"], voice.words[owed.status].format(**said)
    return _page(voice, 200, {**shown, "heading": heading, "notice": notice})


def _asked(owed: Owed, voice: Voice, total: str) -> dict[str, Any]:
    open_amount = money(owed.open_amount, owed.currency, voice.tag)
    return {
        "heading": voice.words["title"].format(number=owed.number),
        "customer": owed.customer_name,
        "owed": open_amount,
        "total": total if owed.open_amount < owed.amount else None,
        "parts": [_part(part, owed, voice) for part in owed.parts],
        "payment_url": _web_address(owed.payment_url, "https", "http"),
        "iban": owed.iban and _in_fours(owed.iban),
        "bic": owed.bic,
        "reference": owed.payment_reference,
    }


def _part(part: Part, owed: Owed, voice: Voice) -> dict[str, Any]:
    return {
        "no": part.no,
        "amount": money(part.open_amount or part.amount, owed.currency, voice.tag),
        "late": bool(part.open_amount) and part.due_date < owed.today,
        "state": _state(part, owed.today, voice),
    }


def _state(part: Part, today: date, voice: Voice) -> str:
    words = voice.words
    if not part.open_amount:
        return words["part_paid"]
    if part.due_date == today:
        return words["due_today"]
    text = words["overdue" if part.due_date < today else "due_on"]
    return text.format(date=day(part.due_date, "long", voice.tag))


def _page(voice: Voice, status: int, shown: dict[str, Any]) -> HTMLResponse:
    style = Markup(_STYLE)  # our own file, and the policy allows these bytes only
    text = _TEMPLATE.render(language=voice.tag, words=voice.words, style=style, **shown)
    return HTMLResponse(text, status, headers=HEADERS)


def _web_address(url: str | None, *schemes: str) -> str | None:
    """A link that a browser follows to another site, never into a script."""
    return url if url and urlsplit(url).scheme.lower() in schemes else None


def _in_fours(iban: str) -> str:
    plain = iban.replace(" ", "")
    return " ".join(plain[at : at + 4] for at in range(0, len(plain), 4))


@cache
def _words(language: str) -> dict[str, str]:
    words: dict[str, str] = yaml.safe_load((_FOLDER / f"{language}.yaml").read_text("utf-8"))
    return words
