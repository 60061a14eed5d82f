"""Which addresses are the internet's, and how a host may be written. Pure.

True here: an IPv6 address is public only if it is in 2000::/3 and in none of the networks below, so what carries an IPv4
address inside (mapped, NAT64, 6to4, Teredo) is never public, whatever it carries; an IPv4 address has one notation.
"""

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

MAX_URL = 2048  # characters
GLOBAL_UNICAST = IPv6Network("2000::/3")
DENIED = {
    ip_network(network): name
    for network, name in {
        "0.0.0.0/8": "this network",
        "10.0.0.0/8": "a private network",
        "100.64.0.0/10": "carrier-grade NAT",
        "127.0.0.0/8": "loopback",
        "168.63.129.16/32": "a cloud's metadata service",
        "169.254.0.0/16": "link-local, where clouds keep their metadata",
        "172.16.0.0/12": "a private network",
        "192.0.0.0/24": "reserved",
        "192.0.2.0/24": "documentation",
        "192.88.99.0/24": "6to4 relays",
        "192.168.0.0/16": "a private network",
        "198.18.0.0/15": "benchmarking",
        "198.51.100.0/24": "documentation",
        "203.0.113.0/24": "documentation",
        "224.0.0.0/4": "multicast",
        "240.0.0.0/4": "reserved",
        "2001::/23": "reserved (Teredo and other protocols)",
        "2001:db8::/32": "documentation",
        "2002::/16": "6to4",
        "3fff::/20": "documentation",
    }.items()
}
INSIDE = {
    ip_network(network): name
    for network, name in {
        "::/128": "no address at all",
        "::1/128": "loopback",
        "::ffff:0:0/96": "an IPv4 address inside an IPv6 one",
        "64:ff9b::/96": "NAT64",
        "64:ff9b:1::/48": "NAT64",
        "fc00::/7": "a private network",
        "fe80::/10": "link-local",
        "ff00::/8": "multicast",
    }.items()
}
_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.ASCII)
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*", re.ASCII)


class NotAnAddress(ValueError):
    """Neither a name nor an address that everybody reads alike."""


def why_denied(address: Address) -> str | None:
    """What the address is, if it is not the internet's; else None."""
    for network, name in DENIED.items():
        if address in network:
            return name
    if address.version == 4 or address in GLOBAL_UNICAST:
        return None
    return next((name for network, name in INSIDE.items() if address in network), "reserved")


def literal(host: str) -> Address | None:
    """The address that a host (in lower case) is, or None for a name; `NotAnAddress` for 0x7f.1, 2130706433, 0177.0.0.1 and [fe80::1%1]."""
    if ":" in host:
        if "%" in host:
            raise NotAnAddress("an address with a zone is this machine's own; write it without")
        return _parsed(host)
    if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        return _parsed(host)
    if not _NAME.fullmatch(host):
        raise NotAnAddress("a name has letters, digits, hyphens and dots")
    return None


def _parsed(host: str) -> Address:
    try:
        return ip_address(host)
    except ValueError:
        raise NotAnAddress("write the address as four decimal numbers or as IPv6, or use a name") from None
