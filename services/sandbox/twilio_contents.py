"""Content templates as Twilio keeps them: some approved for WhatsApp, some cards for RCS, in each language of the texts.

The sandbox's dispatcher is configured with exactly these, so that both channels work out of the box.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

RCS_SERVICE = "MG" + "5" * 32
PLACES = {
    "1": "customer_name", "2": "invoice_number", "3": "open_amount", "4": "due_date", "5": "pay_url", "6": "creditor_name",
}  # fmt: skip
_PLACE = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Content:
    """`button` leads to the pay link."""

    channel: str
    message: str
    language: str
    body: str
    button: str

    @property
    def sid(self) -> str:
        """The same in every sandbox."""
        return "HX" + hashlib.md5(f"{self.channel}/{self.message}/{self.language}".encode()).hexdigest()

    def render(self, variables: dict[str, str]) -> str:
        """As the handset shows it; KeyError where a variable is missing."""
        return _PLACE.sub(lambda found: variables[found[1]], f"{self.body}\n[{self.button}: {{{{5}}}}]")


_WORDS = (
    ("whatsapp", "overdue", "en", "Hello {{1}}, your invoice {{2}} from {{6}} was due on {{4}} and {{3}} is still open.", "Pay now"),
    ("whatsapp", "overdue", "es", "Hola, {{1}}: su factura {{2}} de {{6}} venció el {{4}} y quedan {{3}} pendientes.", "Pagar ahora"),
    ("whatsapp", "overdue", "pt", "Olá, {{1}}: a sua fatura {{2}} de {{6}} venceu em {{4}} e {{3}} continua em aberto.", "Pagar agora"),
    ("rcs", "invoice", "en", "Invoice {{2}} from {{6}}: {{3}}, due {{4}}.", "See and pay the invoice"),
    ("rcs", "invoice", "es", "Factura {{2}} de {{6}}: {{3}}, vence el {{4}}.", "Ver y pagar la factura"),
    ("rcs", "invoice", "pt", "Fatura {{2}} de {{6}}: {{3}}, vence em {{4}}.", "Ver e pagar a fatura"),
)  # fmt: skip
CONTENTS = {content.sid: content for content in (Content(*words) for words in _WORDS)}


class BadContent(Exception):
    """Twilio's code for what is wrong with a ContentSid (21655) or its variables (21656)."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def contents_for(channel: str) -> dict[str, Any]:
    """As DUNNOCK_TWILIO_WHATSAPP_TEMPLATES and DUNNOCK_TWILIO_RCS_TEMPLATES are written."""
    mine = [content for content in CONTENTS.values() if content.channel == channel]
    return {f"{content.message}/{content.language}": {"sid": content.sid, "variables": PLACES} for content in mine}


def rendered(channel: str, sid: str, variables: str) -> str:
    content = CONTENTS.get(sid)
    if content is None or content.channel != channel:
        raise BadContent(21655)
    try:
        given: dict[str, str] = json.loads(variables or "{}")
        return content.render(given)
    except (ValueError, KeyError, TypeError):
        raise BadContent(21656) from None
