"""Finds the source of a webhook, nearly always without asking the database.

True here: a source that was changed elsewhere is seen within TTL; one that is changed in this process at once; one that
does not exist is never remembered, so a new one works at once and strangers fill no memory.
"""

import ipaddress
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.payments.domain.client_certificate import why_refused
from services.payments.domain.ports import Webhook
from services.payments.domain.source_settings import ClientCertificate
from services.payments.store.sources import built_in_source, find_source
from shared.db.engine import Database

TTL = 0.8  # seconds
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
WebhookOf = Callable[[str, dict[str, Any]], Webhook | None]


@dataclass(frozen=True, slots=True)
class KnownSource:
    id: int
    webhook: Webhook
    allow: tuple[Network, ...]
    certificate: ClientCertificate | None = None

    def admits(self, host: str | None) -> bool:
        """Whether this address may speak for the source."""
        if not self.allow:
            return True
        try:
            address = ipaddress.ip_address(host or "")
        except ValueError:
            return False
        return any(address in network for network in self.allow)

    def why_not(self, headers: Sequence[tuple[bytes, bytes]], now: datetime, *, by_proxy: bool) -> str | None:
        """Why this sender's certificate is not one that the source asks for. `by_proxy`: a trusted one sent the headers."""
        if self.certificate is None:
            return None
        if not by_proxy:
            return "this source takes events through the trusted proxy alone, which reports the client's certificate"
        name = self.certificate.header.encode()
        return why_refused(self.certificate, [value for key, value in headers if key == name], now)


class KnownSources:
    def __init__(self, db: Database, webhook_of: WebhookOf) -> None:
        self._db = db
        self._webhook_of = webhook_of
        self._known: dict[str, tuple[float, KnownSource]] = {}
        self._built_in: int | None = None

    async def webhook(self, ref: str) -> KnownSource | None:
        """A source that sends webhooks."""
        until, known = self._known.get(ref, (0.0, None))
        if known is not None and time.monotonic() < until:
            return known
        asked = time.monotonic()
        async with self._db.connection() as connection:
            row = await find_source(connection, ref)
        webhook = self._webhook_of(row.kind, row.config) if row else None
        if row is None or webhook is None:
            self._known.pop(ref, None)
            return None
        known = KnownSource(row.id, webhook, _networks(row.config), _certificate(row.config))
        self._known[ref] = (asked + TTL, known)
        return known

    async def built_in(self) -> int:
        """The id of the source of payments that people and the ERP record."""
        if self._built_in is None:
            async with self._db.connection() as connection:
                self._built_in = await built_in_source(connection)
        return self._built_in

    def forget(self, ref: str) -> None:
        self._known.pop(ref, None)


def _networks(config: dict[str, Any]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(allowed) for allowed in config.get("allow", ()))


def _certificate(config: dict[str, Any]) -> ClientCertificate | None:
    asked = config.get("client_certificate")
    return ClientCertificate.model_validate(asked) if asked else None
