"""Where the dispatcher's parts are chosen and put together."""

import os
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

from services.dispatcher.adapters.bounce_receiver import BounceConfig, BounceReceiver
from services.dispatcher.adapters.email_smtp import EmailSmtp, SmtpConfig
from services.dispatcher.adapters.registry import CHANNELS
from services.dispatcher.adapters.sms_twilio import SmsTwilio, TwilioConfig
from services.dispatcher.api import channels as channels_api
from services.dispatcher.api import opt_out, receipts, suppressions
from services.dispatcher.api.parts import DispatcherParts
from services.dispatcher.domain.ports import Channel, Reporting
from services.dispatcher.domain.tokens import ReturnPaths
from services.dispatcher.handlers.claim_and_send import ClaimAndSend, Sender
from services.dispatcher.handlers.compose import Composer
from services.dispatcher.handlers.lanes import Lane
from services.dispatcher.handlers.opt_out import OptOut
from services.dispatcher.handlers.recorder import Recorder
from services.dispatcher.handlers.take_receipt import TakeBounce, TakeReceipt
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.store.cards import Cards
from services.dispatcher.store.files import Files
from services.dispatcher.worker import Worker
from shared.bus.port import Bus
from shared.content import Catalog
from shared.db.engine import Database
from shared.documents import Documents
from shared.routing import Channel as ChannelName
from shared.settings import LedgerSettings
from shared.web.health import Check
from shared.web.service import Service, database_check


@dataclass(frozen=True, slots=True)
class Outside:
    """What the process gives the dispatcher: where the world reaches it, its secret, its providers."""

    public_url: str
    secret_key: bytes
    channels: Sequence[Channel]
    bounces: BounceConfig


CHANNEL_SETTINGS = (SmtpConfig, TwilioConfig, BounceConfig)


def from_environment(public_url: str, secret_key: bytes) -> Outside:
    """The providers that DUNNOCK_* configures; a channel without one is absent."""
    built = [kind.from_settings() for kind in CHANNELS.values()]
    return Outside(public_url, secret_key, [channel for channel in built if channel], BounceConfig())


def from_doubles(
    public_url: str, secret_key: bytes, *, smtp_url: str, twilio: TwilioConfig, bounce_address: tuple[str, int]
) -> Outside:
    """The same adapters, pointed at the sandbox."""
    host, port = bounce_address
    channels: list[Channel] = [EmailSmtp(SmtpConfig(url=SecretStr(smtp_url))), SmsTwilio(twilio)]
    return Outside(public_url, secret_key, channels, BounceConfig(listen=f"{host}:{port}"))


def build(
    settings: DispatcherSettings,
    windows: LedgerSettings,
    db: Database,
    bus: Bus,
    documents: Documents,
    outside: Outside,
) -> Service:
    senders = {
        ChannelName(channel.name): Sender(channel, Lane(channel.concurrency, windows.handoff_window))
        for channel in outside.channels
    }
    mail_domain = settings.mail_domain or mail_domain_of(outside.public_url)
    return_paths = ReturnPaths(outside.secret_key, mail_domain)
    recorder = Recorder(db)
    claim_and_send = ClaimAndSend(
        db,
        senders,
        Composer(Catalog(), return_paths, outside.public_url, mail_domain),
        Cards(settings.email_from or f"billing@{mail_domain}", None),
        Files(documents),
        recorder,
        worker=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}",
        windows=windows,
        caps=settings.caps,
    )
    take_receipt = TakeReceipt(db)
    bounces = (
        BounceReceiver(outside.bounces, return_paths, TakeBounce(take_receipt, db)) if outside.bounces.listen else None
    )
    worker = Worker(bus, claim_and_send, recorder, outside.channels, bounces, settings.prefetch)
    parts = DispatcherParts(
        db,
        senders,
        take_receipt,
        OptOut(db, windows.handoff_window),
        {channel.provider: channel for channel in outside.channels if isinstance(channel, Reporting)},
        outside.public_url,
    )
    absent = [name for name in ChannelName if name not in senders]
    return Service(
        name="dispatcher",
        routers=(channels_api.router, receipts.router, suppressions.router, opt_out.router),
        parts=(parts,),
        start=worker.start,
        stop=worker.stop,
        checks={"database": database_check(db), "bus": _bus_check(bus)},
        notices={f"channel.{name}": "absent: no provider is configured" for name in absent},
    )


def mail_domain_of(public_url: str) -> str:
    """The host that customers know; an address of this machine alone names none."""
    host = urlsplit(public_url).hostname or ""
    return (
        "localhost.localdomain" if host in ("", "localhost") or ":" in host or host.replace(".", "").isdigit() else host
    )


def _bus_check(bus: Bus) -> Check:
    async def check() -> str | None:
        return None if bus.ready() else "not connected"

    return check
