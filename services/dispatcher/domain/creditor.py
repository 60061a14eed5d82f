"""How a creditor appears in messages."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CreditorCard:
    """`email_from` is an address; the display name is `name`; `logo` names a picture."""

    name: str
    email_from: str
    reply_to: str | None
    sms_from: str | None
    voice_from: str | None
    iban: str | None
    bic: str | None
    logo_url: str | None
    logo: str | None = None
