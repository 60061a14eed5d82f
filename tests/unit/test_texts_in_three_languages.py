"""The built-in texts, read as a customer reads them: one day, one gender too few, nothing left out in a language."""

import re
from importlib.resources import files
from typing import Any

import pytest
import yaml

from shared.content import Catalog
from shared.content.catalog import LANGUAGES, builtin_messages
from tests.doubles.outgoing import facts

CATALOG = Catalog()
ONE_DAY = {"en": r"\b1 days\b", "es": r"\b1 días\b", "pt": r"\b1 dias\b"}
# Words that would take the reader for a man or a woman.
GENDERED = {
    "en": r"\b(sir|madam|he|she|his|her)\b",
    "es": r"\b(estimad[oa]|señora?|bienvenid[oa]|obligad[oa]|interesad[oa]|usted mism[oa])\b",
    "pt": r"\b(prezad[oa]|senhora?|bem-vind[oa]|o impede|a impede|caro|cara)\b",
}
HARSH = {
    "en": r"\b(immediately|failure|must pay|legal action|demand)\b",
    "es": r"\b(inmediatamente|incumplimiento|debe pagar|acciones legales|exigimos)\b",
    "pt": r"\b(imediatamente|inadimpl|deve pagar|medidas legais|exigimos)\b",
}


def words(language: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((files("shared.content") / "texts" / f"{language}.yaml").read_text("utf-8"))
    return loaded


def said(message: str, language: str, **changes: Any) -> str:
    parts = [
        CATALOG.render(message, channel, facts(locale=language, **changes)) for channel in ("email", "sms", "voice")
    ]
    return "\n".join(f"{one.subject}\n{one.text}\n{one.html or ''}" for one in parts)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("message", builtin_messages())
def test_one_day_is_a_day(message: str, language: str) -> None:
    assert not re.search(ONE_DAY[language], said(message, language, days_past_due=1))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("message", builtin_messages())
def test_nobody_is_taken_for_somebody_else_or_threatened(message: str, language: str) -> None:
    text = said(message, language).lower()
    assert re.findall(GENDERED[language], text) == []
    assert re.findall(HARSH[language], text) == []


def test_every_language_has_every_text_with_the_same_parts() -> None:
    english = words("en")
    for language in LANGUAGES:
        other = words(language)
        assert other["words"].keys() == english["words"].keys()
        assert other["channels"].keys() == english["channels"].keys()
        assert other["messages"].keys() == english["messages"].keys()
        for name, message in english["messages"].items():
            assert other["messages"][name].keys() == message.keys(), (language, name)
            assert len(other["messages"][name]["body"]) == len(message["body"]), (language, name)
