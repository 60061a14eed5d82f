"""Replies that mean stop or start, in the languages that there are texts in.

What must stay true: only a whole reply counts, so that a sentence with "stop" in it reaches a person.
"""

import re
import unicodedata
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

_NOT_LETTERS = re.compile(r"[^A-Z ]+")


class Wish(StrEnum):
    STOP = "stop"
    START = "start"


def wish(text: str) -> Wish | None:
    """What a whole reply asks for; words of every language count, whatever the customer's is. "Stop!" is a stop."""
    if len(text) > 40:
        return None
    plain = unicodedata.normalize("NFKD", text.upper())
    return _words().get(" ".join(_NOT_LETTERS.sub("", plain).split()))


def confirmation(asked: Wish, locale: str) -> str:
    """What the customer reads then."""
    texts = _texts()
    words = texts.get(locale.replace("_", "-").split("-")[0].lower(), texts["en"])
    answer: str = words["stopped" if asked is Wish.STOP else "started"]
    return answer


@cache
def _words() -> Mapping[str, Wish]:
    return {word: asked for words in _texts().values() for asked in Wish for word in words[asked.value]}


@cache
def _texts() -> Mapping[str, Mapping[str, Any]]:
    loaded: Mapping[str, Mapping[str, Any]] = yaml.safe_load(
        (files("shared.content") / "texts" / "replies.yaml").read_text("utf-8")
    )
    return loaded
