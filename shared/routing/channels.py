"""The channels there are, and which kind of contact point each one can reach."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Channel(StrEnum):
    EMAIL = "email"
    SMS = "sms"
    RCS = "rcs"
    WHATSAPP = "whatsapp"
    VOICE = "voice"
    PUSH = "push"
    HTTP = "http"


class ContactKind(StrEnum):
    EMAIL = "email"
    PHONE = "phone"
    PUSH = "push"
    URL = "url"


REACHED_THROUGH: Mapping[Channel, ContactKind] = MappingProxyType(
    {
        Channel.EMAIL: ContactKind.EMAIL,
        Channel.SMS: ContactKind.PHONE,
        Channel.RCS: ContactKind.PHONE,
        Channel.WHATSAPP: ContactKind.PHONE,
        Channel.VOICE: ContactKind.PHONE,
        Channel.PUSH: ContactKind.PUSH,
        Channel.HTTP: ContactKind.URL,
    }
)

# Not every phone has these apps: they are used only where the contact point names them.
ONLY_WHERE_NAMED = frozenset({Channel.RCS, Channel.WHATSAPP})
