"""The dispatcher's own settings; those of the channels stand beside each channel."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field

from shared.ledger.send import Caps
from shared.settings import BusSettings, DistributedSettings, PriceSettings


class DispatcherSettings(PriceSettings):
    """What the dispatcher needs, embedded or not."""

    email_from: str = Field(
        "billing@localhost.localdomain", description="sender of mails of creditors without their own"
    )
    mail_domain: str = Field("dunnock.invalid", description="domain of Message-IDs and of return paths for bounces")
    prefetch: int = Field(4, ge=1, le=100, description="messages (of up to 50 reminders) a dispatcher works on at once")
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


class DistributedDispatcher(DispatcherSettings, BusSettings, DistributedSettings):
    """What `python -m services.dispatcher` needs."""

    data_dir: Path = Field(Path("var"), description="folder of the embedded database, documents and sandbox")
