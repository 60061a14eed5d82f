"""Sends webhooks over kept connections and takes the time of each: `python -m tests.bench.load`.

One line of JSON in (`port, connections, invoices, event`), made into requests; a line out when they are made; a line in to go; a
line of JSON out: seconds, the sorted milliseconds, the statuses.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import uvloop

from tests.bench.webhook_bodies import paid


async def send(port: int, connections: int, requests: list[bytes]) -> dict[str, Any]:
    waiting, statuses = iter(requests), Counter[int]()
    took: list[float] = []
    began = time.perf_counter()
    await asyncio.gather(*(_one_connection(port, waiting, took, statuses) for _ in range(connections)))
    return {"seconds": time.perf_counter() - began, "ms": sorted(took), "statuses": dict(statuses)}


async def _one_connection(port: int, waiting: Iterator[bytes], took: list[float], statuses: Counter[int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for request in waiting:
        began = time.perf_counter()
        writer.write(request)
        statuses[await _answer(reader)] += 1
        took.append((time.perf_counter() - began) * 1000)
    writer.close()


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length[15:]))
    return int(head[9:12])


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        requests = paid(asked["invoices"], asked["event"])
        print("made", flush=True)
        sys.stdin.readline()
        print(json.dumps(uvloop.run(send(asked["port"], asked["connections"], requests))), flush=True)


if __name__ == "__main__":
    main()
