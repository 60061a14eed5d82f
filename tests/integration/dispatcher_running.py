"""The dispatcher on a real database, a real SMTP server and a double of Twilio; messages come from a bus in memory, or from
RabbitMQ."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, cast

import asyncpg
import httpx
from pydantic import SecretStr

from services.dispatcher.adapters.bounce_receiver import BounceConfig
from services.dispatcher.adapters.email_smtp import EmailSmtp, SmtpConfig
from services.dispatcher.adapters.rcs_twilio import RcsConfig, RcsTwilio
from services.dispatcher.adapters.sms_twilio import SmsTwilio
from services.dispatcher.adapters.twilio_account import TwilioConfig
from services.dispatcher.adapters.twilio_contents import ContentTemplate
from services.dispatcher.adapters.voice_twilio import VoiceConfig, VoiceTwilio
from services.dispatcher.adapters.whatsapp_twilio import WhatsAppConfig, WhatsAppTwilio
from services.dispatcher.domain.ports import Channel, Reporting
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.wiring import Outside, build
from services.doubles import free_port
from shared.bus.memory import MemoryBus
from shared.bus.rabbitmq import RabbitBus
from shared.db.engine import Database
from shared.documents import Documents
from shared.flow import FOREVER, standard
from shared.messages import BULK, RemindersDue
from shared.outgoing import LOOPBACK, Allowed, Guard
from shared.settings import LedgerSettings
from shared.web.auth import Keys
from shared.web.service import assemble, key_lookup
from tests import factories
from tests.doubles.smtp_sink import SmtpSink, smtp_sink
from tests.doubles.twilio_api import TwilioApi, twilio_api

KEY = "bootstrap-key-of-tests"
PUBLIC = "https://pay.example.com"
TOKEN = "twilio-token"
SENDER = "+15005550006"
TEMPLATES = {"overdue/en": ContentTemplate(sid="HX" + "1" * 32, variables={"1": "customer_name", "2": "open_amount"})}
WINDOWS = LedgerSettings(connect_timeout=0.2, handoff_window=2.0, send_timeout=5.0, lease=20.0)


@dataclass
class Dispatcher:
    """`owner` may write everything; `http` speaks to the service; `smtp`, `twilio` are what it sends to."""

    owner: asyncpg.Connection
    http: httpx.AsyncClient
    bus: MemoryBus | RabbitBus
    smtp: SmtpSink
    twilio: TwilioApi
    bounce_port: int
    documents: Documents

    async def due(
        self, step: str = "overdue", *, phone: str | None = None, leg: str = "", email: bool = True, **columns: Any
    ) -> tuple[factories.Made, int]:
        """An open invoice whose reminder of this step is queued."""
        made = await factories.invoice(self.owner, ("1250.00",), **columns)
        spec = standard().to_dict()
        await self.owner.execute("UPDATE flow_version SET spec = $1 WHERE id = $2", spec, made.flow_version_id)
        if not email:
            await self.owner.execute("UPDATE contact_point SET retired_at = now() WHERE id = $1", made.contact_id)
        if phone:
            await factories.contact_point(self.owner, made.customer_id, "phone", phone)
        once = step in ("deliver-invoice", "thank-you")
        queued = await factories.reminder(
            self.owner,
            made.id,
            None if once else made.installments[0],
            step,
            state="queued",
            leg=leg,
            anchor="issue" if once else "due",
            requires_open=not once,
            due_at=datetime.now(UTC) - timedelta(seconds=1),
            send_until=FOREVER if once else datetime.now(UTC) + timedelta(hours=5),
        )
        return made, queued

    async def publish(self, *ids: int) -> None:
        await self.bus.publish(BULK, RemindersDue(list(ids)).encode())

    async def send(self, *ids: int) -> None:
        """Published, and waited for until none of them is queued or sending."""
        await self.publish(*ids)
        await self.until(
            "SELECT count(*) = 0 FROM reminder WHERE id = ANY ($1) AND state IN ('queued', 'sending')", ids
        )

    async def until(self, question: str, *values: Any, within: float = 20.0) -> None:
        async with asyncio.timeout(within):
            while not await self.owner.fetchval(question, *values):
                await asyncio.sleep(0.02)

    async def queue_again(self, *ids: int) -> None:
        """What the scheduler does with a pending reminder whose time has come."""
        await self.owner.execute(
            "UPDATE reminder SET state = 'queued', queued_at = now() WHERE id = ANY ($1) AND state = 'pending'", ids
        )

    async def state(self, reminder: int) -> tuple[str, str | None]:
        row = await self.owner.fetchrow("SELECT state, reason FROM reminder WHERE id = $1", reminder)
        assert row is not None
        return row[0], row[1]

    async def attempts(self, reminder: int) -> list[tuple[str, str]]:
        rows = await self.owner.fetch(
            "SELECT channel, state FROM attempt WHERE reminder_id = $1 ORDER BY fence", reminder
        )
        return [(row[0], row[1]) for row in rows]

    async def suppressed(self) -> list[tuple[str, str]]:
        return [tuple(row) for row in await self.owner.fetch("SELECT channel, reason FROM suppression ORDER BY id")]

    def mails(self) -> list[EmailMessage]:
        return [message_from_bytes(cast(bytes, mail.content), policy=default) for mail in self.smtp.mails]


@contextlib.asynccontextmanager
async def running(
    dsn: str,
    folder: Path,
    *,
    channels: Sequence[str] = ("email", "sms"),
    further: Sequence[Channel] = (),
    reporters: Sequence[Reporting] = (),
    browsers: str = LOOPBACK,
    unsigned_per_day: int = 200,
    through: str | None = None,
    amqp_url: str | None = None,
    **settings: Any,
) -> AsyncIterator[Dispatcher]:
    async with contextlib.AsyncExitStack() as stack:
        smtp = await stack.enter_async_context(smtp_sink())
        twilio = await stack.enter_async_context(twilio_api())
        owner_db, db = Database(dsn), Database(through or dsn, role="dunnock_dispatcher")
        stack.push_async_callback(owner_db.close)
        stack.push_async_callback(db.close)
        owner = await stack.enter_async_context(owner_db.connection())
        bus = MemoryBus() if amqp_url is None else RabbitBus(amqp_url)
        documents, port = Documents(f"file://{folder}"), free_port()
        await bus.start()
        stack.push_async_callback(bus.close)
        account = TwilioConfig(
            account_sid="AC1", auth_token=SecretStr(TOKEN), base_url=twilio.url, sms_from=SENDER, timeout=5.0
        )
        offered: dict[str, Callable[[], Channel]] = {
            "email": lambda: EmailSmtp(SmtpConfig(url=SecretStr(f"smtp://127.0.0.1:{smtp.port}"), timeout=5.0)),
            "sms": lambda: SmsTwilio(account),
            "rcs": lambda: RcsTwilio(account, RcsConfig(rcs_service_sid="MG" + "5" * 32)),
            "whatsapp": lambda: WhatsAppTwilio(
                account, WhatsAppConfig(whatsapp_from=SENDER, whatsapp_templates=TEMPLATES)
            ),
            "voice": lambda: VoiceTwilio(account, VoiceConfig(voice_from=SENDER, voice_person="+4930123456")),
        }
        outside = Outside(
            PUBLIC,
            b"s" * 32,
            [*[offered[name]() for name in channels], *further],
            BounceConfig(listen=f"127.0.0.1:{port}", unsigned_per_day=unsigned_per_day),
            Guard(Allowed.parse(LOOPBACK)),
            reporters,
            Guard(Allowed.parse(browsers)),
        )
        chosen = DispatcherSettings(mail_domain="bounce.example.com", email_from="billing@example.com", **settings)
        app = assemble("test", [build(chosen, WINDOWS, db, bus, documents, outside)], Keys(key_lookup(db), KEY))
        await stack.enter_async_context(app.router.lifespan_context(app))
        http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://test", headers={"Authorization": f"Bearer {KEY}"}
        )
        stack.push_async_callback(http.aclose)
        yield Dispatcher(owner, http, bus, smtp, twilio, port, documents)
