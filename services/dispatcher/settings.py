"""The dispatcher's own settings; those of the channels stand beside each channel."""

from pathlib import Path

from pydantic import Field

from shared.settings import BusSettings, ContactSettings, DistributedSettings, HostName, MailAddress, PriceSettings


class DispatcherSettings(PriceSettings, ContactSettings):
    """What the dispatcher needs, embedded or not."""

    email_from: MailAddress | None = Field(
        None, description="sender of mails of creditors without their own; empty: billing@ the mail domain"
    )
    mail_domain: HostName | None = Field(
        None, description="domain of Message-IDs and of return paths for bounces; empty: the host of DUNNOCK_PUBLIC_URL"
    )
    prefetch: int = Field(
        2, ge=1, le=100, description="messages (of up to 100 reminders) a dispatcher works on at once"
    )


class DistributedDispatcher(DispatcherSettings, BusSettings, DistributedSettings):
    """What `python -m services.dispatcher` needs."""

    data_dir: Path = Field(Path("var"), description="folder of the embedded database, documents and sandbox")
