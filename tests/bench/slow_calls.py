"""A telephone company that takes its time: answers every POST with a call that was made, after so many seconds.

`python -m tests.bench.slow_calls SECONDS` prints its port, and for each line that it reads how many calls are being made.
"""

import asyncio
import sys

import uvloop

BODY = b'{"sid": "CA00000000000000000000000000000001", "status": "queued"}'
ANSWER = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
being_made: set[int] = set()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(int(lengths[0]) if lengths else 0)
            being_made.add(id(writer))
            await asyncio.sleep(float(sys.argv[1]))
            being_made.discard(id(writer))
            writer.write(ANSWER)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        being_made.discard(id(writer))
        writer.close()


def tell() -> None:
    if sys.stdin.readline():
        print(len(being_made), flush=True)


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), tell)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
