"""WhatsApp: our text while the customer's own words are young, an approved template afterwards."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.dispatcher.adapters.twilio_account import TwilioConfig
from services.dispatcher.adapters.whatsapp_twilio import WhatsAppConfig, WhatsAppTwilio
from services.dispatcher.domain.outcomes import Accepted, Rejected
from shared.content import Rendered
from tests import factories
from tests.doubles.outgoing import open_gate, outgoing
from tests.doubles.twilio_api import twilio_api
from tests.integration.dispatcher_running import SENDER, TEMPLATES, Dispatcher, running

PHONE = "+4915112345678"
NOW = outgoing(PHONE).sent_at
JUST_NOW, YESTERDAY = NOW - timedelta(hours=23), NOW - timedelta(hours=24)


@pytest.mark.parametrize(
    ("wrote", "text", "expected"),
    [
        (JUST_NOW, "Hello\n", "Body"),
        (YESTERDAY, "Hello\n", "ContentSid"),
        (None, "Hello\n", "ContentSid"),
        (JUST_NOW, "x" * 1601, "ContentSid"),
    ],
)
async def test_the_text_goes_within_the_day_and_a_template_afterwards(wrote: object, text: str, expected: str) -> None:
    async with twilio_api() as api:
        channel = whatsapp(api.url, WhatsAppConfig(whatsapp_from=SENDER, whatsapp_templates=TEMPLATES))
        made = outgoing(PHONE, answered_at=wrote, rendered=Rendered("", text))

        assert isinstance(await channel.send(made, open_gate()), Accepted)

        assert {"Body", "ContentSid"} & set(api.requests[0]) == {expected}
        await channel.close()


async def test_without_a_template_only_the_text_goes() -> None:
    async with twilio_api() as api:
        channel = whatsapp(api.url, WhatsAppConfig(whatsapp_from=SENDER))

        assert isinstance(await channel.send(outgoing(PHONE, answered_at=JUST_NOW), open_gate()), Accepted)
        refused = await channel.send(outgoing(PHONE, answered_at=YESTERDAY), open_gate())

        assert isinstance(refused, Rejected)
        assert refused.code == "no_template"
        assert len(api.requests) == 1
        await channel.close()


async def test_who_wrote_on_whatsapp_is_answered_there_and_a_text_message_is_no_such_word(
    database_dsn: str, tmp_path: Path
) -> None:
    async with running(database_dsn, tmp_path, channels=("whatsapp",)) as dispatcher:
        assert [await said(dispatcher, channel) for channel in ("whatsapp", "sms")] == ["Body", "ContentSid"]


async def said(dispatcher: Dispatcher, wrote_on: str) -> str:
    """What an overdue invoice is said with to somebody who wrote an hour ago."""
    made, reminder = await dispatcher.due(email=False)
    point = await factories.contact_point(dispatcher.owner, made.customer_id, "phone", PHONE, channels=["whatsapp"])
    await dispatcher.owner.execute(
        "INSERT INTO reply (customer_id, contact_point_id, channel, provider, provider_ref, body, received_at)"
        " VALUES ($1, $2, $3, 'twilio', $3, 'When?', business_now() - interval '1 hour')",
        made.customer_id,
        point,
        wrote_on,
    )
    await dispatcher.send(reminder)
    [how] = {"Body", "ContentSid"} & set(dispatcher.twilio.requests[-1])
    return how


def whatsapp(url: str, config: WhatsAppConfig) -> WhatsAppTwilio:
    account = TwilioConfig(
        account_sid="AC1", auth_token=SecretStr("t"), base_url=url, timeout=60.0, connect_timeout=10.0
    )
    return WhatsAppTwilio(account, config)
