"""Renders the customer's page from `pages/`.

True here: everything that came from a caller is escaped; no script runs, and forms go nowhere but to this origin, the
pay button's from there to the provider's page alone (the content security policy names it, and the one style by its
hash); nothing is cached, indexed or told to the next site.
"""

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from services.payments.api.voices import LANGUAGES, PAGES, Voice, voice_of
from services.payments.domain.customer_word import Bounds, Grievance, Refused
from services.payments.handlers.take_word import usable_channels
from services.payments.store.invoices import Owed, Part
from services.payments.store.page_facts import PageFacts, Standing, Way
from shared.content.formats import day, money
from shared.routing import mask_address
from shared.states import HoldKind
from shared.transfer import Transfer, transfer_code

_STYLE = (PAGES / "pay.css").read_text("utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src https:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
}
_TEMPLATES = Environment(
    loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined, auto_reload=False, trim_blocks=False
)
_BARE = dict.fromkeys(("logo_url", "creditor", "notice", "owed", "document_url", "token", "thanks", "wrong"))
FIELDS = ("date1", "amount1", "date2", "amount2", "date3", "amount3", "date4", "amount4", "reason", "note")


@dataclass(frozen=True, slots=True)
class Shown:
    """How a page is asked for: `said` thanks for it, `wrong` is shown at its form with what was `filled` in.
    `checkout`: the origin of the page that the pay button leads to, if it asks a provider for one."""

    token: str
    language: str | None = None
    said: str | None = None
    form: str | None = None
    wrong: Refused | None = None
    filled: dict[str, str] = field(default_factory=dict)
    checkout: str | None = None


def notice_page(voice: Voice, name: str, status: int) -> HTMLResponse:
    """A page that only says something: missing, no_document, away, elsewhere or unreadable."""
    words = voice.words
    return _page(voice, status, {**_BARE, "heading": words[f"{name}_title"], "notice": words[name]})


def pay_page(owed: Owed, facts: PageFacts, bounds: Bounds, shown: Shown, status: int = 200) -> HTMLResponse:
    """What is owed, how to pay it, and what else can be said; or that nothing is."""
    voice = voice_of(owed.locale, shown.language)
    total = money(owed.amount, owed.currency, voice.tag)
    about = {
        **_BARE,
        "token": shown.token,
        "creditor": owed.creditor_name,
        "logo_url": _web_address(owed.logo_url, "https"),
        "document_url": f"/pay/{shown.token}/document" if owed.document_key else None,
    }
    if owed.status == "open":
        told = {
            **_asked(owed, voice, total),
            **_button(owed, shown),
            **_said(owed, facts, bounds, voice),
            **_answer(facts, bounds, shown, voice),
        }
        return _page(voice, status, {**about, **told}, shown.checkout)
    said = {"number": owed.number, "creditor": owed.creditor_name, "amount": total}
    heading, notice = voice.words[f"{owed.status}_title"], voice.words[owed.status].format(**said)
    return _page(voice, status, {**about, "heading": heading, "notice": notice})


def _asked(owed: Owed, voice: Voice, total: str) -> dict[str, Any]:
    parts = [_part(part, owed, voice) for part in owed.parts]
    return {
        "heading": voice.words["title"].format(number=owed.number),
        "customer": owed.customer_name,
        "owed": money(owed.open_amount, owed.currency, voice.tag),
        "total": total if owed.open_amount < owed.amount else None,
        "parts": parts,
        "next": next(part for part in parts if not part["done"]),
        "iban": owed.iban and _in_fours(owed.iban),
        "bic": owed.bic,
        "reference": owed.payment_reference,
        "code": _code(owed),
    }


def _button(owed: Owed, shown: Shown) -> dict[str, Any]:
    """An invoice's own link comes before what its creditor has for all."""
    link = _web_address(owed.payment_url, "https", "http")
    return {"payment_url": link, "checkout": link is None and shown.checkout is not None}


def _said(owed: Owed, facts: PageFacts, bounds: Bounds, voice: Voice) -> dict[str, Any]:
    """What came, what stands, and what may still be said."""
    return {
        "received": [
            {"day": day(one.day, "long", voice.tag), "amount": money(one.amount, owed.currency, voice.tag)}
            for one in facts.received
        ],
        "standing": _standing(owed, facts, voice),
        "may": {
            "paid": not facts.stands(HoldKind.SAID_PAID),
            "promise": True,
            "dispute": not facts.stands(HoldKind.DISPUTE),
        },
        "first_day": owed.today.isoformat(),
        "last_day": (owed.today + timedelta(days=bounds.promise_days)).isoformat(),
        "reasons": [reason.value for reason in Grievance],
        "channels": usable_channels(facts),
        "preferred": facts.preferred_channel,
        "ways": [_way(way) for way in facts.ways],
        "browsers": facts.browsers,
        "bounds": bounds,
    }


def _answer(facts: PageFacts, bounds: Bounds, shown: Shown, voice: Voice) -> dict[str, Any]:
    words = voice.words
    known = shown.said in ("preferences", "checkout") or any(one.kind.value == shown.said for one in facts.standing)
    wrong = shown.wrong and {
        "form": shown.form,
        "at": "transfer" if shown.form == "checkout" else f"say-{shown.form}",
        "field": shown.wrong.field,
        "text": words[f"wrong_{shown.wrong.why}"].format(days=bounds.promise_days, dates=bounds.promise_dates),
    }
    return {
        "thanks": words.get(f"thanks_{shown.said}") if known else None,
        "wrong": wrong,
        "filled": {name: shown.filled.get(name, "") for name in FIELDS},
    }


def _standing(owed: Owed, facts: PageFacts, voice: Voice) -> list[str]:
    parts = facts.promised if len(facts.promised) > 1 else ()
    lines = [
        voice.words["standing_promise_part"].format(
            amount=voice.words["rest"] if part.amount is None else money(part.amount, owed.currency, voice.tag),
            date=day(part.day, "long", voice.tag),
        )
        for part in parts
    ]
    return lines + [_line(one, voice) for one in facts.standing]


def _line(one: Standing, voice: Voice) -> str:
    return voice.words[f"standing_{one.kind.value}"].format(date=day(one.day, "long", voice.tag))


def _part(part: Part, owed: Owed, voice: Voice) -> dict[str, Any]:
    return {
        "no": part.no,
        "amount": money(part.open_amount or part.amount, owed.currency, voice.tag),
        "done": not part.open_amount,
        "late": bool(part.open_amount) and part.due_date < owed.today,
        "state": _state(part, owed.today, voice, "long"),
        "state_short": _state(part, owed.today, voice, "medium"),
    }


def _state(part: Part, today: date, voice: Voice, style: str) -> str:
    words = voice.words
    if not part.open_amount:
        return words["part_paid"]
    if part.due_date == today:
        return words["due_today"]
    text = words["overdue" if part.due_date < today else "due_on"]
    return text.format(date=day(part.due_date, style, voice.tag))


def _code(owed: Owed) -> dict[str, Any] | None:
    if not owed.iban:
        return None
    amount = owed.open_amount.quantize(Decimal("0.01"))
    transfer = Transfer(owed.creditor_name, _plain(owed.iban), owed.bic, amount, owed.currency, owed.payment_reference)
    drawn = transfer_code(transfer)
    if drawn is None:
        return None
    return {"scheme": drawn.scheme, "svg": Markup(drawn.svg())}  # drawn here, of digits and lines


def _way(way: Way) -> dict[str, Any]:
    return {"masked": mask_address(way.address), "token": way.token, "barred": way.barred}


def _page(voice: Voice, status: int, shown: dict[str, Any], checkout: str | None = None) -> HTMLResponse:
    style = Markup(_STYLE)  # our own file, and the policy allows these bytes only
    text = _TEMPLATES.get_template("pay.html.jinja").render(
        tag=voice.tag, language=voice.language, languages=LANGUAGES, words=voice.words, style=style, **shown
    )
    policy = _POLICY.replace("form-action 'self'", f"form-action 'self' {checkout}") if checkout else _POLICY
    return HTMLResponse(text.lstrip(), status, headers={**HEADERS, "Content-Security-Policy": policy})


def _web_address(url: str | None, *schemes: str) -> str | None:
    """A link that a browser follows to another site, never into a script."""
    try:
        return url if url and urlsplit(url).scheme.lower() in schemes else None
    except ValueError:  # "https://[" has a scheme, and no host that a browser could find
        return None


def _plain(iban: str) -> str:
    return iban.replace(" ", "").upper()


def _in_fours(iban: str) -> str:
    plain = _plain(iban)
    return " ".join(plain[at : at + 4] for at in range(0, len(plain), 4))
