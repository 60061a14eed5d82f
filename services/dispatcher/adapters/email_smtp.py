"""Email through any SMTP relay.

The stage of a failure decides its outcome: before the final dot a mail was not sent; a refusal is classed by where
it came and by its enhanced code (RFC 3463); after the dot without an answer nobody knows, and it stays unknown.
"""

import asyncio
import re
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Self

from aiosmtplib import (
    SMTP,
    SMTPException,
    SMTPResponse,
    SMTPServerDisconnected,
)
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from services.dispatcher.adapters.smtp_answers import Refused, Stage, classify, refused
from services.dispatcher.adapters.smtp_relay import Connection, PoolLimits, Relay, RelayPool
from services.dispatcher.domain.outcomes import Accepted, Outcome, Rejected, SuppressReason
from services.dispatcher.domain.ports import Gate, GateClosed, Outgoing
from shared.content import HeaderRefused, MailHeaders, build_mail
from shared.content.facts import one_line
from shared.crash import crash_point
from shared.settings import Settings

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}", re.ASCII)
MARKS = {
    "sendgrid": 'X-SMTPAPI: {{"unique_args": {{"attempt": "{}"}}}}',
    "postmark": "X-PM-Metadata-attempt: {}",
}
_NOT_XTEXT = re.compile(rb"[^!-*,-<>-~]")
_SAFE_PATH = re.compile(r"[!#-;=?-Z^-~]{1,64}@[A-Za-z0-9.-]{1,253}", re.ASCII)


class SmtpConfig(Settings):
    """Without a URL there is no email."""

    model_config = SettingsConfigDict(env_prefix="DUNNOCK_SMTP_")

    url: SecretStr | None = Field(None, description="the relay, such as smtps://user:password@host:465")
    more_relays: SecretStr | None = Field(
        None, description="relays for when it fails, in order, as name=url separated by blanks"
    )
    pool_size: int = Field(10, ge=1, le=200, description="connections to the relay, 1 to 200")
    connect_timeout: float = Field(1.0, gt=0, description="seconds to reach the relay")
    timeout: float = Field(30.0, gt=0, description="seconds for one mail as a whole; less than DUNNOCK_LEASE")
    max_age: float = Field(300.0, gt=0, description="seconds that a connection is kept")
    max_idle: float = Field(30.0, gt=0, description="seconds that an idle connection is kept")
    max_mails: int = Field(200, ge=1, description="mails that one connection carries")
    ca_file: str | None = Field(None, description="file of the certificates that the relay's is checked against")
    helo: str | None = Field(None, description="name this machine greets the relay with")
    events: str = Field(
        "",
        pattern="^(|sendgrid|postmark)$",
        description="sendgrid or postmark: mails name their attempt in the header that its events repeat",
    )
    price: Decimal = Field(Decimal("0.0001"), ge=0, description="what one mail costs")

    @property
    def further(self) -> dict[str, Relay]:
        """By name, in failover order."""
        return named_relays(self.more_relays.get_secret_value()) if self.more_relays else {}

    @field_validator("more_relays")
    @classmethod
    def _are_relays(cls, text: SecretStr | None) -> SecretStr | None:
        if text is not None:
            named_relays(text.get_secret_value())
        return text

    @field_validator("url")
    @classmethod
    def _is_a_relay(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            Relay.parse(url.get_secret_value())
        return url


def named_relays(text: str) -> dict[str, Relay]:
    """'second=smtps://... third=smtp://...'; ValueError never shows a URL, which holds a password."""
    relays: dict[str, Relay] = {}
    for place, one in enumerate(text.split(), 1):
        name, _, url = one.partition("=")
        if _NAME.fullmatch(name) is None or name in relays or name == EmailSmtp.provider:
            raise ValueError(
                f"DUNNOCK_SMTP_MORE_RELAYS: relay {place} needs a name of its own, such as second=smtps://host"
            )
        relays[name] = Relay.parse(url, f"DUNNOCK_SMTP_MORE_RELAYS, relay {name}")
    return relays


class _Stale(Exception):
    """A reused connection that the server had closed meanwhile; nothing of this mail was accepted."""


class EmailSmtp:
    name: ClassVar[str] = "email"
    provider: str = "smtp"

    def __init__(self, config: SmtpConfig, *, provider: str = "smtp", relay: Relay | None = None) -> None:
        if config.url is None:
            raise ValueError("DUNNOCK_SMTP_URL is missing: set it to smtps://user:password@host:465")
        self._config = config
        self.provider = provider
        relay = relay or Relay.parse(config.url.get_secret_value())
        self._pool = RelayPool(relay, _limits(config), _tls(config), config.helo)

    @classmethod
    def from_settings(cls) -> Self | None:
        config = SmtpConfig()
        return None if config.url is None else cls(config)

    @classmethod
    def all_from_settings(cls) -> Sequence[Self]:
        """The relay, and those that stand in for it, in this order."""
        config = SmtpConfig()
        if config.url is None:
            return []
        return [cls(config), *(cls(config, provider=name, relay=relay) for name, relay in config.further.items())]

    @property
    def concurrency(self) -> int:
        return self._config.pool_size

    def price(self, to_address: str) -> Decimal:
        return self._config.price

    def cost(self, outgoing: Outgoing) -> Decimal:
        return self._config.price

    async def send(self, outgoing: Outgoing, gate: Gate) -> Outcome:
        try:
            recipient = mailbox(outgoing.to_address)
        except HeaderRefused as error:
            return Rejected(str(error), "address", SuppressReason.INVALID)
        try:
            mail = build_mail(
                _headers(outgoing, recipient, self._config.events), outgoing.rendered, outgoing.attachment
            )
        except HeaderRefused as error:
            return Rejected(str(error), "header")
        progress = _Progress()
        try:
            async with asyncio.timeout(gate.within(self._config.timeout)):
                envelope = _Envelope(outgoing.return_path, recipient, outgoing.attempt_id)
                return await self._hand_over(envelope, mail, gate, progress)
        except Exception as error:  # noqa: BLE001 a port raises nothing: every error is an outcome
            return classify(error, progress.stage)

    async def _hand_over(self, envelope: "_Envelope", mail: bytes, gate: Gate, progress: "_Progress") -> Outcome:
        gate.check()
        while True:
            try:
                async with self._pool.lease() as connection:
                    return await _transaction(connection, envelope, mail, gate, progress)
            except _Stale:
                progress.stage = Stage.CONNECT

    async def probe(self) -> bool:
        try:
            async with asyncio.timeout(self._config.connect_timeout * 2), self._pool.lease() as connection:
                await connection.client.noop()
        except (SMTPException, OSError):
            return False
        return True

    async def close(self) -> None:
        self._pool.drop_idle()


class _Progress:
    """Kept outside the call, so that it survives the exception that ended it."""

    __slots__ = ("stage",)

    def __init__(self) -> None:
        self.stage = Stage.CONNECT


@dataclass(frozen=True, slots=True)
class _Envelope:
    sender: str
    recipient: str
    attempt_id: str


async def _transaction(
    connection: Connection, envelope: _Envelope, mail: bytes, gate: Gate, progress: _Progress
) -> Outcome:
    client = connection.client
    # Here too: whoever waited long for this connection may be past its time, and connecting can swallow the cancellation
    # of the send's own timeout (asyncio.wait_for before Python 3.12), after which nothing would end it.
    try:
        gate.check()
    except GateClosed as error:
        return classify(error, progress.stage)
    progress.stage = Stage.MAIL
    await _mail_from(connection, envelope, len(mail))
    try:
        progress.stage = Stage.RCPT
        _expect(await client.execute_command(b"RCPT", *_rcpt_to(client, envelope.recipient), timeout=None), 250, 251)
        progress.stage = Stage.DATA
        gate.check()
        _expect(await client.execute_command(b"DATA", timeout=None), 354)
    except (Refused, GateClosed) as error:
        return await _leave_clean(client, error, progress.stage)
    # A server may take its time for 354: what waits for the window counts on no hand-off after it. Closing the
    # connection here, before the dot, makes the server drop the mail.
    gate.check()
    progress.stage = Stage.SENT_BODY
    return _accepted(await _body(client, mail))


async def _mail_from(connection: Connection, envelope: _Envelope, size: int) -> None:
    client = connection.client
    options = [b"SIZE=%d" % size] if client.supports_extension("size") else []
    if client.supports_extension("dsn"):
        options += [b"RET=HDRS", b"ENVID=" + envelope.attempt_id.encode("ascii")]
    path = b"FROM:<%s>" % envelope.sender.encode("ascii")
    try:
        answer = await client.execute_command(b"MAIL", path, *options, timeout=None)
    except SMTPServerDisconnected as error:
        if connection.fresh:
            raise
        raise _Stale from error
    if answer.code == 421 and not connection.fresh:
        raise _Stale
    _expect(answer, 250)


def _rcpt_to(client: SMTP, recipient: str) -> list[bytes]:
    """Where the server offers it (RFC 3461), with the request to report a failure or a delay, and no success, and with the
    address by which later servers shall name this recipient in a report."""
    path = b"TO:<%s>" % recipient.encode("ascii")
    if not client.supports_extension("dsn"):
        return [path]
    return [path, b"NOTIFY=FAILURE,DELAY", b"ORCPT=rfc822;" + xtext(recipient)]


def xtext(text: str) -> bytes:
    """As RFC 3461 writes what may hold a plus, an equals sign or a blank."""
    return _NOT_XTEXT.sub(lambda found: b"+%02X" % found[0][0], text.encode("ascii"))


async def _body(client: SMTP, mail: bytes) -> SMTPResponse:
    """The built mail is CRLF and has no line that starts with a dot, so it goes out as it is."""
    if client.protocol is None:
        raise SMTPServerDisconnected("connection lost before the mail was written")
    client.protocol.write(mail + b".\r\n")
    crash_point("after_handoff")
    return await client.protocol.read_response(timeout=None)


async def _leave_clean(client: SMTP, error: Refused | GateClosed, stage: Stage) -> Outcome:
    """An answered refusal leaves the connection in step: reset it and keep it."""
    if client.is_connected:
        with suppress(SMTPException, OSError):
            await client.rset()
    return classify(error, stage)


def _expect(response: SMTPResponse, *codes: int) -> None:
    if response.code not in codes:
        raise Refused(response)


def _accepted(response: SMTPResponse) -> Outcome:
    if response.code != 250:
        return refused(response.code, response.message, Stage.SENT_BODY)
    return Accepted(response.message[:200])


def mailbox(address: str) -> str:
    """The address as it goes on the wire: an international domain in its ASCII form; HeaderRefused if impossible."""
    local, _, domain = address.strip().rpartition("@")
    try:
        wire = f"{local}@{domain if domain.isascii() else domain.encode('idna').decode('ascii')}"
    except UnicodeError:
        wire = ""
    if _SAFE_PATH.fullmatch(wire) is None:
        raise HeaderRefused(f"not an address that SMTP can carry: {address[:80]!r}")
    return wire


def _headers(outgoing: Outgoing, recipient: str, events: str) -> MailHeaders:
    facts = outgoing.facts
    return MailHeaders(
        message_id=outgoing.message_id,
        date=outgoing.sent_at,
        from_name=one_line(facts.creditor_name),
        from_address=facts.email_from,
        to_name=one_line(facts.customer_name),
        to_address=recipient,
        reply_to=facts.reply_to,
        opt_out_url=facts.opt_out_url,
        mark=MARKS[events].format(outgoing.attempt_id) if events else "",
    )


def _limits(config: SmtpConfig) -> PoolLimits:
    return PoolLimits(config.pool_size, config.max_age, config.max_idle, config.max_mails, config.connect_timeout)


def _tls(config: SmtpConfig) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=config.ca_file)
