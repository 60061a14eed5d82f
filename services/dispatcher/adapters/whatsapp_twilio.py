"""WhatsApp through Twilio: within 24 hours of the customer's own words the text, else an approved content template.

WhatsApp takes a free text only within those hours; a template always. A message that goes neither way is refused here,
before it costs anything.
"""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import ClassVar, Self

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.dispatcher.adapters.twilio_account import TwilioChannel, TwilioConfig, callback_url
from services.dispatcher.adapters.twilio_answers import read_messages
from services.dispatcher.adapters.twilio_contents import TEMPLATES_HINT, Filled, Templates
from services.dispatcher.domain.outcomes import Outcome, Rejected
from services.dispatcher.domain.ports import Gate, Outgoing, Replied, Report, Reported
from shared.settings import PhoneNumber, Settings

SESSION = timedelta(hours=23, minutes=50)  # of 24 hours: the customer's words were older when we heard them
MOST_CHARACTERS = 1600  # of a body, in any channel


class WhatsAppConfig(Settings):
    """Without a sender there is no WhatsApp."""

    model_config = SettingsConfigDict(env_prefix="DUNNOCK_TWILIO_")

    whatsapp_from: PhoneNumber | None = Field(
        None, description="sender of WhatsApp messages, E.164; empty: no WhatsApp"
    )
    whatsapp_templates: Templates = Field({}, description=f"approved templates; {TEMPLATES_HINT}")
    whatsapp_price: Decimal = Field(Decimal("0.04"), ge=0, description="what one WhatsApp message costs")


class WhatsAppTwilio(TwilioChannel):
    name: ClassVar[str] = "whatsapp"
    heeds_answers: ClassVar[bool] = True

    def __init__(self, account: TwilioConfig, config: WhatsAppConfig) -> None:
        if config.whatsapp_from is None:
            raise ValueError("DUNNOCK_TWILIO_WHATSAPP_FROM is missing: set it to the sender's number")
        super().__init__(account)
        self._config = config

    @classmethod
    def from_settings(cls) -> Self | None:
        account, config = TwilioConfig(), WhatsAppConfig()
        return cls(account, config) if account.present and config.whatsapp_from else None

    def price(self, to_address: str) -> Decimal:
        return self._config.whatsapp_price

    def cost(self, outgoing: Outgoing) -> Decimal:
        return self._config.whatsapp_price

    async def send(self, outgoing: Outgoing, gate: Gate) -> Outcome:
        said = _free_text(outgoing) or self._template(outgoing)
        if said is None:
            what = f"message {outgoing.message!r} in {outgoing.facts.locale!r}"
            return Rejected(
                f"no approved WhatsApp template for {what}: add it to DUNNOCK_TWILIO_WHATSAPP_TEMPLATES", "no_template"
            )
        return await self._message(
            gate,
            to=f"whatsapp:{outgoing.to_address}",
            from_=f"whatsapp:{self._config.whatsapp_from}",
            status_callback=callback_url(outgoing),
            **said,
        )

    def _template(self, outgoing: Outgoing) -> dict[str, str] | None:
        filled = Filled.of(self._config.whatsapp_templates, outgoing.message, outgoing.facts)
        return filled.fields if filled else None

    def read_report(self, report: Report) -> Sequence[Reported | Replied]:
        self._check(report)
        return read_messages(report, self.name)


def _free_text(outgoing: Outgoing) -> dict[str, str] | None:
    """None: the customer wrote too long ago, or the text is too long."""
    text, wrote = outgoing.rendered.text.strip(), outgoing.answered_at
    if wrote is None or outgoing.sent_at - wrote >= SESSION or len(text) > MOST_CHARACTERS:
        return None
    return {"body": text}
