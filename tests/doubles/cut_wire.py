"""A wire to a server that is cut once: right after it took what contains certain words, before its answer arrives."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

CHUNK = 65536


@dataclass
class CutWire:
    """`cuts`: how often it was cut; set `words` to arm it."""

    host: str
    upstream: int
    port: int = 0
    words: bytes = b""
    cuts: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self.host, self.upstream)
        self.writers |= {writer, far_writer}
        armed = asyncio.Event()
        with suppress(ConnectionError):
            await asyncio.gather(
                self._asks(reader, far_writer, armed), self._answers(far_reader, writer, armed, far_writer)
            )

    async def _asks(self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, armed: asyncio.Event) -> None:
        while data := await reader.read(CHUNK):
            if self.words and self.words in data:
                self.words = b""
                armed.set()
            to.write(data)
            await to.drain()
        to.close()

    async def _answers(
        self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, armed: asyncio.Event, far: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(CHUNK):
            if armed.is_set():
                self.cuts += 1
                far.close()
                break
            to.write(data)
            await to.drain()
        to.close()


@asynccontextmanager
async def cut_wire(host: str, port: int) -> AsyncIterator[CutWire]:
    wire = CutWire(host, port)
    server = await asyncio.start_server(wire, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        for writer in wire.writers:
            writer.close()
