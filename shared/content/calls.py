"""The words of a call around its message: the keys, the goodbyes, and what an answering machine may hear.

What must stay true: a machine hears no name of a customer, no invoice and no amount. Nobody knows who will listen to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml


@dataclass(frozen=True, slots=True)
class CallWords:
    """Of one language; `voicemail*` with `{creditor}` and `{phone}` to fill."""

    voicemail: str
    voicemail_at: str
    pay_link: str
    repeat: str
    person: str
    opt_out: str
    link_sent: str
    connecting: str
    stopped: str
    goodbye: str

    def for_a_machine(self, creditor: str, phone: str | None) -> str:
        return (self.voicemail_at if phone else self.voicemail).format(creditor=creditor, phone=phone)


def call_words(locale: str) -> CallWords:
    """In the language of `locale`, else in English."""
    spoken = _all()
    return spoken.get(locale.replace("_", "-").split("-")[0].lower(), spoken["en"])


@cache
def _all() -> Mapping[str, CallWords]:
    loaded = yaml.safe_load((files("shared.content") / "texts" / "calls.yaml").read_text("utf-8"))
    return {language: CallWords(**words) for language, words in loaded.items()}
