"""SMS through Twilio.

A message is created by one POST. An answer decides; without one (or with a 5xx) nobody knows whether an SMS went,
so it stays unknown until a signed callback tells. Faults of our own account never count against a recipient. A text is
counted before it is sent: what it costs, and whether it is too long to be one.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import ClassVar, Self

from services.dispatcher.adapters.twilio_account import TwilioChannel, TwilioConfig, callback_url
from services.dispatcher.adapters.twilio_answers import read_messages
from services.dispatcher.domain.outcomes import NotSent, Outcome, Rejected
from services.dispatcher.domain.ports import Gate, Outgoing, Replied, Report, Reported
from shared.content.gsm import is_gsm, segments


class SmsTwilio(TwilioChannel):
    name: ClassVar[str] = "sms"

    @classmethod
    def from_settings(cls) -> Self | None:
        config = TwilioConfig()
        return cls(config) if config.present else None

    def price(self, to_address: str) -> Decimal:
        return self._account.price

    def cost(self, outgoing: Outgoing) -> Decimal:
        return self._account.price * segments(outgoing.rendered.text)

    async def send(self, outgoing: Outgoing, gate: Gate) -> Outcome:
        sender = self._sender(outgoing)
        if not sender:
            return NotSent("no sender: set DUNNOCK_TWILIO_SMS_FROM or the creditor's sms_from", misconfigured=True)
        text = outgoing.rendered.text
        count, encoding = segments(text), "GSM-7" if is_gsm(text) else "UCS-2"
        if count > self._account.max_segments:
            limit = f"more than the {self._account.max_segments} of DUNNOCK_TWILIO_MAX_SEGMENTS"
            return Rejected(f"the text is {count} segments long ({encoding}), {limit}", "too_long")
        return await self._message(
            gate,
            f"{count} {encoding}",
            to=outgoing.to_address,
            body=text,
            status_callback=callback_url(outgoing),
            **sender,
        )

    def _sender(self, outgoing: Outgoing) -> dict[str, str]:
        config = self._account
        if outgoing.facts.sms_from or (config.sms_from and not config.messaging_service_sid):
            return {"from_": outgoing.facts.sms_from or config.sms_from or ""}
        return {"messaging_service_sid": config.messaging_service_sid} if config.messaging_service_sid else {}

    def read_report(self, report: Report) -> Sequence[Reported | Replied]:
        self._check(report)
        return read_messages(report, self.name)
