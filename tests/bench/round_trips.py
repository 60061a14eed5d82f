"""A wire between a service and PostgreSQL that counts the round trips: each ends with a Sync or is a simple Query."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

ASKS = (b"S", b"Q")


@dataclass(slots=True)
class Wire:
    """`address`: where to connect instead."""

    host: str
    port: int
    address: str = ""
    round_trips: int = 0

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the service."""
        above, below = await asyncio.open_connection(self.host, self.port)
        back = asyncio.ensure_future(_copy(above, writer))
        try:
            await self._opening(reader, below)
            while True:
                kind = await reader.readexactly(1)
                size = await reader.readexactly(4)
                below.write(kind + size + await reader.readexactly(int.from_bytes(size) - 4))
                self.round_trips += kind in ASKS
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            below.close()
            await back

    async def _opening(self, reader: asyncio.StreamReader, below: asyncio.StreamWriter) -> None:
        """Messages without a kind: perhaps a request for TLS, of 8 bytes, which is refused, then who wants what."""
        while True:
            size = await reader.readexactly(4)
            below.write(size + await reader.readexactly(int.from_bytes(size) - 4))
            if int.from_bytes(size) != 8:
                return


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@contextmanager
def wire(database: str) -> Iterator[Wire]:
    """It runs in a thread of its own, so that it carries while the caller waits."""
    parts = urlsplit(database)
    carried = Wire(parts.hostname or "127.0.0.1", parts.port or 5432)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(carried.carry, "127.0.0.1", 0), loop).result()
    port = server.sockets[0].getsockname()[1]
    login = parts.netloc.rpartition("@")[0]
    carried.address = urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{port}"))
    try:
        yield carried
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    carrying = asyncio.all_tasks() - {asyncio.current_task()}
    for task in carrying:
        task.cancel()
    await asyncio.gather(*carrying, return_exceptions=True)
