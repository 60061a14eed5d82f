"""What every kind of webhook keeps, whatever its signature and its words: one suite for all of them."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI

from services.payments.adapters.registry import WEBHOOKS
from tests import factories
from tests.contract.webhook_senders import SECRETS, SENDERS, STRANGER, Sender, message, signed
from tests.integration.payments_running import BEARER, Payments, payments_running


@dataclass
class Line:
    """A sender whose source is set up, speaking to a service."""

    payments: Payments
    sender: Sender
    kind: str

    async def put(self, **changed: Any) -> None:
        settings = {**self.sender.settings, **changed}
        answer = await self.payments.http.put("/v1/sources/line", json=settings, headers=BEARER)
        assert answer.status_code in (200, 201), answer.text

    async def say(
        self, kind: str, payment: str, cents: int, invoice: str | None = None, event: str | None = None
    ) -> httpx.Response:
        return await self.send(self.sender.say(kind, payment, cents, invoice), event or factories.unique("evt"))

    async def send(
        self, body: dict[str, Any], event: str, *, secret: str = SECRETS[0], at: float | None = None
    ) -> httpx.Response:
        raw = message(self.sender, body, event)
        return await self.post(raw, signed(self.sender, secret, raw, event, at))

    async def post(self, raw: bytes, headers: dict[str, str]) -> httpx.Response:
        return await self.payments.http.post("/v1/webhooks/line", content=raw, headers=headers)


@pytest.fixture(params=sorted(SENDERS))
async def line(request: pytest.FixtureRequest, database_dsn: str, tmp_path: Path) -> AsyncIterator[Line]:
    async with payments_running(database_dsn, tmp_path, window=0.2) as running:
        made = Line(running, SENDERS[request.param], request.param)
        await made.put()
        yield made


def test_every_kind_is_tried_here() -> None:
    assert set(SENDERS) == set(WEBHOOKS)


async def test_what_is_paid_is_booked_on_the_invoice_that_it_names(line: Line) -> None:
    made = await factories.invoice(line.payments.owner, reminders=1)
    answer = await line.say("confirmed", "pay-1", 10_000, made.ref)
    assert (answer.status_code, answer.json()) == (200, {"payment_id": "pay-1", "result": "applied", "repeated": False})
    assert await line.payments.open_amounts(made.id) == [Decimal(0)]
    assert await line.payments.reminders(made.id) == [("step-0", "cancelled", "paid")]


async def test_the_same_event_again_has_no_effect(line: Line) -> None:
    made = await factories.invoice(line.payments.owner)
    for repeated in (False, True):
        answer = await line.say("confirmed", "pay-1", 4_000, made.ref, event="evt-1")
        assert (answer.status_code, answer.json()["repeated"]) == (200, repeated)
    assert await line.payments.open_amounts(made.id) == [Decimal(60)]


async def test_what_is_taken_back_opens_the_invoice_again_in_either_order(line: Line) -> None:
    for order in (["confirmed", "reversed"], ["reversed", "confirmed"]):
        made = await factories.invoice(line.payments.owner)
        for kind in order:
            cents = 10_000 if kind == "confirmed" else 3_000
            assert (await line.say(kind, f"pay-{made.ref}", cents, made.ref)).status_code in (200, 202)
        assert await line.payments.open_amounts(made.id) == [Decimal(30)], order


async def test_an_invoice_that_is_not_known_yet_is_a_202_and_the_money_waits(line: Line) -> None:
    answer = await line.say("confirmed", "pay-1", 10_000, "NOT-YET")
    assert (answer.status_code, answer.json()["reason"]) == (202, "unknown_invoice")
    assert await line.payments.counts() == (1, 1)


async def test_money_under_way_holds_the_reminders_until_it_comes_or_fails(line: Line) -> None:
    for end in ("confirmed", "failed"):
        made = await factories.invoice(line.payments.owner, ("200.00",), reminders=1)
        assert (await line.say("pending", f"pay-{made.ref}", 10_000, made.ref)).status_code == 200
        assert await holds(line, made.id) == ["in_flight"]
        assert await line.payments.open_amounts(made.id) == [Decimal(200)]
        assert (await line.say(end, f"pay-{made.ref}", 10_000, made.ref)).status_code == 200
        assert await holds(line, made.id) == [], end
        assert await line.payments.open_amounts(made.id) == [Decimal(100 if end == "confirmed" else 200)]


async def test_what_was_settled_before_it_is_said_to_be_under_way_holds_nothing(line: Line) -> None:
    made = await factories.invoice(line.payments.owner, ("200.00",))
    for kind in ("confirmed", "pending"):
        await line.say(kind, "pay-1", 10_000, made.ref)
    assert await holds(line, made.id) == []


async def test_a_failed_try_does_not_spoil_the_next_one(line: Line) -> None:
    made = await factories.invoice(line.payments.owner)
    for kind in ("pending", "failed", "pending", "confirmed"):
        await line.say(kind, "pay-1", 10_000, made.ref)
    assert await line.payments.open_amounts(made.id) == [Decimal(0)]


async def test_forged_tampered_old_and_stripped_ones_are_one_and_the_same_401(line: Line) -> None:
    body = line.sender.say("confirmed", "pay-1", 10_000, None)
    raw = message(line.sender, body, "e1")
    right = signed(line.sender, SECRETS[0], raw, "e1")
    tries = [
        (raw, signed(line.sender, STRANGER, raw, "e1")),
        (raw, signed(line.sender, SECRETS[0], raw, "e1", time.time() - 400)),
        (raw, signed(line.sender, SECRETS[0], raw, "e1", time.time() + 400)),
        (raw.replace(b"pay-1", b"pay-2"), right),
        (raw, {}),
        *((raw, {**right, name: ""}) for name in right if name != "content-type"),
        *((raw, {**right, name: "\u00e9,;=" * 9}) for name in right if name != "content-type"),
    ]
    details = set()
    for content, headers in tries:
        encoded = {name: value.encode("latin-1") for name, value in headers.items()}
        answer = await line.post(content, encoded)  # type: ignore[arg-type]
        assert answer.status_code == 401, headers
        details.add(answer.json()["detail"])
    assert len(details) == 1
    assert await line.payments.counts() == (0, 0)


async def test_two_secrets_work_while_they_rotate_and_the_old_one_stops(line: Line) -> None:
    said = line.sender.say("confirmed", "pay-1", 100, None)
    await line.put(secrets=list(SECRETS))
    assert [(await line.send(said, f"e-{n}", secret=secret)).status_code for n, secret in enumerate(SECRETS)] == [
        202,
        202,
    ]
    await line.put(secrets=[SECRETS[1]])
    assert (await line.send(said, "e-3", secret=SECRETS[0])).status_code == 401
    assert (await line.send(said, "e-3", secret=SECRETS[1])).status_code == 202


async def test_only_allowed_addresses_may_speak_where_a_list_is_set(line: Line) -> None:
    said = line.sender.say("confirmed", "pay-1", 100, None)
    app: FastAPI = line.payments.http._transport.app  # type: ignore[attr-defined]
    await line.put(allow=["203.0.113.0/24", "2001:db8::/32"])
    for host, status in (("203.0.113.9", 202), ("198.51.100.1", 401), ("2001:db8::9", 202), ("no-address", 401)):
        transport = httpx.ASGITransport(app, client=(host, 1234))
        async with httpx.AsyncClient(base_url="http://test", transport=transport) as http:
            elsewhere = replace(line, payments=replace(line.payments, http=http))
            assert (await elsewhere.send(said, f"e-{host}")).status_code == status, host


async def test_what_is_not_about_a_payment_is_acknowledged_and_leaves_nothing(line: Line) -> None:
    if line.sender.never is None:
        return
    answer = await line.send(line.sender.never, "e1")
    assert (answer.status_code, answer.json()) == (200, {"result": "ignored"})
    assert await line.payments.counts() == (0, 0)


@pytest.mark.parametrize("raw", [b"{", b"", b"[" * 100, b"\xff", b'{"a": NaN}', b'{"a": 1, "a": 2}'])
async def test_signed_rubbish_is_a_400_and_leaves_nothing(line: Line, raw: bytes) -> None:
    if line.kind == "standard_webhook" and raw == b"\xff":
        return  # the package that signs here takes text only
    answer = await line.post(raw, signed(line.sender, SECRETS[0], raw, "e1"))
    assert answer.status_code == 400
    assert await line.payments.counts() == (0, 0)


@pytest.mark.parametrize("value", [[], 1, None, "x", {}])
async def test_signed_json_that_says_something_else_is_never_an_error_of_ours(line: Line, value: Any) -> None:
    raw = orjson.dumps(value)
    answer = await line.post(raw, signed(line.sender, SECRETS[0], raw, "e1"))
    assert answer.status_code in (200, 422), answer.text
    assert await line.payments.counts() == (0, 0)


async def test_what_lacks_something_is_a_422_that_says_what(line: Line) -> None:
    answer = await line.send(line.sender.wrong, "e1")
    assert (answer.status_code, bool(answer.json()["errors"][0]["detail"])) == (422, True)
    assert await line.payments.counts() == (0, 0)


async def test_secrets_never_come_out(line: Line) -> None:
    shown = await line.payments.get("/v1/sources/line")
    assert (shown["kind"], shown["secrets"]) == (line.kind, 1)
    assert SECRETS[0] not in str(shown)


async def test_the_body_is_kept_as_evidence_to_the_byte(line: Line) -> None:
    raw = message(line.sender, line.sender.say("confirmed", "pay-1", 100, None), "e1").replace(b": ", b":  ", 1)
    assert (await line.post(raw, signed(line.sender, SECRETS[0], raw, "e1"))).status_code == 202
    assert await line.payments.owner.fetchval("SELECT body FROM payment_event") == raw


async def holds(line: Line, invoice_id: int) -> list[str]:
    rows = await line.payments.owner.fetch(
        "SELECT kind FROM hold WHERE invoice_id = $1 AND released_at IS NULL AND until > business_now()", invoice_id
    )
    return [row[0] for row in rows]
