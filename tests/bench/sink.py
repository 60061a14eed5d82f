"""An SMTP server that only counts. `python -m tests.bench.sink` prints its port; the command COUNT answers how many mails."""

import asyncio
from typing import cast

import uvloop

END = b"\r\n.\r\n"
ANSWERS = {b"EHLO": b"250-sink\r\n250 SIZE 50000000\r\n", b"DATA": b"354 go\r\n"}


class Sink(asyncio.Protocol):
    """As little Python a mail as possible: it must never be what is measured."""

    taken = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._answer = self._transport.write
        self._in_data = False
        self._tail = b""
        self._answer(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        if self._in_data:
            self._tail = self._tail[-4:] + data
            if self._tail.endswith(END):
                self._in_data, self._tail = False, b""
                Sink.taken += 1
                self._answer(b"250 ok\r\n")
            return
        command = data[:4]
        if command in ANSWERS:
            self._in_data = command == b"DATA"
            self._answer(ANSWERS[command])
        elif command == b"COUN":
            self._answer(b"%d\r\n" % Sink.taken)
        elif command.upper() == b"EHLO":
            self._answer(ANSWERS[b"EHLO"])
        elif command.upper() == b"DATA":
            self._in_data = True
            self._answer(ANSWERS[b"DATA"])
        elif command.upper() == b"QUIT":
            self._transport.close()
        else:
            self._answer(b"250 ok\r\n")


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
