"""Guarded calls over real sockets: what is connected to, what is followed, and how much is read."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.outgoing import (
    LOOPBACK,
    Allowed,
    AnswerPacked,
    AnswerTooLarge,
    AnswerTooSlow,
    Guard,
    HostNotFound,
    TargetRefused,
    guarded_client,
)
from tests.doubles.http_answers import answering, says

HOME = Allowed.parse(LOOPBACK)


class Resolver:
    """Answers from a list, one entry a question; the last one stays."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def test_a_name_that_turns_inward_between_two_calls_is_refused_before_anything_is_sent() -> None:
    reached: list[bytes] = []

    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        reached.append(head)

    resolver = Resolver(["93.184.215.14"], ["127.0.0.1"])
    guard = Guard(Allowed(), resolver)
    async with answering(answer) as port, guarded_client(guard) as client:
        await guard.check_url(f"https://rebinding.example:{port}/")  # saved while it was public
        with pytest.raises(TargetRefused, match="loopback"):
            await client.get(f"https://rebinding.example:{port}/")
    assert resolver.asked == ["rebinding.example"] * 2
    assert reached == []


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to() -> None:
    """One look-up a connection: had httpx resolved again, the name would not exist."""
    resolver = Resolver(["127.0.0.1"])
    async with answering(says("200 OK", b"yes")) as port, guarded_client(Guard(HOME, resolver)) as client:
        for _ in range(3):
            assert (await client.get(f"http://only-we-know.example:{port}/")).content == b"yes"
    assert resolver.asked == ["only-we-know.example"]


async def test_tls_and_the_host_header_keep_the_name(tmp_path: Path) -> None:
    heads: list[bytes] = []
    names: list[str | None] = []

    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        await says("200 OK")(head, writer)

    offered, trusted = certificate("erp.example", tmp_path)
    offered.sni_callback = lambda _socket, name, _context: names.append(name)
    guard = Guard(HOME, Resolver(["127.0.0.1"]))
    async with answering(answer, offered) as port, guarded_client(guard, tls=trusted) as client:
        await client.get(f"https://erp.example:{port}/x")
        with pytest.raises(httpx.ConnectError, match=r"other\.example"):
            await client.get(f"https://other.example:{port}/x")
    assert names == ["erp.example", "other.example"]
    assert f"host: erp.example:{port}\r\n".encode() in heads[0].lower()
    assert len(heads) == 1


async def test_a_redirect_is_an_answer_and_never_followed() -> None:
    redirecting = says("302 Found\r\nLocation: http://169.254.169.254/latest/")
    async with answering(redirecting) as port, guarded_client(Guard(HOME)) as client:
        answer = await client.get(f"http://127.0.0.1:{port}/")
        assert answer.status_code == 302
        with pytest.raises(TargetRefused, match="link-local"):  # not even by a caller who asks for it
            await client.get(f"http://127.0.0.1:{port}/", follow_redirects=True)


async def test_without_tls_only_allowed_addresses_are_called() -> None:
    async with guarded_client(Guard(Allowed(), Resolver(["93.184.215.14"]))) as client:
        with pytest.raises(TargetRefused, match="without TLS"):
            await client.get("http://api.example/")


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with answering(says("204 No Content")) as port, guarded_client(Guard(HOME)) as client:
        assert (await client.get(f"http://127.0.0.1:{port}/")).status_code == 204


@pytest.mark.parametrize("chunked", [False, True])
async def test_no_more_is_read_than_the_caller_takes(chunked: bool) -> None:
    written = 0

    async def endless(_: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 1000000000"
        writer.write(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        piece = b"x" * 65536
        while True:
            writer.write(b"10000\r\n" + piece + b"\r\n" if chunked else piece)
            await writer.drain()
            written += len(piece)

    async with answering(endless) as port, guarded_client(Guard(HOME), max_bytes=100_000) as client:
        with pytest.raises(AnswerTooLarge, match="100000 bytes"):
            await client.get(f"http://127.0.0.1:{port}/")
    assert written < 50_000_000


async def test_an_answer_that_comes_byte_by_byte_ends_in_time() -> None:
    async def dripping(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    began = asyncio.get_running_loop().time()
    async with answering(dripping) as port, guarded_client(Guard(HOME), timeout=0.5) as client:
        with pytest.raises(AnswerTooSlow, match=r"0\.5 seconds"):
            await client.get(f"http://127.0.0.1:{port}/")
    assert asyncio.get_running_loop().time() - began < 5


async def test_headers_that_never_end_are_too_slow_as_well() -> None:
    async def dripping(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(1000):
            writer.write(f"X-{number}: x\r\n".encode())
            await writer.drain()
            await asyncio.sleep(0.02)

    async with answering(dripping) as port, guarded_client(Guard(HOME), timeout=0.5) as client:
        with pytest.raises(AnswerTooSlow):
            await client.get(f"http://127.0.0.1:{port}/")


async def test_a_packed_answer_is_refused_before_it_is_unpacked() -> None:
    async with (
        answering(says("200 OK\r\nContent-Encoding: gzip", b"\x1f\x8b")) as port,
        guarded_client(Guard(HOME)) as client,
    ):
        with pytest.raises(AnswerPacked):
            await client.get(f"http://127.0.0.1:{port}/")


async def test_name_servers_that_do_not_answer_cost_the_connect_timeout() -> None:
    async def silent(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        raise AssertionError

    async with guarded_client(Guard(HOME, silent), connect_timeout=0.2) as client:
        with pytest.raises(httpx.ConnectTimeout, match="name servers"):
            await client.get("https://api.example/")


async def test_a_host_that_does_not_exist_is_named() -> None:
    async with guarded_client(Guard(HOME, Resolver([]))) as client:
        with pytest.raises(HostNotFound, match=r"'api\.example' has no address"):
            await client.get("https://api.example/")


async def test_the_next_address_is_tried_when_the_first_refuses() -> None:
    async with answering(says("200 OK", b"second")) as port:
        guard = Guard(HOME, Resolver(["127.0.0.2", "127.0.0.1"]))
        async with guarded_client(guard) as client:
            assert (await client.get(f"http://two.example:{port}/")).content == b"second"


def certificate(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's context, for a certificate of this name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    offered = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    offered.load_cert_chain(file)
    trusted = ssl.create_default_context(cadata=made.public_bytes(serialization.Encoding.PEM).decode())
    return offered, trusted
