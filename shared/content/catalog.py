"""The texts of all messages: built in, by language, each replaceable per channel and locale.

A customer always gets a text in one language: the first of es-CO, es, the default's that has the message.
Dates and money follow the customer's region only where the text is in the customer's language.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined

from shared.content.facts import MessageFacts, Rendered
from shared.content.formats import babel_locale
from shared.content.gsm import fold
from shared.content.pictures import LOGO, PAYMENT_CODE, Picture, Pictures, available, shown
from shared.content.several import HTML, LAYOUTS, for_several, words_for_several
from shared.content.template import CompiledTemplate, TemplateSource, compile_template
from shared.content.variables import DateStyle, variables

LANGUAGES = ("en", "es", "pt")
SHIPPED = "shipped-"
_LAYOUTS = {"email": "email.txt.jinja", "voice": "voice.txt.jinja"}
_SHORT = "short.txt.jinja"
_MAX_REMEMBERED = 4096
_TEXTS = files("shared.content") / "texts"

# A layout is expanded when it is loaded: `<< >>` and `<% %>` take the words of one language and leave
# the `{{ }}` of the message, so that sending only fills in facts.
_EXPANDER = Environment(
    block_start_string="<%",
    block_end_string="%>",
    variable_start_string="<<",
    variable_end_string=">>",
    comment_start_string="<#",
    comment_end_string="#>",
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


class UnknownMessage(LookupError):
    """No text for this message in any language that may stand in."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """The text chosen for (message, channel, locale), ready to be filled."""

    template: CompiledTemplate
    locale: str
    channel: str
    names: Mapping[str, str]
    pictures: Pictures

    def render(self, facts: MessageFacts) -> Rendered:
        spoken = self.channel == "voice"
        style = DateStyle.LONG if spoken or self.channel == "email" else DateStyle.MEDIUM
        values = variables(facts, self.locale, style, self.names, spoken=spoken)
        if self.template.pictures and (facts.logo or not self.template.asks_first):
            return self._with_pictures(facts, values)
        rendered = self.template.render(values)
        if spoken:
            return replace(rendered, text=" ".join(rendered.text.split()), html=None, locale=self.locale)
        if self.channel != "sms":
            return rendered
        return replace(rendered, text=fold(rendered.text.strip()), html=None)

    def _with_pictures(self, facts: MessageFacts, values: dict[str, Any]) -> Rendered:
        names = self.template.pictures
        found = available(names, facts, self.pictures)
        values |= {"logo": LOGO in found, "payment_code": PAYMENT_CODE in found}
        rendered = self.template.render(values)
        html, carried = shown(rendered.html or "", names, found)
        if not carried:
            return rendered if html == rendered.html else replace(rendered, html=html)
        made_of = [rendered.wording, *(picture.wording for picture in carried if picture.wording)]
        return replace(rendered, html=html, pictures=carried, wording=" ".join(made_of))


class Catalog:
    """`default_locale` is what a customer gets whose language has no text; `pictures`: the operator's, by name."""

    def __init__(self, default_locale: str = "en") -> None:
        self._default = default_locale
        self._own: dict[tuple[str, str, str], CompiledTemplate] = {}
        self._choices: dict[tuple[str, str, str], _Choice] = {}
        self.pictures: dict[str, Picture] = {}

    def replace(self, message: str, channel: str, locale: str, source: TemplateSource, version: int = 0) -> None:
        """Use an operator's text from now on; raises TemplateRefused and changes nothing when it is faulty."""
        made = compile_template(source, wording(message, channel, locale, version))
        self._own[message, channel, locale.lower()] = made
        self._choices.clear()

    def withdraw(self, message: str, channel: str, locale: str) -> None:
        """From now on the next text of the cascade speaks in its place."""
        self._own.pop((message, channel, locale.lower()), None)
        self._choices.clear()

    def has(self, message: str, channel: str, locale: str) -> bool:
        """Whether a customer of this language gets a text, be it another language's."""
        try:
            self._choose(message, channel, locale)
        except UnknownMessage:
            return False
        return True

    def render(self, message: str, channel: str, facts: MessageFacts) -> Rendered:
        """Raises UnknownMessage, or jinja2.TemplateError when an operator's text asks for what is not there."""
        asked = for_several(message) if len(facts.invoices) > 1 else message
        return self._chosen(asked, channel, facts.locale).render(facts)

    def _chosen(self, message: str, channel: str, locale: str) -> _Choice:
        key = (message, channel, locale)
        choice = self._choices.get(key)
        if choice is None:
            choice = self._choose(*key)
            if len(self._choices) >= _MAX_REMEMBERED:
                self._choices.clear()
            self._choices[key] = choice
        return choice

    def draws(self, message: str, channel: str, locale: str) -> bool:
        """Whether rendering it may draw a payment code, which takes as long as many mails."""
        try:
            return PAYMENT_CODE in self._chosen(message, channel, locale).template.pictures
        except UnknownMessage:
            return False

    def _choose(self, message: str, channel: str, wanted: str) -> _Choice:
        for locale in cascade(wanted, self._default):
            template = self._own.get((message, channel, locale.lower())) or _builtin(message, channel, locale)
            if template is not None:
                names = _words(_language(locale))["channels"]
                return _Choice(template, _regional(locale, wanted), channel, names, self.pictures)
        raise UnknownMessage(
            f"message {message!r} has no text for channel {channel!r} in {wanted!r} or {self._default!r}: "
            f"store one, or use one of {', '.join(builtin_messages())}"
        )


def builtin_messages() -> tuple[str, ...]:
    return tuple(_words("en")["messages"])


def cascade(wanted: str, default: str = "en") -> tuple[str, ...]:
    """The languages whose text a customer of this one may get, the best first."""
    tags = (wanted, _language(wanted), default, _language(default), "en")
    return tuple(dict.fromkeys(tag.replace("_", "-") for tag in tags))


def _language(tag: str) -> str:
    return tag.replace("_", "-").split("-")[0].lower()


def _regional(chosen: str, wanted: str) -> str:
    same = _language(chosen) == _language(wanted) and babel_locale(wanted) is not None
    usable = wanted if same else chosen
    return usable.replace("_", "-") if babel_locale(usable) is not None else "en"


@cache
def _words(language: str) -> dict[str, Any]:
    """The texts of one language; English words stand in where an operator wrote in another."""
    name = language if language in LANGUAGES else "en"
    loaded: dict[str, Any] = yaml.safe_load((_TEXTS / f"{name}.yaml").read_text("utf-8"))
    return loaded


def builtin_source(message: str, channel: str, language: str) -> TemplateSource | None:
    """The text as an operator would have written it, to begin with."""
    if language not in LANGUAGES:
        return None
    words = _words(language)
    if (several := words_for_several(message, language, words["words"])) is not None:
        return _source(several, LAYOUTS.get(channel, _SHORT), HTML if channel == "email" else None)
    if message not in words["messages"]:
        return None
    given = {"words": words["words"], "message": {"delivers": False, **words["messages"][message]}}
    return _source(given, _LAYOUTS.get(channel, _SHORT), "email.html.jinja" if channel == "email" else None)


def _source(given: Mapping[str, Any], text: str, html: str | None) -> TemplateSource:
    return TemplateSource(
        given["message"]["subject"], _expanded(text, given), None if html is None else _expanded(html, given)
    )


def wording(message: str, channel: str, locale: str, version: int | str) -> str:
    """What an attempt keeps of the text that it was made of; the path of the text, and its version."""
    return f"{message}/{channel}/{locale}@{version}"


def shipped(source: TemplateSource) -> str:
    """The version of a built-in text: it changes with its words, not with each release."""
    content = "\0".join((source.subject, source.text, source.html or ""))
    return f"{SHIPPED}{sha256(content.encode()).hexdigest()[:8]}"


@cache
def _builtin(message: str, channel: str, language: str) -> CompiledTemplate | None:
    source = builtin_source(message, channel, language)
    if source is None:
        return None
    return compile_template(source, wording(message, channel, language, shipped(source)))


def _expanded(layout: str, given: Mapping[str, Any]) -> str:
    return _EXPANDER.from_string((_TEXTS / layout).read_text("utf-8")).render(given)
