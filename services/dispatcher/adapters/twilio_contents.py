"""Content templates: what WhatsApp has approved, and cards for RCS; by message and language, told by a setting.

What must stay true: a message goes in a language of its customer or in English, never in another; a template gets
exactly the variables that its setting names, each on one line.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from shared.content import MessageFacts
from shared.content.facts import one_line
from shared.content.formats import babel_locale
from shared.content.variables import DateStyle, variables

_NAMES = frozenset(
    {"creditor_name", "customer_name", "invoice_number", "currency", "amount", "open_amount", "issue_date", "due_date"}
    | {"days_past_due", "installment_no", "installment_count", "payment_reference", "pay_url", "pay_token"}
    | {"document_url", "iban", "bic", "fallback_channel"}
)


class ContentTemplate(BaseModel):
    """`variables`: the template's placeholders with the fact that each shows; `pay_token` is the end of the pay link,
    for a button whose address begins with it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sid: Annotated[str, Field(pattern=r"^HX[0-9a-fA-F]{32}$")]
    variables: dict[str, str] = {}

    @field_validator("variables")
    @classmethod
    def _known(cls, named: dict[str, str]) -> dict[str, str]:
        if unknown := sorted(set(named.values()) - _NAMES):
            raise ValueError(f"no fact is called {', '.join(unknown)}; there are {', '.join(sorted(_NAMES))}")
        return named


Templates = dict[str, ContentTemplate]
TEMPLATES_HINT = 'JSON such as {"overdue/es": {"sid": "HX...", "variables": {"1": "customer_name"}}}'


class Filled:
    """A template with what it says to one customer: the fields of the request."""

    __slots__ = ("fields",)

    def __init__(self, template: ContentTemplate, facts: MessageFacts, locale: str) -> None:
        known = {**variables(facts, locale, DateStyle.MEDIUM, {}), "pay_token": facts.pay_url.rpartition("/")[2]}
        said = {place: one_line(str(known[name] or "")) for place, name in template.variables.items()}
        self.fields = {"content_sid": template.sid, "content_variables": json.dumps(said, ensure_ascii=False)}

    @classmethod
    def of(cls, templates: Mapping[str, ContentTemplate], message: str, facts: MessageFacts) -> Self | None:
        """None: there is none for this message in the customer's language, nor in English."""
        wanted = facts.locale.replace("_", "-")
        for locale in dict.fromkeys((wanted, wanted.partition("-")[0], "en")):
            template = templates.get(f"{message}/{locale}")
            if template is not None:
                regional = wanted if wanted.partition("-")[0] == locale.partition("-")[0] else locale
                return cls(template, facts, regional if babel_locale(regional) else "en")
        return None
