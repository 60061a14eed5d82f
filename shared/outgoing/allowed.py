"""The operator's exceptions: hosts and networks that outgoing calls may reach although they are not the internet's."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Self

from pydantic import AfterValidator, Field

from shared.outgoing.addresses import Address
from shared.settings import Settings, split_words

LOOPBACK = "127.0.0.0/8, ::1/128"
_HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*\.?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Allowed:
    """A host that is named is trusted with every address that it has; a network with every host in it."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """'erp.internal, 10.20.0.0/16'; ValueError saying which one is neither, and not what it is: a URL may hold a password."""
        words = split_words(text.lower())
        networks, hosts = [], set()
        for place, word in enumerate(words, start=1):
            try:
                networks.append(ip_network(word))
            except ValueError:
                if not _HOST.fullmatch(word) or word.replace(".", "").isdigit():
                    raise ValueError(f"number {place} is neither a host nor a network such as 10.20.0.0/16") from None
                hosts.add(word.rstrip("."))
        return cls(frozenset(hosts), tuple(networks))

    def and_also(self, text: str) -> Self:
        more = type(self).parse(text)
        return type(self)(self.hosts | more.hosts, self.networks + more.networks)

    def names(self, host: str) -> bool:
        return host.rstrip(".").lower() in self.hosts

    def holds(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


def _checked(text: str) -> str:
    Allowed.parse(text)
    return text


class OutgoingSettings(Settings):
    """The same for all processes: what one of them accepts another one calls."""

    outgoing_allow: Annotated[str, AfterValidator(_checked)] = Field(
        "",
        description="internal hosts or networks that outgoing calls may reach, also without TLS: erp.internal, 10.20.0.0/16",
    )

    @property
    def allowed(self) -> Allowed:
        return Allowed.parse(self.outgoing_allow)
