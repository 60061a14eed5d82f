"""The languages that the page speaks, and which one a reader gets."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import yaml

from shared.content.formats import babel_locale

PAGES = Path(__file__).parent.parent / "pages"
LANGUAGES: Final = {"en": "English", "es": "Español", "pt": "Português"}


@dataclass(frozen=True, slots=True)
class Voice:
    """A language we have words in, and the locale that writes money and dates."""

    language: str
    tag: str

    @property
    def words(self) -> dict[str, str]:
        return _words(self.language)


def voice_of(locale: str, chosen: str | None = None) -> Voice:
    """`es-CO` speaks Spanish as in Colombia; what we have no words for is English. `chosen` wins if we speak it."""
    language = locale.replace("_", "-").split("-")[0].lower()
    if chosen in LANGUAGES and chosen != language:
        return Voice(chosen, chosen)
    if language not in LANGUAGES:
        return Voice("en", "en")
    return Voice(language, locale.replace("_", "-") if babel_locale(locale) else language)


def voice_of_browser(accept_language: str) -> Voice:
    """The first language of the header that we have words in."""
    for choice in accept_language[:200].split(","):
        language = choice.split(";")[0].strip().split("-")[0].lower()
        if language in LANGUAGES:
            return Voice(language, language)
    return Voice("en", "en")


@cache
def _words(language: str) -> dict[str, str]:
    words: dict[str, str] = yaml.safe_load((PAGES / f"{language}.yaml").read_text("utf-8"))
    return words
