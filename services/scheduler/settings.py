"""What the scheduler can be told from outside."""

from typing import Annotated

from pydantic import AfterValidator, Field

from services.scheduler.domain.bank_account import check_iban
from shared.settings import (
    BusSettings,
    ContactSettings,
    DistributedSettings,
    LedgerSettings,
    MailAddress,
    PriceSettings,
    Settings,
)
from shared.web.fields import parse_country, parse_language, parse_zone


class DefaultCreditor(Settings):
    """The creditor `default`, who always exists. Written at every start; others are made through the API."""

    creditor_name: str = Field("Your company", min_length=1, max_length=200, description="name of the default creditor")
    creditor_email_from: MailAddress | None = Field(
        None, max_length=320, description="sender address of the default creditor's mails, such as billing@example.com"
    )
    creditor_locale: Annotated[str, AfterValidator(parse_language)] = Field(
        "en", description="BCP 47 language of the default creditor, such as es-CO"
    )
    creditor_timezone: Annotated[str, AfterValidator(parse_zone)] = Field(
        "UTC", description="IANA time zone of the default creditor, such as Europe/Berlin"
    )
    creditor_country: Annotated[str, AfterValidator(parse_country)] | None = Field(
        None, description="ISO 3166-1 country of the default creditor, such as DE; its public holidays count"
    )
    creditor_iban: Annotated[str, AfterValidator(check_iban)] | None = Field(
        None, description="bank account of the default creditor, an IBAN"
    )


class SchedulerSettings(DefaultCreditor, PriceSettings, ContactSettings):
    """The loops' pace. Seconds, unless the name says otherwise."""

    due_poll: float = Field(0.3, gt=0, le=60, description="seconds between two looks for due reminders")
    due_batch: int = Field(1000, ge=1, le=10_000, description="due reminders taken in one transaction")
    max_queued: int = Field(20_000, ge=1, description="reminders queued at most; more stay pending until there is room")
    republish_after: float = Field(30.0, gt=0, description="seconds after which a queued reminder is published again")
    sweep_poll: float = Field(2.0, gt=0, le=60, description="seconds between two sweeps for what was lost on the way")
    hold_days: int = Field(30, ge=1, le=3650, description="days that a hold without an end lasts")


class Process(DistributedSettings, BusSettings, SchedulerSettings):
    """`python -m services.scheduler`"""


__all__ = ["DefaultCreditor", "LedgerSettings", "Process", "SchedulerSettings"]
