"""The dispatcher's own settings; those of the channels stand beside each channel."""

from pathlib import Path

from pydantic import Field

from shared.settings import BusSettings, ContactSettings, DistributedSettings, PriceSettings


class DispatcherSettings(PriceSettings, ContactSettings):
    """What the dispatcher needs, embedded or not."""

    email_from: str = Field(
        "billing@localhost.localdomain", description="sender of mails of creditors without their own"
    )
    mail_domain: str = Field("dunnock.invalid", description="domain of Message-IDs and of return paths for bounces")
    prefetch: int = Field(
        2, ge=1, le=100, description="messages (of up to 100 reminders) a dispatcher works on at once"
    )


class DistributedDispatcher(DispatcherSettings, BusSettings, DistributedSettings):
    """What `python -m services.dispatcher` needs."""

    data_dir: Path = Field(Path("var"), description="folder of the embedded database, documents and sandbox")
