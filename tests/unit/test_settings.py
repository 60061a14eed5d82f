"""A wrong setting stops the process with its name and what it should be, never with its value."""

from datetime import UTC, datetime

import pytest
from pydantic import Field, SecretStr

from services.dispatcher.adapters.bounce_receiver import BounceConfig
from services.dispatcher.adapters.twilio_account import TwilioConfig
from services.dispatcher.adapters.voice_twilio import VoiceConfig
from services.dispatcher.adapters.whatsapp_twilio import WhatsAppConfig
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.wiring import mail_domain_of
from services.scheduler.settings import DefaultCreditor
from shared.content import MailHeaders, build_mail
from shared.content.facts import Rendered
from shared.settings import (
    BusSettings,
    DistributedSettings,
    LedgerSettings,
    LogLevel,
    ProcessSettings,
    Settings,
    check,
    load,
    table,
)

GOOD = {
    "DUNNOCK_DATABASE_URL": "postgresql://u:hunter2@db/dunnock",
    "DUNNOCK_AMQP_URL": "amqp://u:hunter2@mq/",
    "DUNNOCK_PUBLIC_URL": "https://pay.example.com/",
    "DUNNOCK_SECRET_KEY": "hunter2-hunter2-hunter2",
    "DUNNOCK_DOCUMENTS_URL": "s3://documents/prod",
}


class ListSettings(Settings):
    relays: list[str] = Field([], description="relays as a JSON list")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (*GOOD, "PORT", "DUNNOCK_LOG_LEVEL", "DUNNOCK_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def stopped(capsys: pytest.CaptureFixture[str], *kinds: type[Settings]) -> str:
    with pytest.raises(SystemExit) as stop:
        check(*kinds)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert "hunter2" not in said
    return said


def test_good_settings_are_read_and_secrets_stay_hidden(environment: pytest.MonkeyPatch) -> None:
    for name, value in GOOD.items():
        environment.setenv(name, value)
    environment.setenv("PORT", "9000")
    environment.setenv("DUNNOCK_LOG_LEVEL", "WARNING")
    settings = load(DistributedSettings)
    assert settings.port == 9000
    assert settings.log_level is LogLevel.WARNING
    assert settings.public_url == "https://pay.example.com"
    assert settings.database_url == SecretStr("postgresql://u:hunter2@db/dunnock")
    assert "hunter2" not in repr(settings)


def test_the_embedded_process_needs_no_variable() -> None:
    settings = load(ProcessSettings)
    assert (settings.host, settings.port, settings.sandbox) == ("127.0.0.1", 8000, False)


def test_every_missing_setting_is_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    said = stopped(capsys, DistributedSettings, BusSettings)
    for name in GOOD:
        assert f"{name}: is missing; expected: " in said


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("DUNNOCK_DATABASE_URL", "mysql://u:hunter2@db", "postgresql://"),
        ("DUNNOCK_DATABASE_URL", "hunter2", "postgresql://"),
        ("DUNNOCK_DATABASE_URL", "postgresql://u:p@db:hunter2/x", "postgresql://"),
        ("DUNNOCK_AMQP_URL", "http://hunter2", "amqp://"),
        ("DUNNOCK_PUBLIC_URL", "hunter2.example.com", "https://"),
        ("DUNNOCK_SECRET_KEY", "hunter2", "at least 16"),
        ("DUNNOCK_DOCUMENTS_URL", "/hunter2", "file://"),
        ("DUNNOCK_DOCUMENTS_URL", "", "is missing"),
        ("PORT", "hunter2", "0 to 65535"),
        ("PORT", "99999", "0 to 65535"),
        ("DUNNOCK_LOG_LEVEL", "hunter2", "debug, info"),
        ("DUNNOCK_SANDBOX", "hunter2", "built-in doubles"),
        ("DUNNOCK_DATABASE_POOL", "hunter2", "2 to 100"),
        ("DUNNOCK_TRUSTED_PROXIES", "10.0.0.1, hunter2", "number 2 is neither an address nor a network"),
        ("DUNNOCK_TRUSTED_PROXIES", "10.0.0.1/8", "number 1 is neither"),
        ("DUNNOCK_TRUSTED_PROXIES", "*", "number 1 is neither"),
    ],
)
def test_a_malformed_setting_is_named_without_its_value(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, expected: str
) -> None:
    for variable, good in {**GOOD, name: value}.items():
        environment.setenv(variable, good)
    said = stopped(capsys, DistributedSettings, BusSettings)
    assert f"  {name}: " in said
    assert expected in said
    assert len(said.splitlines()) == 2


@pytest.mark.parametrize("name", ["Smith&Sons", "ACME-TOOLS", "Acme_1+", "12345", "+4915112345678"])
def test_a_sender_of_texts_may_be_all_that_providers_take(environment: pytest.MonkeyPatch, name: str) -> None:
    environment.setenv("DUNNOCK_TWILIO_SMS_FROM", name)
    assert name == TwilioConfig().sms_from


@pytest.mark.parametrize(
    ("public_url", "domain"),
    [
        ("https://pay.example.com/dunnock", "pay.example.com"),
        ("https://rechnung.bücher.example", "rechnung.xn--bcher-kva.example"),
        ("https://pay.example.com.", "pay.example.com"),
        ("http://dunnock_web:8000", "localhost.localdomain"),
        ("http://[2001:db8::1]:8000", "localhost.localdomain"),
        ("http://127.0.0.1:8000", "localhost.localdomain"),
        ("http://localhost", "localhost.localdomain"),
    ],
)
def test_whatever_origin_customers_reach_mails_come_of_a_domain_that_a_mail_can_carry(
    public_url: str, domain: str
) -> None:
    assert domain == mail_domain_of(public_url)
    headers = MailHeaders(f"<1@{domain}>", datetime(2026, 1, 1, tzinfo=UTC), "", f"billing@{domain}", "", "ana@x.test")
    assert build_mail(headers, Rendered("s", "t", None))


@pytest.mark.parametrize(
    ("name", "value", "kind", "expected"),
    [
        ("DUNNOCK_CREDITOR_IBAN", "DE89370400440532013001", DefaultCreditor, "is not an IBAN"),
        ("DUNNOCK_CREDITOR_EMAIL_FROM", "hunter2", DefaultCreditor, "billing@example.com"),
        ("DUNNOCK_EMAIL_FROM", "Acme <hunter2@example.com>", DispatcherSettings, "billing@example.com"),
        ("DUNNOCK_MAIL_DOMAIN", "https://hunter2.example.com", DispatcherSettings, "mail.example.com"),
        ("DUNNOCK_BOUNCE_LISTEN", "hunter2", BounceConfig, "127.0.0.1:2525"),
        ("DUNNOCK_TWILIO_ACCOUNT_SID", "hunter2", TwilioConfig, "AC and 32 characters"),
        ("DUNNOCK_TWILIO_SMS_FROM", "+0 hunter2", TwilioConfig, "+4915112345678"),
        ("DUNNOCK_TWILIO_VOICE_FROM", "hunter2", VoiceConfig, "+4915112345678"),
        ("DUNNOCK_TWILIO_WHATSAPP_FROM", "hunter2", WhatsAppConfig, "+4915112345678"),
        ("DUNNOCK_TWILIO_WHATSAPP_TEMPLATES", "{hunter2", WhatsAppConfig, "is not valid JSON"),
    ],
)
def test_what_a_message_or_a_transfer_goes_by_is_checked_at_start(
    environment: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    kind: type[Settings],
    expected: str,
) -> None:
    """Nobody would notice before every message was refused, or a customer had paid into another account."""
    environment.setenv("DUNNOCK_TWILIO_AUTH_TOKEN", "t")
    environment.setenv(name, value)
    said = stopped(capsys, kind)
    assert f"  {name}: " in said
    assert expected in said


def test_faults_of_several_classes_are_told_together(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv("DUNNOCK_LEASE", "5")
    environment.setenv("DUNNOCK_RELAYS", "[hunter2")
    said = stopped(capsys, DistributedSettings, BusSettings, LedgerSettings, ListSettings)
    assert "DUNNOCK_LEASE > DUNNOCK_SEND_TIMEOUT" in said
    assert "DUNNOCK_AMQP_URL: is missing" in said
    assert "DUNNOCK_RELAYS: is not valid JSON; expected: relays as a JSON list" in said


@pytest.mark.parametrize(
    ("name", "value"), [("HANDOFF_WINDOW", "2.1"), ("CONNECT_TIMEOUT", "2"), ("SEND_TIMEOUT", "1.5"), ("LEASE", "nan")]
)
def test_windows_that_would_break_the_barrier_are_refused(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    environment.setenv(f"DUNNOCK_{name}", value)
    assert f"DUNNOCK_{name}" in stopped(capsys, LedgerSettings)


def test_short_windows_are_fine_for_tests(environment: pytest.MonkeyPatch) -> None:
    for name, value in {
        "CONNECT_TIMEOUT": "0.1",
        "HANDOFF_WINDOW": "0.2",
        "SEND_TIMEOUT": "0.3",
        "LEASE": "0.4",
    }.items():
        environment.setenv(f"DUNNOCK_{name}", value)
    assert load(LedgerSettings).handoff_window == 0.2


def test_the_table_lists_each_setting_once() -> None:
    lines = table([ProcessSettings, DistributedSettings, LedgerSettings]).splitlines()
    names = [line.split("|")[1].strip(" `") for line in lines[2:]]
    assert len(names) == len(set(names))
    assert "| `PORT` | `8000` | port to listen on, 0 to 65535 |" in lines
    assert any(line.startswith("| `DUNNOCK_DATABASE_URL` | **required** | PostgreSQL") for line in lines)
    assert any(line.startswith("| `DUNNOCK_LOG_LEVEL` | `info` |") for line in lines)


def test_every_setting_says_what_it_is() -> None:
    for kind in (ProcessSettings, DistributedSettings, LedgerSettings):
        assert [name for name, field in kind.model_fields.items() if not field.description] == []
