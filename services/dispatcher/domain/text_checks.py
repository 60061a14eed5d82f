"""Whether an operator's text may be stored: everything that is wrong with it at once, each with its place.

True here: a text that is stored renders for every customer it can meet: with all facts and with the fewest, reached at
once or after another channel failed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

from jinja2 import TemplateError
from jinja2.exceptions import UndefinedError

from services.dispatcher.domain.markup import Wrong, from_html, from_mjml
from services.dispatcher.domain.picture_limits import LOGO_COUNTS, MOST_CARRIED, carried_bytes
from shared.content import Catalog, MessageFacts, Pictures, Rendered, TemplateRefused, TemplateSource, compile_template
from shared.content.gsm import segments
from shared.content.pictures import LOGO, RESERVED, named_in
from shared.content.template import names_in
from shared.content.variables import DateStyle, variables

PARTS = ("subject", "text", "html")
MOST_SEGMENTS = 4
MOST_SUBJECT = 200
MOST_HTML = 100_000  # what some mail programs show before they cut
MOST_TEXT = {
    "email": 50_000,
    "sms": 1_600,
    "push": 500,
    "whatsapp": 1_024,
    "rcs": 2_000,
    "voice": 1_500,
    "http": 20_000,
}
MOST_TEXT_ELSEWHERE = 20_000


@dataclass(frozen=True, slots=True)
class Draft:
    """What an operator wrote: html or mjml, or neither."""

    subject: str
    text: str
    html: str | None = None
    mjml: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """`part` is a field of the draft."""

    part: str
    detail: str


@dataclass(frozen=True, slots=True)
class Checked:
    """Ready to be stored and filled."""

    source: TemplateSource


def check(
    draft: Draft, channel: str, locale: str, examples: Sequence[MessageFacts] = (), pictures: Pictures | None = None
) -> Checked | list[Fault]:
    """`examples`: further ones beside our own. `pictures`: all that there are."""
    faults = [*_shape(draft, channel)]
    html, wrong = _html(draft)
    faults += wrong or _shows(draft, html or "", pictures or {})
    source = TemplateSource(draft.subject, draft.text, html)
    faults += _unknown(source)
    if faults:
        return faults
    faults += dict.fromkeys(_rendering(source, channel, locale, [*_examples(locale), *examples]))
    return faults or Checked(source)


def example(locale: str) -> MessageFacts:
    """A customer of this language with an invoice that is some days overdue."""
    return MessageFacts(
        creditor_name="Example Trading Company",
        email_from="billing@example.com",
        customer_name="Ana Silva Fernández",
        locale=locale,
        invoice_ref="INV-2026-000123",
        invoice_number="2026-000123",
        currency="EUR",
        amount=Decimal("12500.00"),
        open_amount=Decimal("12345.67"),
        issue_date=date(2026, 11, 23),
        due_date=date(2026, 12, 23),
        days_past_due=3,
        payment_reference="RF18539007547034",
        pay_url="https://pay.example.com/pay/abcdefghijklmnopqrstuv",
        opt_out_url="https://pay.example.com/u/abcdefghijklmnopqrstuv",
        reply_to="help@example.com",
        iban="DE02120300000000202051",
        bic="BYLADEM1001",
        logo_url="https://www.example.com/logo.png",
        document_url="https://pay.example.com/pay/abcdefghijklmnopqrstuv/document",
    )


def _examples(locale: str) -> list[MessageFacts]:
    full = example(locale)
    return [
        full,
        replace(full, fallback_from="email", installment_no=1, installment_count=3, days_past_due=1),
        replace(
            full,
            due_date=None,
            iban=None,
            bic=None,
            logo_url=None,
            document_url=None,
            customer_name="",
            days_past_due=-5,
        ),
    ]


def _shape(draft: Draft, channel: str) -> Iterator[Fault]:
    if any(char in draft.subject for char in "\r\n\x85\u2028\u2029"):
        yield Fault("subject", "must be one line, without a line break")
    if not draft.text.strip():
        yield Fault("text", "must say something; mail programs without html, and screens that read aloud, need it")
    if channel == "email" and not draft.subject.strip():
        yield Fault("subject", "is required for an email")
    if draft.html is not None and draft.mjml is not None:
        yield Fault("mjml", "send html or mjml, not both")
    for part in ("html", "mjml"):
        if getattr(draft, part) is not None and channel != "email":
            yield Fault(part, f"the channel {channel!r} shows no html; leave it out")


def _html(draft: Draft) -> tuple[str | None, list[Fault]]:
    if draft.html is None and draft.mjml is None:
        return None, []
    part = "mjml" if draft.mjml is not None else "html"
    made = from_mjml(draft.mjml) if draft.mjml is not None else from_html(draft.html or "")
    if isinstance(made, str):
        return made, []
    return None, [Fault(part, _at(one)) for one in made]


def _shows(draft: Draft, html: str, pictures: Pictures) -> Iterator[Fault]:
    part, written = ("mjml", draft.mjml) if draft.mjml is not None else ("html", draft.html)
    names = named_in(html)
    for name in names:
        if name not in RESERVED and name not in pictures:
            line = _line_of(written or "", f"cid:{name}")
            yield Fault(part, _at(Wrong(line, f"there is no picture {name!r}: PUT /v1/pictures/{name} first")))
    sizes = {name: len(picture.content) for name, picture in pictures.items()}
    if (size := carried_bytes(names, sizes)) > MOST_CARRIED:
        yield Fault(
            part,
            f"its pictures have {size // 1024} KiB together{LOGO_COUNTS if LOGO in names else ''}; a mail carries "
            f"{MOST_CARRIED // 1024} KiB at most",
        )


def _line_of(text: str, mark: str) -> int | None:
    at = text.find(mark)
    return None if at < 0 else text.count("\n", 0, at) + 1


def _unknown(source: TemplateSource) -> Iterator[Fault]:
    """What cannot be compiled or names what there is not."""
    known = variables(example("en"), "en", DateStyle.MEDIUM, {})
    for part in PARTS:
        text = getattr(source, part)
        if text is None:
            continue
        try:
            compile_template(TemplateSource(*[text if name == part else "" for name in PARTS]))
        except TemplateRefused as error:
            yield Fault(part, _at(Wrong(error.line, error.reason)))
            continue
        for name, line in names_in(text):
            if name not in known:
                yield Fault(part, f"line {line}: {name!r} is not known here; use one of {', '.join(sorted(known))}")


def _rendering(source: TemplateSource, channel: str, locale: str, examples: Sequence[MessageFacts]) -> Iterator[Fault]:
    compiled, catalog = compile_template(source), Catalog()
    catalog.replace("this", channel, locale, source)
    for facts in (replace(one, locale=locale) for one in examples):
        values = variables(facts, "en", DateStyle.LONG, {})
        values |= dict.fromkeys(("logo", "payment_code"), facts.logo_url is not None)
        faults = [
            _failed(part, error)
            for part in PARTS
            if (fill := getattr(compiled, part)) and (error := _error(fill, values))
        ]
        yield from faults or _limits(catalog.render("this", channel, facts), channel)


def _error(fill: Callable[[Mapping[str, Any]], str], values: Mapping[str, Any]) -> Exception | None:
    try:
        fill(values)
    except (TemplateError, TypeError, ValueError, ZeroDivisionError) as error:
        return error
    return None


def _failed(part: str, error: Exception) -> Fault:
    advice = "; write {{ name|default('') }} where it may be missing" if isinstance(error, UndefinedError) else ""
    return Fault(part, _at(Wrong(_line(error), f"cannot be filled in: {error}{advice}")))


def _limits(rendered: Rendered, channel: str) -> Iterator[Fault]:
    if len(rendered.subject) > MOST_SUBJECT:
        yield Fault("subject", f"is longer than {MOST_SUBJECT} characters with example data")
    most = MOST_TEXT.get(channel, MOST_TEXT_ELSEWHERE)
    if len(rendered.text) > most:
        yield Fault("text", f"has {len(rendered.text)} characters with example data; {channel} takes {most}")
    if channel == "sms" and (count := segments(rendered.text)) > MOST_SEGMENTS:
        yield Fault("text", f"is billed as {count} texts with example data; at most {MOST_SEGMENTS} are sent")
    if rendered.html and len(rendered.html) > MOST_HTML:
        yield Fault(
            "html", f"has {len(rendered.html)} characters with example data; mail programs cut after {MOST_HTML}"
        )


def _line(error: Exception) -> int | None:
    """Where in the text, as Jinja's own traceback tells."""
    line, trace = None, error.__traceback__
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == "<template>" else line
        trace = trace.tb_next
    return line


def _at(wrong: Wrong) -> str:
    return f"line {wrong.line}: {wrong.reason}" if wrong.line else wrong.reason
