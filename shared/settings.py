"""Settings come from the environment; a wrong one stops the process at start, by its name, its value never shown.

`DUNNOCK_*`, and `PORT`, which platforms set. `check` takes any number of settings classes and reports everything that
is wrong at once. Each field's description says what the value should be: it is in the error and in the README's table.
"""

import re
import sys
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from ipaddress import ip_network
from typing import Annotated, Any, NoReturn, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from shared.kernel.caps import Caps
from shared.kernel.money import parse_currency

PREFIX = "DUNNOCK_"
Loaded = TypeVar("Loaded", bound=BaseSettings)


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def url_of(*schemes: str) -> AfterValidator:
    """A validator for a URL, secret or not, that never repeats it."""

    def check(value: Any) -> Any:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        try:
            parts = urlsplit(text)
            _ = parts.port
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in schemes or not (parts.netloc or (parts.scheme == "file" and parts.path)):
            raise ValueError(f"must be a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return value

    return AfterValidator(check)


def written_as(pattern: str, example: str) -> AfterValidator:
    """A validator for text that says what it should look like, and never repeats it."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be written as {example}")
        return text

    return AfterValidator(check)


def _networks(text: str) -> str:
    for place, word in enumerate(split_words(text), start=1):
        try:
            ip_network(word)
        except ValueError:
            raise ValueError(f"number {place} is neither an address nor a network such as 10.20.0.0/16") from None
    return text


def split_words(text: str) -> list[str]:
    """What stands between commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
MailAddress = Annotated[str, written_as(r"[^@\s<>,;]+@[^@\s<>,;]+", "billing@example.com")]
HostName = Annotated[str, written_as(HOST_NAME.pattern, "mail.example.com")]
PhoneNumber = Annotated[str, written_as(r"\+[1-9][0-9]{6,14}", "+4915112345678")]
DatabaseUrl = Annotated[SecretStr, url_of("postgresql", "postgres")]
AmqpUrl = Annotated[SecretStr, url_of("amqp", "amqps")]
WebUrl = Annotated[str, url_of("http", "https"), AfterValidator(lambda url: url.rstrip("/"))]
StoreUrl = Annotated[str, url_of("file", "s3")]
Level = Annotated[LogLevel, BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)]


class Settings(BaseSettings):
    """The manners that all settings classes share."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, hide_input_in_errors=True, extra="ignore", frozen=True
    )


class ProcessSettings(Settings):
    """What every process has, embedded or not."""

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 inside a container")
    port: int = Field(8000, ge=0, le=65535, validation_alias="PORT", description="port to listen on, 0 to 65535")
    public_url: WebUrl | None = Field(
        None, description="origin that customers and providers reach, such as https://pay.example.com"
    )
    api_key: SecretStr | None = Field(None, description="bootstrap API key with all scopes; make real keys with it")
    secret_key: SecretStr | None = Field(
        None, min_length=16, description="at least 16 random characters that sign links and return paths"
    )
    documents_url: StoreUrl | None = Field(
        None, description="where documents are kept: file:///folder or s3://bucket/prefix, one for all processes"
    )
    log_level: Level = Field(LogLevel.INFO, description="debug, info, warning or error")
    sandbox: bool = Field(False, description="1 lets a distributed process send to the built-in doubles instead")
    trusted_proxies: Annotated[str, AfterValidator(_networks)] = Field(
        "", description="addresses or networks whose X-Forwarded-* headers count, separated by commas"
    )
    shutdown_seconds: int = Field(20, ge=1, le=600, description="time for open work after SIGTERM, in seconds")


class DistributedSettings(ProcessSettings):
    """What a single service cannot run without."""

    database_url: DatabaseUrl = Field(description="PostgreSQL, such as postgresql://user:password@host:5432/dunnock")
    database_pool: int = Field(10, ge=2, le=100, description="connections to PostgreSQL of one process, 2 to 100")
    public_url: WebUrl = Field(description="origin that customers and providers reach, such as https://pay.example.com")
    secret_key: SecretStr = Field(
        min_length=16, description="at least 16 random characters that sign links and return paths"
    )
    documents_url: StoreUrl = Field(
        description="where documents are kept: file:///folder or s3://bucket/prefix, one for all processes"
    )


class BusSettings(Settings):
    """What publishes or consumes: scheduler and dispatcher. Payments works through the database alone."""

    amqp_url: AmqpUrl = Field(description="RabbitMQ, such as amqp://user:password@host:5672/")


class PriceSettings(Settings):
    """What the order of a customer's channels reckons with, beside their prices."""

    contact_cost: Decimal = Field(
        Decimal("0.01"),
        ge=0,
        description="what a contact costs beside its price: what moves nobody goes behind what does, however cheap",
    )
    cost_currency: Annotated[str, AfterValidator(parse_currency)] = Field(
        "EUR", description="ISO 4217 currency of all prices of channels"
    )


class ContactSettings(Settings):
    """How often a customer is contacted at most, whatever the flow: the dispatcher keeps to it, the scheduler foresees it."""

    cap_per_day: int | None = Field(None, ge=1, description="reminders a customer gets a day at most; empty: no limit")
    cap_per_week: int | None = Field(
        None, ge=1, description="reminders a customer gets a week at most; empty: no limit"
    )
    contact_gap: int = Field(0, ge=0, description="seconds between two reminders to a customer, at least; 0: none")

    @property
    def caps(self) -> Caps:
        return Caps(
            self.cap_per_day, self.cap_per_week, timedelta(seconds=self.contact_gap) if self.contact_gap else None
        )


class LedgerSettings(Settings):
    """The windows of the hand-off (seconds): lease > send timeout > hand-off window > connect timeout.

    All processes must have the same ones: payments waits for as long as a dispatcher may still hand off.
    """

    connect_timeout: float = Field(1.0, gt=0, description="C: seconds to reach a provider")
    handoff_window: float = Field(2.0, gt=0, le=2, description="D: seconds from claim to hand-off, at most 2")
    send_timeout: float = Field(30.0, gt=0, description="S: seconds for one hand-off to end")
    lease: float = Field(60.0, gt=0, le=3600, description="L: seconds after which a claimed reminder is uncertain")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.lease > self.send_timeout > self.handoff_window > self.connect_timeout:
            raise ValueError(
                f"{PREFIX}LEASE > {PREFIX}SEND_TIMEOUT > {PREFIX}HANDOFF_WINDOW > {PREFIX}CONNECT_TIMEOUT must hold"
            )
        return self


def load(kind: type[Loaded]) -> Loaded:
    """The settings from the environment; otherwise the process ends with status 2 and a line per wrong setting."""
    check(kind)
    return kind()


def check(*kinds: type[BaseSettings]) -> None:
    """Before several `load`s, so that all their faults are told together."""
    if faults := [fault for kind in kinds for fault in _faults(kind)]:
        _stop(faults)


def table(kinds: Iterable[type[BaseSettings]]) -> str:
    """A Markdown table of all settings of these classes, each once; required where any class requires it."""
    rows: dict[str, tuple[str, str]] = {}
    for kind in kinds:
        for name, field in kind.model_fields.items():
            variable = env_name(name, field, kind)
            if variable not in rows or field.is_required():
                rows[variable] = (_default(field), field.description or "")
    lines = [f"| `{name}` | {default} | {about} |" for name, (default, about) in sorted(rows.items())]
    return "\n".join(["| setting | default | what it is |", "|---|---|---|", *lines]) + "\n"


def env_name(name: str, field: FieldInfo, kind: type[BaseSettings] = Settings) -> str:
    """The environment variable of a field of this class."""
    alias = field.validation_alias
    return alias if isinstance(alias, str) else f"{kind.model_config['env_prefix']}{name}".upper()


def _faults(kind: type[BaseSettings]) -> list[str]:
    try:
        kind()
    except ValidationError as error:
        return [_fault(kind, fault) for fault in error.errors(include_input=False, include_url=False)]
    except SettingsError as error:
        return [_not_json(kind, str(error))]
    return []


def _not_json(kind: type[BaseSettings], said: str) -> str:
    """pydantic-settings names the field, and the class of where it was read."""
    name = next(name for name in kind.model_fields if f'"{name}"' in said)
    field = kind.model_fields[name]
    return f"{env_name(name, field, kind)}: is not valid JSON; expected: {field.description}"


def _fault(kind: type[BaseSettings], fault: Any) -> str:
    text = str(fault["ctx"]["error"]) if fault["type"] == "value_error" else str(fault["msg"])
    if fault["type"].endswith("too_short"):
        text = f"must have at least {fault['ctx']['min_length']} characters"
    if not fault["loc"]:
        return text
    named = str(fault["loc"][0])
    for name, field in kind.model_fields.items():
        variable = env_name(name, field, kind)
        if named.upper() in (variable, name.upper()):
            problem = "is missing" if fault["type"] == "missing" else text.replace("Input should be", "must be")
            return f"{variable}: {problem}; expected: {field.description}"
    return f"{named}: {text}"


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True) if field.default_factory is None else field.default
    if field.is_required() or default is PydanticUndefined:
        return "**required**"
    if default is None or default == "" or isinstance(default, SecretStr):
        return ""
    return f"`{default.value if isinstance(default, StrEnum) else default}`"


def _stop(faults: list[str]) -> NoReturn:
    print("Dunnock cannot start with these settings:", *sorted(set(faults)), sep="\n  ", file=sys.stderr)  # noqa: T201
    raise SystemExit(2)
