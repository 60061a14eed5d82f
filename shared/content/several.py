"""The built-in texts for a message that speaks of several invoices: each message has words for one and words for several.

True here: every message has them, be it in the words of `other`; a text for one invoice is never used for several.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

SUFFIX = "-several"
LAYOUTS = {"email": "several.txt.jinja", "voice": "voice.txt.jinja"}
HTML = "several.html.jinja"


def for_several(message: str) -> str:
    """The name under which an operator stores the text of a message for several invoices."""
    return f"{message}{SUFFIX}"


def words_for_several(name: str, language: str, words: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the layouts are expanded with; None where `name` is no text for several. `words`: of the language."""
    message = name.removesuffix(SUFFIX)
    if message == name:
        return None
    own = _texts()[language]
    found = own["messages"].get(message, own["messages"]["other"])
    short = {"fallback_short": own["words"]["fallback_short"]}
    return {
        "words": {**words, **short},
        "several": own["words"],
        "message": {"asks": True, "delivers": False, **found},
    }


@cache
def _texts() -> Mapping[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((files("shared.content") / "texts" / "several.yaml").read_text("utf-8"))
    return loaded
