"""Bounces over real SMTP and LMTP: only to our domain, attempts only by signatures, and 250 only after it is stored."""

import smtplib
from asyncio import StreamReader, open_connection, to_thread
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.dispatcher.adapters.bounce_receiver import BounceConfig, BounceReceiver
from services.dispatcher.domain.bounces import BounceKind
from services.dispatcher.domain.tokens import MessageIds, ReturnPaths
from tests.doubles.bounces import dsn, plain

PATHS = ReturnPaths(b"secret", "bounce.test")
IDS = MessageIds(b"secret", "bounce.test")
MEBIBYTE = 1024 * 1024


@dataclass
class Store:
    bounces: list[tuple[int, int, BounceKind, str]] = field(default_factory=list)
    others: list[tuple[str, BounceKind, tuple[int, int] | None]] = field(default_factory=list)
    broken: bool = False
    full: bool = False

    async def __call__(
        self, reminder_id: int, fence: int, kind: BounceKind, detail: str, mail: bytes, failed: str
    ) -> bool:
        if self.broken:
            raise ConnectionError("database away")
        self.bounces.append((reminder_id, fence, kind, detail))
        return True

    async def unsigned(
        self, recipient: str, kind: BounceKind, detail: str, mail: bytes, failed: str, about: tuple[int, int] | None
    ) -> bool:
        self.others.append((recipient, kind, about))
        return not self.full


@asynccontextmanager
async def receiving(store: Store, **changes: Any) -> AsyncIterator[BounceReceiver]:
    receiver = BounceReceiver(BounceConfig(listen="127.0.0.1:0", **changes), PATHS, IDS, store)
    await receiver.start()
    try:
        yield receiver
    finally:
        await receiver.close()


def deliver(port: int, to: str, mail: bytes, client: type[smtplib.SMTP] = smtplib.SMTP) -> tuple[int, bytes]:
    """The answer to the final dot, or the first refusal."""
    with client("127.0.0.1", port, timeout=5) as peer:
        peer.ehlo_or_helo_if_needed()
        peer.mail("")
        code, said = peer.rcpt(to)
        return peer.data(mail) if code == 250 else (code, said)


async def test_a_hard_bounce_is_stored_for_the_attempt_of_its_return_path() -> None:
    store = Store()
    async with receiving(store) as receiver:
        answer = await to_thread(deliver, receiver.port, PATHS.make(12, 3), dsn("5.1.1", "550 5.1.1 user unknown"))

    assert (250, b"2.0.0 noted") == answer
    [(reminder, fence, kind, detail)] = store.bounces
    assert (12, 3, BounceKind.HARD) == (reminder, fence, kind)
    assert "user unknown" in detail


async def test_lmtp_works_the_same() -> None:
    store = Store()
    async with receiving(store, protocol="lmtp") as receiver:
        answer = await to_thread(deliver, receiver.port, PATHS.make(12, 3), dsn("5.2.2", "full"), smtplib.LMTP)

    assert 250 == answer[0]
    assert [BounceKind.SOFT] == [kind for *_, kind, _ in store.bounces]


async def test_what_could_not_be_stored_comes_again() -> None:
    store = Store(broken=True)
    async with receiving(store) as receiver:
        answer = await to_thread(deliver, receiver.port, PATHS.make(12, 3), dsn("5.1.1", "unknown"))

    assert 451 == answer[0]
    assert [] == store.bounces


@pytest.mark.parametrize("to", ["postmaster@bounce.test", "b+12.3.aaaaaaaaaaaaaaaaaaaa@Bounce.test"])
async def test_what_comes_to_no_signed_return_path_is_taken_and_belongs_to_no_attempt(to: str) -> None:
    store = Store()
    async with receiving(store) as receiver:
        answer = await to_thread(deliver, receiver.port, to, dsn("5.1.1", "unknown"))

    assert (250, []) == (answer[0], store.bounces)
    assert [(to, BounceKind.HARD, None)] == store.others


@pytest.mark.parametrize(("secret", "about"), [(b"secret", (12, 5)), (b"another", None)])
async def test_a_report_that_repeats_our_message_id_names_its_mail_only_by_its_signature(
    secret: bytes, about: tuple[int, int] | None
) -> None:
    store = Store()
    original = MessageIds(secret, "bounce.test").make(12, 5)
    mail = dsn("5.1.1", "user unknown").replace(b"Subject: Factura", f"Message-ID: {original}".encode())
    async with receiving(store) as receiver:
        await to_thread(deliver, receiver.port, "postmaster@bounce.test", mail)

    assert [("postmaster@bounce.test", BounceKind.HARD, about)] == store.others


async def test_our_message_id_in_the_text_of_a_mail_names_nothing() -> None:
    store = Store()
    async with receiving(store) as receiver:
        mail = plain("Undeliverable", f"Message-ID: {IDS.make(12, 5)}\nno such user", In_Reply_To=IDS.make(12, 5))
        await to_thread(deliver, receiver.port, "postmaster@bounce.test", mail)

    assert [("postmaster@bounce.test", BounceKind.HARD, None)] == store.others


async def test_too_many_mails_are_told_to_come_later() -> None:
    async with receiving(Store(full=True)) as receiver:
        answer = await to_thread(deliver, receiver.port, "postmaster@bounce.test", plain("Hello", "Buy"))

    assert (452, b"4.3.1 too many such mails today, come again tomorrow") == answer


async def test_mail_for_another_domain_is_refused() -> None:
    store = Store()
    async with receiving(store) as receiver:
        answer = await to_thread(deliver, receiver.port, "ana@customer.test", dsn("5.1.1", "unknown"))

    assert (550, []) == (answer[0], store.others)


async def test_a_mail_over_the_limit_is_refused() -> None:
    store = Store()
    async with receiving(store, max_bytes=10_000) as receiver:
        answer = await to_thread(deliver, receiver.port, PATHS.make(1, 1), dsn("5.1.1", "x") + b"a\r\n" * 10_000)

    assert 552 == answer[0]
    assert [] == store.bounces


async def test_connections_over_the_limit_are_told_to_come_later() -> None:
    async with receiving(Store(), max_connections=2) as receiver:
        peers = [await open_connection("127.0.0.1", receiver.port) for _ in range(3)]
        greetings = [await _line(reader) for reader, _ in peers]
        for _, writer in peers:
            writer.close()

    assert [b"220", b"220", b"421"] == [greeting[:3] for greeting in greetings]


async def _line(reader: StreamReader) -> bytes:
    return await reader.readline()


async def test_a_line_without_end_is_cut_off() -> None:
    """Nothing of it could be kept, and all of it would be in memory until its time is over."""
    async with receiving(Store()) as receiver:
        reader, writer = await open_connection("127.0.0.1", receiver.port)
        for line in ("EHLO peer", "MAIL FROM:<>", f"RCPT TO:<{PATHS.make(12, 3)}>", "DATA"):
            writer.write(f"{line}\r\n".encode())
        await reader.readuntil(b"354 ")
        sent = 0
        with suppress(ConnectionError):
            while sent < 64 * MEBIBYTE:
                writer.write(b"x" * MEBIBYTE)
                await writer.drain()
                sent += MEBIBYTE
        writer.close()

    assert sent < 64 * MEBIBYTE
