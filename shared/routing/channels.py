"""The channels there are, and which kind of contact point each one can reach.

What must stay true: the set of names is open. A process knows the channels below and those that it learnt: a dispatcher
from its registry of adapters, every other process from the table `channel`, where the dispatchers write what they have.
"""

from collections.abc import Mapping, Set
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field


class Channel(StrEnum):
    """The channels that are built in, by name. Code that may meet others takes plain text: the members are text too."""

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


class Traits(NamedTuple):
    """`only_where_named`: not every address of the kind has it, so the contact point has to name it. `discreet`: it may
    come at any hour."""

    reaches: ContactKind
    only_where_named: bool = False
    discreet: bool = False


_KNOWN: dict[str, Traits] = {
    Channel.EMAIL: Traits(ContactKind.EMAIL, discreet=True),
    Channel.SMS: Traits(ContactKind.PHONE),
    Channel.RCS: Traits(ContactKind.PHONE, only_where_named=True),
    Channel.WHATSAPP: Traits(ContactKind.PHONE, only_where_named=True),
    Channel.VOICE: Traits(ContactKind.PHONE),
    Channel.PUSH: Traits(ContactKind.PUSH),
    Channel.HTTP: Traits(ContactKind.URL),
}
_REACHES: dict[str, ContactKind] = {name: traits.reaches for name, traits in _KNOWN.items()}
_NAMED_ONLY: set[str] = {name for name, traits in _KNOWN.items() if traits.only_where_named}

# Views: what is learnt appears in them.
REACHED_THROUGH: Mapping[str, ContactKind] = MappingProxyType(_REACHES)
ONLY_WHERE_NAMED: Set[str] = _NAMED_ONLY


def learn(name: str, traits: Traits) -> None:
    """A channel that an adapter brought. The same twice changes nothing; another meaning of a known name is refused."""
    known_as = _KNOWN.setdefault(name, traits)
    if known_as != traits:
        raise ValueError(f"channel {name!r} is known as {known_as}, not as {traits}; give the new one another name")
    _REACHES[name] = traits.reaches
    if traits.only_where_named:
        _NAMED_ONLY.add(name)


def traits_of(name: str) -> Traits:
    """KeyError when nobody brought it."""
    return _KNOWN[name]


def known(name: str) -> str:
    """For text from outside."""
    if name not in _KNOWN:
        raise ValueError(f"must be a channel that exists: {', '.join(_KNOWN)}")
    return name


ChannelName = Annotated[str, AfterValidator(known), Field(max_length=40, examples=["email"])]
