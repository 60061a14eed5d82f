"""What a dispatcher does every second beside sending: it hears how the deployment's providers stand, tries those again
whose pause is over, and counts what channels did for customers.

True here: it survives every error; without the database everything goes on with what was known last.
"""

import asyncio
from time import monotonic

import structlog

from services.dispatcher.handlers.http_providers import HttpProviders
from services.dispatcher.handlers.senders import Senders
from services.dispatcher.store.experience import fold
from services.dispatcher.store.own_texts import OwnTexts
from shared.db.engine import Database

EVERY, REGISTERS_EVERY = 1.0, 60.0

log = structlog.get_logger("dispatcher")


class KeepWatch:
    def __init__(self, db: Database, senders: Senders, http: HttpProviders, texts: OwnTexts) -> None:
        self._db = db
        self._texts = texts
        self._senders = senders
        self._http = http
        self._registered = 0.0

    async def begin(self) -> None:
        """Before anything is sent: this process knows what the deployment knows, if the database answers by now."""
        try:
            await self._http.sync()
            await self._senders.register()
            await self._senders.refresh()
            self._registered = monotonic()
            async with self._db.connection() as connection:  # before a claim: all pictures may be many bytes
                await self._texts.refresh(connection, at_once=True)
        except Exception as error:  # a database that is away stops nobody from starting
            log.warning("providers_not_seen", exc_info=error)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._look()
            except Exception as error:  # it goes on, whatever it met
                log.warning("providers_not_seen", exc_info=error)
            await asyncio.sleep(EVERY)

    async def close(self) -> None:
        """When nothing is sent any more."""
        await self._http.close()

    async def _look(self) -> None:
        await self._http.sync()
        await self._senders.refresh()
        await self._senders.try_again()
        await self.count()
        if monotonic() - self._registered > REGISTERS_EVERY:
            self._registered = monotonic()
            await self._senders.register()

    async def count(self) -> None:
        """All that can be counted by now."""
        more = True
        while more:
            async with self._db.connection() as connection:
                more = await fold(connection)
