"""Whether a request came to us from a proxy that the operator trusts.

True here: judged by the address that is connected, before any header is believed; what a proxy alone may say (the
client's address, its certificate) counts from nobody else.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

_MARK = "dunnock.trusted_proxy"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class BehindProxies:
    """The app as these proxies' (addresses or networks) requests reach it: with the client's own address, and marked."""

    def __init__(self, app: Any, proxies: Sequence[str]) -> None:
        self._app = ProxyHeadersMiddleware(app, trusted_hosts=list(proxies))
        self._networks = tuple(network for network in map(_network, proxies) if network is not None)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        client = scope.get("client")
        scope[_MARK] = client is not None and self._trusts(client[0])
        await self._app(scope, receive, send)

    def _trusts(self, host: str) -> bool:
        address = _network(host)
        return address is not None and any(address.network_address in network for network in self._networks)


def from_trusted_proxy(scope: Mapping[str, Any]) -> bool:
    return scope.get(_MARK) is True


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None
