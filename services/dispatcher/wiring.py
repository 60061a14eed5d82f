"""Where the dispatcher's parts are chosen and put together."""

import os
import secrets
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit

from pydantic import SecretStr

from services.dispatcher.adapters.bounce_receiver import BounceConfig, BounceReceiver
from services.dispatcher.adapters.email_smtp import EmailSmtp, SmtpConfig
from services.dispatcher.adapters.events_postmark import PostmarkConfig
from services.dispatcher.adapters.events_sendgrid import SendGridConfig
from services.dispatcher.adapters.events_ses import SesConfig, SesEvents
from services.dispatcher.adapters.http_api import HttpChannel
from services.dispatcher.adapters.push import Push, PushConfig
from services.dispatcher.adapters.rcs_twilio import RcsConfig, RcsTwilio
from services.dispatcher.adapters.registry import CHANNELS, MAIL_EVENTS
from services.dispatcher.adapters.sms_twilio import SmsTwilio
from services.dispatcher.adapters.twilio_account import TwilioConfig
from services.dispatcher.adapters.voice_twilio import VoiceConfig, VoiceTwilio
from services.dispatcher.adapters.whatsapp_twilio import WhatsAppConfig, WhatsAppTwilio
from services.dispatcher.api import (
    bounce_mails,
    http_providers,
    opt_out,
    pictures,
    push,
    receipts,
    suppressions,
    templates,
)
from services.dispatcher.api import channels as channels_api
from services.dispatcher.api.parts import DispatcherParts
from services.dispatcher.domain.ports import Channel, Conversing, Reporting
from services.dispatcher.domain.tokens import MessageIds, ReturnPaths
from services.dispatcher.handlers.claim_and_send import ClaimAndSend
from services.dispatcher.handlers.compose import Composer
from services.dispatcher.handlers.http_providers import HttpProviders
from services.dispatcher.handlers.keep_watch import KeepWatch
from services.dispatcher.handlers.opt_out import OptOut
from services.dispatcher.handlers.recorder import Recorder
from services.dispatcher.handlers.senders import Senders
from services.dispatcher.handlers.take_receipt import TakeBounce, TakeReceipt
from services.dispatcher.handlers.take_reply import TakeReply
from services.dispatcher.handlers.take_turn import TakeTurn
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.store.cards import Cards
from services.dispatcher.store.files import Files
from services.dispatcher.store.own_texts import OwnTexts
from services.dispatcher.worker import Worker
from shared.bus.port import Bus
from shared.content import Catalog
from shared.db.engine import Database
from shared.documents import Documents
from shared.outgoing import LOOPBACK, Allowed, Guard
from shared.routing.channels import REACHED_THROUGH as CHANNEL_NAMES
from shared.settings import HOST_NAME, LedgerSettings
from shared.web.health import Check, Notice
from shared.web.service import Service, database_check


@dataclass(frozen=True, slots=True)
class Outside:
    """What the process gives the dispatcher: where the world reaches it, its secret, its providers."""

    public_url: str
    secret_key: bytes
    channels: Sequence[Channel]
    bounces: BounceConfig
    guard: Guard = field(default_factory=lambda: Guard(Allowed()))
    reporters: Sequence[Reporting] = ()
    browsers: Guard = field(
        default_factory=lambda: Guard(Allowed())
    )  # for addresses that customers name: no exceptions


EVENT_SETTINGS = (SesConfig, SendGridConfig, PostmarkConfig)
CHANNEL_SETTINGS = (
    SmtpConfig,
    TwilioConfig,
    RcsConfig,
    WhatsAppConfig,
    VoiceConfig,
    PushConfig,
    *EVENT_SETTINGS,
    BounceConfig,
)


def from_environment(public_url: str, secret_key: bytes) -> Outside:
    """The providers that DUNNOCK_* configures; a channel without one is absent."""
    built = [channel for kind in CHANNELS.values() for channel in configured(kind)]
    events = [reporter for kind in MAIL_EVENTS.values() if (reporter := kind.from_settings())]
    return Outside(public_url, secret_key, built, BounceConfig(), Guard.from_settings(loopback=False), events)


def configured(kind: type[Channel]) -> Sequence[Channel]:
    """One, none, or, where the adapter can have several providers, those."""
    if several := getattr(kind, "all_from_settings", None):
        return list(several())
    one = kind.from_settings()
    return [] if one is None else [one]


@dataclass(frozen=True, slots=True)
class TwilioDoubles:
    """How the channels over Twilio reach its double."""

    account: TwilioConfig
    rcs: RcsConfig
    whatsapp: WhatsAppConfig
    voice: VoiceConfig


def from_doubles(
    public_url: str,
    secret_key: bytes,
    *,
    smtp_url: str,
    twilio: TwilioDoubles,
    bounce_address: tuple[str, int],
    further: Sequence[Channel] = (),
) -> Outside:
    """The same adapters, pointed at the sandbox. `further`: those that were pointed there before."""
    host, port = bounce_address
    channels: list[Channel] = [
        EmailSmtp(SmtpConfig(url=SecretStr(smtp_url))),
        SmsTwilio(twilio.account),
        RcsTwilio(twilio.account, twilio.rcs),
        WhatsAppTwilio(twilio.account, twilio.whatsapp),
        VoiceTwilio(twilio.account, twilio.voice),
        *further,
    ]
    return Outside(
        public_url,
        secret_key,
        channels,
        BounceConfig(listen=f"{host}:{port}"),
        Guard.from_settings(loopback=True),
        browsers=Guard(Allowed.parse(LOOPBACK)),
    )


def build(
    settings: DispatcherSettings,
    windows: LedgerSettings,
    db: Database,
    bus: Bus,
    documents: Documents,
    outside: Outside,
) -> Service:
    senders = Senders(db, outside.channels, windows.handoff_window)
    reporting = _reporting(outside.channels, outside.reporters)
    make = partial(HttpChannel, guard=outside.guard, connect_timeout=windows.connect_timeout)
    http = HttpProviders(db, senders, make, reporting, linger=windows.lease)
    mail_domain = settings.mail_domain or mail_domain_of(outside.public_url)
    return_paths = ReturnPaths(outside.secret_key, mail_domain)
    message_ids = MessageIds(outside.secret_key, mail_domain)
    recorder, texts = Recorder(db), OwnTexts(Catalog())
    claim_and_send = ClaimAndSend(
        db,
        senders,
        Composer(texts.catalog, return_paths, outside.public_url, message_ids),
        Cards(settings.email_from or f"billing@{mail_domain}", None, texts),
        Files(documents),
        recorder,
        worker=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}",
        windows=windows,
        caps=settings.caps,
        friction=settings.contact_cost,
    )
    take_receipt = TakeReceipt(db)
    take_bounce = TakeBounce(take_receipt, db, outside.bounces.unsigned_per_day)
    bounces = (
        BounceReceiver(outside.bounces, return_paths, message_ids, take_bounce) if outside.bounces.listen else None
    )
    stop = OptOut(db, windows.handoff_window)
    worker = Worker(
        bus, claim_and_send, recorder, outside.channels, bounces, settings.prefetch, KeepWatch(db, senders, http, texts)
    )
    parts = DispatcherParts(
        db,
        senders,
        take_receipt,
        TakeTurn(db, take_receipt, stop),
        TakeReply(db, windows.handoff_window),
        stop,
        texts,
        reporting,
        {channel.provider: channel for channel in outside.channels if isinstance(channel, Conversing)},
        outside.public_url,
        http,
        outside.guard,
        outside.browsers,
        next((channel.public_key for channel in outside.channels if isinstance(channel, Push)), None),
        settings.cost_currency,
        windows.send_timeout,
    )

    async def stop_all() -> None:
        await worker.stop()
        for reporter in outside.reporters:
            if isinstance(reporter, SesEvents):
                await reporter.close()

    return Service(
        name="dispatcher",
        routers=(
            channels_api.router,
            http_providers.router,
            push.router,
            bounce_mails.router,
            receipts.router,
            suppressions.router,
            opt_out.router,
            templates.router,
            pictures.router,
        ),
        parts=(parts,),
        start=worker.start,
        stop=stop_all,
        checks={"database": database_check(db), "bus": _bus_check(bus)},
        notices=_notices(senders),
    )


def _notices(senders: Senders) -> dict[str, Notice]:
    """Channels without a provider, and providers that are left alone at the moment."""
    absent = {
        f"channel.{name}": "absent: no provider is configured" for name in CHANNEL_NAMES if name not in senders.channels
    }
    return {**absent, **{f"provider.{'.'.join(sender.key)}": sender.notice for sender in senders}}


def _reporting(channels: Sequence[Channel], reporters: Sequence[Reporting]) -> dict[str, list[Reporting]]:
    """By provider: several channels of one read each what is its own."""
    found: dict[str, list[Reporting]] = {}
    for channel in channels:
        if isinstance(channel, Reporting):
            found.setdefault(channel.provider, []).append(channel)
    for reporter in reporters:
        found.setdefault(reporter.provider, []).append(reporter)
    return found


def mail_domain_of(public_url: str) -> str:
    """The host that customers know, as mails write it; an address of this machine alone names none, nor does a name that no
    mail can carry."""
    host = (urlsplit(public_url).hostname or "").rstrip(".")
    with suppress(UnicodeError):
        host = host.encode("idna").decode("ascii")
    known = HOST_NAME.fullmatch(host) and host != "localhost" and not host.replace(".", "").isdigit()
    return host if known else "localhost.localdomain"


def _bus_check(bus: Bus) -> Check:
    async def check() -> str | None:
        return None if bus.ready() else "not connected"

    return check
