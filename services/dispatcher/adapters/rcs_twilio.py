"""Rich SMS (RCS) through a Twilio messaging service: a card with its button where a content template is set, else text.

`rcs:` before the number keeps Twilio from sending an SMS instead: falling back is ours, with our price and our record.
A handset that cannot is a refusal of this message, not of the number: the next one may be able to.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import ClassVar, Self

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.dispatcher.adapters.twilio_account import SERVICE_SID, TwilioChannel, TwilioConfig, callback_url
from services.dispatcher.adapters.twilio_answers import read_messages
from services.dispatcher.adapters.twilio_contents import TEMPLATES_HINT, Filled, Templates
from services.dispatcher.domain.outcomes import Outcome, Rejected
from services.dispatcher.domain.ports import Gate, Outgoing, Replied, Report, Reported
from shared.settings import Settings

MOST_CHARACTERS = 1600  # of a body, in any channel


class RcsConfig(Settings):
    """Without a messaging service there is no RCS."""

    model_config = SettingsConfigDict(env_prefix="DUNNOCK_TWILIO_")

    rcs_service_sid: str | None = Field(
        None, pattern=SERVICE_SID, description="Twilio messaging service with an RCS sender; empty: no rich SMS"
    )
    rcs_templates: Templates = Field({}, description=f"cards; without one the text goes; {TEMPLATES_HINT}")
    rcs_price: Decimal = Field(Decimal("0.03"), ge=0, description="what one rich SMS costs")


class RcsTwilio(TwilioChannel):
    name: ClassVar[str] = "rcs"

    def __init__(self, account: TwilioConfig, config: RcsConfig) -> None:
        if config.rcs_service_sid is None:
            raise ValueError("DUNNOCK_TWILIO_RCS_SERVICE_SID is missing: set it to a messaging service")
        super().__init__(account)
        self._config = config

    @classmethod
    def from_settings(cls) -> Self | None:
        account, config = TwilioConfig(), RcsConfig()
        return cls(account, config) if account.present and config.rcs_service_sid else None

    def price(self, to_address: str) -> Decimal:
        return self._config.rcs_price

    def cost(self, outgoing: Outgoing) -> Decimal:
        return self._config.rcs_price

    async def send(self, outgoing: Outgoing, gate: Gate) -> Outcome:
        content = Filled.of(self._config.rcs_templates, outgoing.message, outgoing.facts)
        said = content.fields if content else {"body": outgoing.rendered.text.strip()}
        if len(said.get("body", "")) > MOST_CHARACTERS:
            return Rejected(f"the text is longer than {MOST_CHARACTERS} characters", "too_long")
        return await self._message(
            gate,
            to=f"rcs:{outgoing.to_address}",
            messaging_service_sid=str(self._config.rcs_service_sid),
            status_callback=callback_url(outgoing),
            **said,
        )

    def read_report(self, report: Report) -> Sequence[Reported | Replied]:
        self._check(report)
        return read_messages(report, self.name)
