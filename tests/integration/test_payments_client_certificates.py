"""A source that asks for its sender's certificate: what the trusted proxy saw counts, what anybody writes does not."""

import asyncio
import base64
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest

from shared.web.proxies import BehindProxies
from shared.web.server import make_server
from tests import factories
from tests.certificates import Certified, certified
from tests.integration.payments_running import BEARER, Payments, event, headers, new_secret, payments_running

PROXY, STRANGER = "10.20.0.5", "203.0.113.9"
AUTHORITY, ANOTHER = (certified("Bank Root", authority=True) for _ in range(2))
BANK = certified("webhooks.bank.example", by=AUTHORITY, also=("hooks.bank.example",))


def rfc_9440(one: Certified) -> dict[str, str]:
    return {"Client-Cert": f":{base64.b64encode(one.der).decode()}:"}


def nginx(one: Certified, name: str = "X-SSL-Client-Cert") -> dict[str, str]:
    return {name: quote(one.pem)}


@dataclass
class Line:
    """A source `bank` that asks for a certificate, behind the proxies of 10.20.0.0/16."""

    payments: Payments
    secret: str

    async def asks(self, **certificate: Any) -> httpx.Response:
        put = {"kind": "standard_webhook", "secrets": [self.secret], "client_certificate": certificate}
        return await self.payments.http.put("/v1/sources/bank", json=put, headers=BEARER)

    async def say(
        self, shown: dict[str, str] | list[tuple[str, str]], *, peer: str = PROXY, secret: str | None = None
    ) -> httpx.Response:
        body = orjson.dumps(event("confirmed", factories.unique("p"), "1.00"))
        signed = headers(secret or self.secret, body, factories.unique("msg"))
        transport = httpx.ASGITransport(BehindProxies(self.payments.app, ["10.20.0.0/16"]), client=(peer, 4711))
        sent = [*signed.items(), *(shown.items() if isinstance(shown, dict) else shown)]
        async with httpx.AsyncClient(base_url="http://test", transport=transport) as http:
            return await http.post("/v1/webhooks/bank", content=body, headers=sent)


@pytest.fixture
async def line(database_dsn: str, tmp_path: Path) -> AsyncIterator[Line]:
    async with payments_running(database_dsn, tmp_path) as payments:
        yield Line(payments, new_secret())


WAYS = {
    "client-cert": rfc_9440,
    "x-ssl-client-cert": nginx,
    "ssl-client-cert": lambda one: nginx(one, "Ssl-Client-Cert"),
}


@pytest.mark.parametrize("header", WAYS)
async def test_the_certificate_of_the_fingerprint_is_heard_however_the_proxy_writes_it(line: Line, header: str) -> None:
    written = ":".join(BANK.fingerprint[at : at + 2] for at in range(0, 64, 2)).upper()  # as openssl prints it
    assert (await line.asks(header=header, fingerprints=[written])).status_code == 200
    assert (await line.say(WAYS[header](BANK))).status_code == 202
    other = await line.say(WAYS[header](certified("webhooks.bank.example")))
    assert (other.status_code, "none of this source's" in other.json()["detail"]) == (403, True)


@pytest.mark.parametrize("name", ["webhooks.bank.example", "hooks.bank.example"])
async def test_a_name_counts_in_what_the_sources_authority_has_signed(line: Line, name: str) -> None:
    await line.asks(authorities=[ANOTHER.pem, AUTHORITY.pem], names=[name])
    assert (await line.say(rfc_9440(BANK))).status_code == 202
    for wrong in (
        certified(name),
        certified(name, by=certified("Bank Root"), also=(name,)),
        certified("other.example", by=AUTHORITY),
        certified(name, by=AUTHORITY, days=(-30, -1)),
        certified(name, by=AUTHORITY, days=(1, 30)),
    ):
        assert (await line.say(rfc_9440(wrong))).status_code == 403


async def test_a_header_from_anywhere_but_the_trusted_proxy_changes_nothing(line: Line) -> None:
    await line.asks(fingerprints=[BANK.fingerprint])
    forged = await line.say(rfc_9440(BANK), peer=STRANGER)
    assert (forged.status_code, "trusted proxy" in forged.json()["detail"]) == (403, True)
    pretending = await line.say({**rfc_9440(BANK), "X-Forwarded-For": PROXY}, peer=STRANGER)
    assert pretending.status_code == 403
    assert await line.payments.counts() == (0, 0)


@pytest.mark.parametrize(
    ("shown", "says"),
    [
        ({}, "showed no client certificate"),
        ({"Client-Cert": ""}, "showed no client certificate"),
        ([*rfc_9440(BANK).items(), *rfc_9440(BANK).items()], "showed no client certificate"),
        ({"Client-Cert": ":bm90IGEgY2VydA==:"}, "holds no certificate"),
        ({"Client-Cert": "::"}, "holds no certificate"),
        ({"Client-Cert": base64.b64encode(BANK.der).decode()}, "holds no certificate"),
        (nginx(BANK, "Client-Cert"), "holds no certificate"),
        ({"Client-Cert": f":{'A' * 20_000}:"}, "holds no certificate"),
        (nginx(BANK), "showed no client certificate"),
    ],
    ids=["none", "empty", "two", "not one", "nothing", "bare", "another form", "huge", "another header"],
)
async def test_what_is_wrong_with_the_header_is_said(line: Line, shown: Any, says: str) -> None:
    await line.asks(fingerprints=[BANK.fingerprint])
    answer = await line.say(shown)
    assert (answer.status_code, says in answer.json()["detail"]) == (403, True), answer.text
    assert await line.payments.counts() == (0, 0)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05"),
        (b"\x2a\x86\x48\xce\x3d\x04\x03\x02", b"\x2a\x86\x48\xce\x3d\x04\x03\x7f"),
    ],
    ids=["of a version that there is not", "signed in a way that nobody knows"],
)
async def test_an_odd_certificate_is_refused_like_any_other(line: Line, right: bytes, wrong: bytes) -> None:
    await line.asks(authorities=[AUTHORITY.pem], names=["webhooks.bank.example"])
    assert right in BANK.der
    odd = base64.b64encode(BANK.der.replace(right, wrong)).decode()
    assert (await line.say({"Client-Cert": f":{odd}:"})).status_code == 403


async def test_who_does_not_hold_the_secret_hears_nothing_of_certificates(line: Line) -> None:
    await line.asks(fingerprints=[BANK.fingerprint])
    answer = await line.say({}, secret=new_secret())
    assert (answer.status_code, "certificate" in answer.text) == (401, False)


async def test_a_source_that_asks_for_none_ignores_what_is_shown(line: Line) -> None:
    put = {"kind": "standard_webhook", "secrets": [line.secret]}
    await line.payments.http.put("/v1/sources/bank", json=put, headers=BEARER)
    assert (await line.say({"Client-Cert": "rubbish"}, peer=STRANGER)).status_code == 202


@pytest.mark.parametrize(
    ("asked", "at"),
    [
        ({}, "/client_certificate"),
        ({"names": ["bank.example"]}, "/client_certificate"),
        ({"fingerprints": ["ab:cd"]}, "/client_certificate/fingerprints/0"),
        ({"names": ["a"], "authorities": ["-----BEGIN NOTHING-----"]}, "/client_certificate/authorities/0"),
        ({"fingerprints": [BANK.fingerprint], "header": "authorization"}, "/client_certificate/header"),
    ],
    ids=["nothing", "a name alone", "too short", "no certificate", "any header"],
)
async def test_what_would_let_in_everybody_or_nobody_is_refused(line: Line, asked: dict[str, Any], at: str) -> None:
    answer = await line.asks(**asked)
    assert (answer.status_code, at in answer.text) == (422, True)


async def test_the_proxys_word_counts_beside_the_list_of_addresses(line: Line) -> None:
    put = {"kind": "standard_webhook", "secrets": [line.secret], "allow": ["198.51.100.7"]}
    await line.payments.http.put(
        "/v1/sources/bank", json=put | {"client_certificate": {"fingerprints": [BANK.fingerprint]}}, headers=BEARER
    )
    assert (await line.say({**rfc_9440(BANK), "X-Forwarded-For": "198.51.100.7"})).status_code == 202
    assert (await line.say({**rfc_9440(BANK), "X-Forwarded-For": "198.51.100.8"})).status_code == 401


@pytest.mark.parametrize(("proxies", "status"), [("127.0.0.1", 202), ("10.0.0.0/8", 403)], ids=["ours", "another"])
async def test_the_server_as_it_runs_believes_its_proxies_alone(line: Line, proxies: str, status: int) -> None:
    await line.asks(fingerprints=[BANK.fingerprint])
    body = orjson.dumps(event("confirmed", factories.unique("p"), "1.00"))
    signed = headers(line.secret, body, factories.unique("msg")) | rfc_9440(BANK)
    bound = socket.create_server(("127.0.0.1", 0))
    server = make_server(line.payments.app, "127.0.0.1", 0, trusted_proxies=[proxies], grace=1)
    serving = asyncio.create_task(server.serve([bound]))
    try:
        async with httpx.AsyncClient(timeout=60) as http:
            answer = await http.post(
                f"http://127.0.0.1:{bound.getsockname()[1]}/v1/webhooks/bank", content=body, headers=signed
            )
    finally:
        server.should_exit = True
        await serving
    assert answer.status_code == status, answer.text


async def test_a_tls_handshake_gives_what_the_proxy_hands_on(line: Line, tmp_path: Path) -> None:
    """A TLS server that asks for a certificate, as the proxy is one: what it sees of the sender is what we judge."""
    proxy = certified("127.0.0.1", also=("localhost",))
    await line.asks(authorities=[AUTHORITY.pem], names=["hooks.bank.example"])
    seen = await _handshake(proxy, BANK, tmp_path)
    assert (await line.say({"Client-Cert": f":{base64.b64encode(seen).decode()}:"})).status_code == 202


async def _handshake(server: Certified, client: Certified, folder: Path) -> bytes:
    """The client's certificate as the server sees it, without a socket."""
    there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    there.load_cert_chain(*_files(server, folder / "server"))
    there.load_verify_locations(cadata=AUTHORITY.pem)
    there.verify_mode = ssl.CERT_REQUIRED
    here = ssl.create_default_context(cadata=server.pem)
    here.check_hostname = False
    here.verify_mode = ssl.CERT_NONE  # the proxy's own certificate is not what is tried here
    here.load_cert_chain(*_files(client, folder / "client"))
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    accepting, calling = there.wrap_bio(up, down, server_side=True), here.wrap_bio(down, up)
    for _ in range(10):
        for end in (calling, accepting):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    shown = accepting.getpeercert(binary_form=True)
    assert shown
    return shown


def _files(one: Certified, at: Path) -> tuple[Path, Path]:
    pem, key = at.with_suffix(".pem"), at.with_suffix(".key")
    pem.write_text(one.pem)
    key.write_text(one.key_pem)
    return pem, key
