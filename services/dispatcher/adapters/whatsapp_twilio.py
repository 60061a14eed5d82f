"""WhatsApp through Twilio: approved content templates only.

A free text is taken by WhatsApp only within 24 hours of the customer's own words; a template always. So every message
goes as the template that a setting names for it, and one that has none is refused here, before it costs anything.
"""

from collections.abc import Sequence
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
        content = Filled.of(self._config.whatsapp_templates, outgoing.message, outgoing.facts)
        if content is None:
            what = f"message {outgoing.message!r} in {outgoing.facts.locale!r}"
            return Rejected(
                f"no approved WhatsApp template for {what}: add it to DUNNOCK_TWILIO_WHATSAPP_TEMPLATES", "no_template"
            )
        return await self._message(
            gate,
            to=f"whatsapp:{outgoing.to_address}",
            from_=f"whatsapp:{self._config.whatsapp_from}",
            status_callback=callback_url(outgoing),
            **content.fields,
        )

    def read_report(self, report: Report) -> Sequence[Reported | Replied]:
        self._check(report)
        return read_messages(report, self.name)
