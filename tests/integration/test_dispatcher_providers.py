"""Providers of one channel: failover, breaker, rate and price, for the whole deployment; and a channel that is added."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar, Self

import pytest
from pydantic import SecretStr
from twilio.request_validator import RequestValidator

from services.dispatcher.adapters import registry
from services.dispatcher.adapters.email_smtp import EmailSmtp, SmtpConfig
from services.dispatcher.domain.outcomes import Accepted, NotSent, Outcome
from services.dispatcher.domain.ports import Gate, Outgoing
from services.dispatcher.handlers.senders import Senders
from services.dispatcher.wiring import configured
from shared.db.engine import Database
from shared.flow import Flow
from shared.routing import ContactKind
from tests import factories
from tests.doubles.smtp_sink import SmtpSink, smtp_sink
from tests.integration.dispatcher_running import PUBLIC, TOKEN, Dispatcher, running

PHONE = "+4915112345678"
DELIVERED = {"MessageSid": "SM1", "MessageStatus": "delivered"}
BLOCKED = "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'channel'::regclass AND NOT granted)"
CLOSED = "SELECT open_until IS NULL FROM provider_state WHERE channel = $1 AND name = $2"


@dataclass
class Fax:
    """What adding a channel takes: an adapter like this in a file, and its line in the registry."""

    name: ClassVar[str] = "fax"
    provider: str = "acme"
    reaches: ClassVar[ContactKind] = ContactKind.PHONE
    concurrency: int = 5
    taken: list[str] = field(default_factory=list)
    answers: list[Outcome] = field(default_factory=list)
    answering: bool = True

    @classmethod
    def from_settings(cls) -> Self | None:
        return cls()

    def price(self, to_address: str) -> Decimal:
        return Decimal("0.02")

    def cost(self, outgoing: Outgoing) -> Decimal:
        return Decimal("0.04")

    async def send(self, outgoing: Outgoing, gate: Gate) -> Outcome:
        if self.answers:
            return self.answers.pop(0)
        self.taken.append(outgoing.to_address)
        return Accepted(f"F{len(self.taken)}")

    async def probe(self) -> bool:
        return self.answering

    async def close(self) -> None:
        return None


@dataclass
class Two:
    """A dispatcher with two relays; mails go to `first`, and to `second` when it fails."""

    dispatcher: Dispatcher
    first: SmtpSink
    second: SmtpSink


@asynccontextmanager
async def two_relays(dsn: str, folder: Path) -> AsyncIterator[Two]:
    async with smtp_sink() as first, smtp_sink() as second:
        config = SmtpConfig(
            url=SecretStr(f"smtp://127.0.0.1:{first.port}"),
            more_relays=SecretStr(f"second=smtp://127.0.0.1:{second.port}"),
            timeout=5.0,
        )
        relays = [EmailSmtp(config), EmailSmtp(config, provider="second", relay=config.further["second"])]
        async with running(dsn, folder, channels=("sms",), further=relays) as dispatcher:
            yield Two(dispatcher, first, second)


@pytest.fixture
async def two(database_dsn: str, tmp_path: Path) -> AsyncIterator[Two]:
    async with two_relays(database_dsn, tmp_path) as made:
        yield made


async def put(dispatcher: Dispatcher, channel: str, *providers: dict[str, Any], **rest: Any) -> Any:
    answer = await dispatcher.http.put(f"/v1/channels/{channel}", json={"providers": list(providers), **rest})
    assert 200 == answer.status_code, answer.text
    return answer.json()


async def health(dispatcher: Dispatcher, channel: str) -> dict[str, dict[str, Any]]:
    items = (await dispatcher.http.get("/v1/channels")).json()["items"]
    [found] = [item for item in items if item["channel"] == channel]
    return {one["provider"]: one["health"] for one in found["providers"]}


async def fax_flow(dispatcher: Dispatcher, *, phone: str = PHONE, channels: tuple[str, ...] = ("fax",)) -> int:
    _, reminder = await dispatcher.due(phone=phone)
    step = {"id": "overdue", "when": {"on": "due"}, "message": "overdue", "channels": list(channels)}
    flow = await dispatcher.owner.fetchval(
        "INSERT INTO flow_version (name, version, spec) VALUES ($1, 1, $2) RETURNING id",
        factories.unique("f"),
        Flow.parse({"name": "faxes", "steps": [step]}).to_dict(),
    )
    await dispatcher.owner.execute("UPDATE reminder SET flow_version_id = $1 WHERE id = $2", flow, reminder)
    return reminder


async def test_mails_go_through_the_second_relay_when_the_first_is_misconfigured_and_nobody_is_burnt(two: Two) -> None:
    two.first.script["MAIL"] = "550 5.7.1 sender not allowed here"
    dispatcher = two.dispatcher
    ids = [(await dispatcher.due(phone=f"+49151123456{n:02d}"))[1] for n in range(12)]
    await dispatcher.publish(*ids)
    async with asyncio.timeout(20):
        while len(two.second.mails) < 12:
            await dispatcher.owner.execute(
                "UPDATE reminder SET state = 'queued', queued_at = now() WHERE id = ANY ($1) AND state = 'pending'", ids
            )
            await dispatcher.publish(*ids)
            await asyncio.sleep(0.2)
    await dispatcher.until("SELECT count(*) = 12 FROM reminder WHERE id = ANY ($1) AND state = 'accepted'", ids)

    assert [] == two.first.mails
    assert [] == dispatcher.twilio.requests
    assert [] == await dispatcher.suppressed()
    found = await health(dispatcher, "email")
    assert ("stopped", "misconfigured") == (found["smtp"]["state"], found["smtp"]["cause"])
    assert "works" == found["second"]["state"]
    notices = (await dispatcher.http.get("/readyz")).json()["notices"]
    assert "misconfigured" in notices["dispatcher.provider.email.smtp"]
    assert "sender not allowed" in notices["dispatcher.provider.email.smtp"]
    assert two.first.commands.count("MAIL") <= 12
    shown = (await dispatcher.http.get("/metrics")).text
    assert 'dunnock_provider_stopped{cause="misconfigured",channel="email",provider="smtp"} 1.0' in shown


async def test_a_provider_that_works_again_is_found_by_a_probe_and_one_message(two: Two) -> None:
    dispatcher = two.dispatcher
    two.first.script["MAIL"] = "550 5.7.1 sender not allowed here"
    _, first = await dispatcher.due()
    await dispatcher.send(first)
    assert "stopped" == (await health(dispatcher, "email"))["smtp"]["state"]
    two.first.script.clear()
    await dispatcher.owner.execute("UPDATE provider_state SET open_until = now() WHERE name = 'smtp'")
    await dispatcher.until("SELECT probed_until IS NOT NULL FROM provider_state WHERE name = 'smtp'")

    async with asyncio.timeout(20):
        while not two.first.mails:
            _, reminder = await dispatcher.due()
            await dispatcher.send(reminder)
    await dispatcher.until(CLOSED, "email", "smtp")

    assert "works" == (await health(dispatcher, "email"))["smtp"]["state"]


async def test_a_provider_that_still_fails_is_left_alone_for_longer_each_time(
    database_dsn: str, tmp_path: Path
) -> None:
    fax = Fax(answers=[NotSent("wrong password", misconfigured=True)], answering=False)
    async with running(database_dsn, tmp_path, further=[fax]) as dispatcher:
        await dispatcher.send(await fax_flow(dispatcher))
        pause = "SELECT extract(epoch FROM open_until - now())::float FROM provider_state WHERE channel = 'fax'"
        first = await dispatcher.owner.fetchval(pause)
        await dispatcher.owner.execute("UPDATE provider_state SET open_until = now() WHERE channel = 'fax'")
        await dispatcher.until("SELECT openings = 2 FROM provider_state WHERE channel = 'fax'")
        assert 55 < first < 61
        assert 115 < await dispatcher.owner.fetchval(pause) < 121


async def test_a_look_that_began_before_a_provider_was_stopped_does_not_let_it_go_on(database_dsn: str) -> None:
    db, owner = Database(database_dsn, role="dunnock_dispatcher"), Database(database_dsn)
    senders = Senders(db, [Fax()], window=2.0)
    await senders.register()
    [fax] = senders
    async with owner.transaction() as tx:
        await tx.execute("LOCK TABLE channel IN ACCESS EXCLUSIVE MODE")  # which a look reads after the standings
        looking = asyncio.create_task(senders.refresh())
        async with asyncio.timeout(20):
            while not await tx.fetchval(BLOCKED):
                await asyncio.sleep(0.02)
        await senders.heard(fax, NotSent("wrong password", misconfigured=True))
    await looking

    assert fax.wait > 0
    await senders.refresh()
    assert fax.wait > 0
    await db.close()
    await owner.close()


async def test_a_channel_whose_only_provider_stands_still_waits_and_burns_no_other_channel(
    database_dsn: str, tmp_path: Path
) -> None:
    fax = Fax(answers=[NotSent("wrong password", misconfigured=True)])
    async with running(database_dsn, tmp_path, further=[fax]) as dispatcher:
        await put(dispatcher, "fax", {"provider": "acme", "price": "0.0001"})
        first = await fax_flow(dispatcher, channels=("fax", "sms"))
        await dispatcher.send(first)
        second = await fax_flow(dispatcher, channels=("fax", "sms"), phone="+4915112345679")
        await dispatcher.send(second)

        assert [("fax", "notsent")] == await dispatcher.attempts(first)
        assert ("pending", None) == await dispatcher.state(second)
        assert [] == await dispatcher.attempts(second)
        assert [] == dispatcher.twilio.requests


async def test_the_rate_is_the_deployments_and_not_each_dispatchers(database_dsn: str, tmp_path: Path) -> None:
    one_fax, other_fax = Fax(concurrency=50), Fax(concurrency=50)
    async with (
        running(database_dsn, tmp_path, further=[one_fax]) as one,
        running(database_dsn, tmp_path, further=[other_fax]) as other,
    ):
        await put(one, "fax", {"provider": "acme", "limits": {"rate_per_second": 10}})
        await asyncio.sleep(1.2)  # the other one reads the terms every second
        ids = [await fax_flow(one, phone=f"+49151123456{n:02d}") for n in range(60)]
        began = monotonic()
        await asyncio.gather(one.publish(*ids[:30]), other.publish(*ids[30:]))
        await one.until("SELECT count(*) = 0 FROM reminder WHERE id = ANY ($1) AND state IN ('queued', 'sending')", ids)
        seconds = monotonic() - began
        taken = len(one_fax.taken) + len(other_fax.taken)
        assert 1 <= taken <= 10 * (seconds + 0.5) + 1
        assert taken < 60
        waits = await one.owner.fetchval(
            "SELECT max(due_at) - business_now() FROM reminder WHERE id = ANY ($1) AND state = 'pending'", ids
        )
        assert timedelta(seconds=1) < waits


async def test_no_more_than_the_days_share_goes_out(database_dsn: str, tmp_path: Path) -> None:
    fax = Fax()
    async with running(database_dsn, tmp_path, further=[fax]) as dispatcher:
        await put(dispatcher, "fax", {"provider": "acme", "limits": {"max_per_day": 3}})
        ids = [await fax_flow(dispatcher, phone=f"+49151123456{n:02d}") for n in range(8)]
        await dispatcher.send(*ids)
        assert 3 == len(fax.taken)
        [shown] = (await put(dispatcher, "fax", {"provider": "acme"}))["providers"]
        assert 3 == shown["today"]


async def test_an_added_channel_is_in_the_api_the_flows_the_prices_and_is_sent_by(
    database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.CHANNELS, "fax_acme", Fax)
    [fax] = configured(registry.CHANNELS["fax_acme"])
    async with running(database_dsn, tmp_path, further=[fax]) as dispatcher:
        shown = await put(
            dispatcher, "fax", {"provider": "acme", "price": "0.03", "prices": [{"prefix": "+49", "price": "0.06"}]}
        )
        assert ("fax", "phone", "0.03") == (shown["channel"], shown["reaches"], shown["price"][:4])
        reminder = await fax_flow(dispatcher)
        await dispatcher.send(reminder)
        assert [("fax", "accepted")] == await dispatcher.attempts(reminder)
        assert Decimal("0.12") == await dispatcher.owner.fetchval("SELECT cost FROM attempt WHERE channel = 'fax'")
        assert "phone" == await dispatcher.owner.fetchval("SELECT reaches FROM channel WHERE name = 'fax'")


@pytest.mark.parametrize(
    ("channel", "body", "status", "pointer"),
    [
        ("pigeon", {"providers": [{"provider": "x"}]}, 404, None),
        ("email", {"providers": []}, 422, "/providers"),
        ("email", {"providers": [{"provider": "nobody"}]}, 422, "/providers/0/provider"),
        ("email", {"providers": [{"provider": "smtp"}, {"provider": "smtp"}]}, 422, "/providers/1/provider"),
        ("email", {"providers": [{"provider": "smtp"}], "currency": "USD"}, 422, "/currency"),
        ("email", {"providers": [{"provider": "smtp"}], "fallback_after": "PT6H"}, 422, "/fallback_after"),
        ("sms", {"providers": [{"provider": "twilio"}], "fallback_after": "PT1S"}, 422, "/fallback_after"),
        ("email", {"providers": [{"provider": "smtp", "price": 0.1}]}, 422, "/providers/0/price"),
        ("email", {"providers": [{"provider": "smtp", "price": "-1"}]}, 422, "/providers/0/price"),
        (
            "email",
            {"providers": [{"provider": "smtp", "prices": [{"prefix": "+49", "price": "1"}]}]},
            422,
            "/providers/0/prices",
        ),
        (
            "sms",
            {"providers": [{"provider": "twilio", "limits": {"timeout_seconds": 600}}]},
            422,
            "/providers/0/limits/timeout_seconds",
        ),
        (
            "sms",
            {"providers": [{"provider": "twilio", "limits": {"rate_per_second": 0}}]},
            422,
            "/providers/0/limits/rate_per_second",
        ),
    ],
)
async def test_what_cannot_be_is_refused_with_its_place(
    shared: Dispatcher, channel: str, body: dict[str, Any], status: int, pointer: str | None
) -> None:
    answer = await shared.http.put(f"/v1/channels/{channel}", json=body)
    assert status == answer.status_code, answer.text
    if pointer:
        assert [pointer] == [error["pointer"] for error in answer.json()["errors"]]


@pytest.fixture
async def shared(shared_database_dsn: str, tmp_path: Path) -> AsyncIterator[Dispatcher]:
    async with running(shared_database_dsn, tmp_path) as made:
        yield made


async def test_without_a_receipt_in_time_the_next_channel_goes_and_a_late_one_stops_it(
    database_dsn: str, tmp_path: Path
) -> None:
    async with running(database_dsn, tmp_path) as dispatcher:
        await put(dispatcher, "sms", {"provider": "twilio"}, fallback_after="PT6H")
        late, silent = (await dispatcher.due(phone=PHONE))[1], (await dispatcher.due(phone="+4915112345670"))[1]
        for reminder in (late, silent):
            await dispatcher.owner.execute(
                "UPDATE customer SET preferred_channel = 'sms' WHERE id = (SELECT i.customer_id FROM invoice i"
                " JOIN reminder r ON r.invoice_id = i.id WHERE r.id = $1)",
                reminder,
            )
        await dispatcher.send(late, silent)
        due = await dispatcher.owner.fetchval("SELECT receipt_due - at FROM attempt WHERE reminder_id = $1", late)
        assert timedelta(hours=6) <= due < timedelta(hours=6, seconds=30)
        await dispatcher.owner.execute("SELECT expire_receipts(business_now() + interval '7 hours', 10)")
        assert ("pending", None) == await dispatcher.state(late)

        signature = RequestValidator(TOKEN).compute_signature(
            f"{PUBLIC}/v1/receipts/twilio?attempt={late}.1", DELIVERED
        )
        answer = await dispatcher.http.post(
            f"/v1/receipts/twilio?attempt={late}.1", data=DELIVERED, headers={"X-Twilio-Signature": signature}
        )
        assert 204 == answer.status_code
        await dispatcher.queue_again(late, silent)
        await dispatcher.send(late, silent)

        assert ("delivered", "receipt") == await dispatcher.state(late)
        assert [("sms", "delivered")] == await dispatcher.attempts(late)
        assert [("sms", "expired"), ("email", "accepted")] == await dispatcher.attempts(silent)
