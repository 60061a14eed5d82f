"""The providers of the channel http come and go with their descriptions, in every dispatcher within a second.

True here: what is under way is sent by the description that it was claimed with; a connection is closed only when nothing
can be under way on it any more.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog
from pydantic import ValidationError

from services.dispatcher.domain.http_api import HttpApi
from services.dispatcher.domain.ports import Channel, Reporting
from services.dispatcher.handlers.senders import Senders
from services.dispatcher.store import http_apis
from services.dispatcher.store.http_apis import HttpApiRow
from shared.db.engine import Database

Make = Callable[[str, HttpApi], Channel]
CHANNEL = "http"

log = structlog.get_logger("dispatcher")


class HttpProviders:
    """`reporting`: where the receipts of a provider find it; `linger`: seconds after which no send can be under way."""

    def __init__(
        self, db: Database, senders: Senders, make: Make, reporting: dict[str, list[Reporting]], linger: float
    ) -> None:
        self._db = db
        self._senders = senders
        self._make = make
        self._reporting = reporting
        self._linger = linger
        self._known: dict[str, datetime] = {}
        self._channels: dict[str, Channel] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._built_in = frozenset(reporting) | {sender.channel.provider for sender in senders}
        senders.complete = False

    def is_built_in(self, name: str) -> bool:
        """Whether a provider that is no described API has the name."""
        return name in self._built_in

    async def sync(self) -> None:
        """Reads what changed since the last time."""
        async with self._turn:
            async with self._db.connection() as connection:
                versions = await http_apis.versions(connection)
                rows = await http_apis.everything(connection) if versions != self._known else []
            for name in self._known.keys() - versions.keys():
                self._leave(name)
            changed = [row for row in rows if self._known.get(row.name) != row.updated_at]
            for row in changed:
                self._leave(row.name)
                self._known[row.name] = row.updated_at
                self._join(row)
            self._senders.complete = True

    async def close(self) -> None:
        """When nothing is sent any more."""
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))

    def _join(self, row: HttpApiRow) -> None:
        try:
            api = HttpApi.model_validate(row.config)
        except ValidationError as error:  # of another version of this program: the other providers go on
            log.error("http_provider_not_understood", provider=row.name, faults=error.error_count())
            return
        channel = self._make(row.name, api)
        self._channels[row.name] = channel
        self._senders.join(channel)
        if isinstance(channel, Reporting):
            self._reporting[row.name] = [channel]

    def _leave(self, name: str) -> None:
        self._known.pop(name, None)
        channel = self._channels.pop(name, None)
        if channel is None:
            return
        self._senders.leave((CHANNEL, name))
        self._reporting.pop(name, None)
        task = asyncio.create_task(self._close_later(channel))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _close_later(self, channel: Channel) -> None:
        try:
            await asyncio.sleep(self._linger)
        finally:
            await channel.close()
