"""python -m services.parked [redrive] [--limit N]: shows the messages that no dispatcher could read or finish, or sends them back.

What is parked loses nothing: the reminders themselves are in the database, and the sweeper publishes them again. It is
evidence of a fault: look, mend it, then redrive.
"""

import argparse
import asyncio
import sys

import uvloop

from shared.bus.port import ParkedMessage, PublishFailed
from shared.bus.rabbitmq import RabbitBus
from shared.logging import configure
from shared.settings import BusSettings, LogLevel, load

SHOWN = 200  # bytes of a body
PATIENCE = 15.0  # seconds for the connection


async def main(wanted: argparse.Namespace, url: str) -> int:
    bus = RabbitBus(url)
    try:
        async with asyncio.timeout(PATIENCE):
            await bus.start()
        await (_redrive(bus, wanted.limit) if wanted.what == "redrive" else _show(bus, wanted.limit))
    except TimeoutError:
        print(f"RabbitMQ did not answer within {PATIENCE:g} s; check DUNNOCK_AMQP_URL", file=sys.stderr)
        return 1
    except PublishFailed as error:
        print(f"stopped, nothing is lost: {error}", file=sys.stderr)
        return 1
    finally:
        await bus.close()
    return 0


async def _show(bus: RabbitBus, limit: int) -> None:
    found = await bus.browse(limit)
    for message in found:
        print(_line(message))
    print(f"{len(found)} parked" + (f" or more (--limit {limit})" if len(found) == limit else ""), file=sys.stderr)


def _line(message: ParkedMessage) -> str:
    when = message.parked_at.isoformat(timespec="seconds") if message.parked_at else "?"
    return f"{when}  {message.queue}  {message.reason}  {message.body[:SHOWN]!r}"


async def _redrive(bus: RabbitBus, limit: int) -> None:
    print(f"{await bus.redrive(limit)} sent back to their queues", file=sys.stderr)


def arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.parked", description="Messages that are parked.")
    parser.add_argument("what", nargs="?", choices=("show", "redrive"), default="show")
    parser.add_argument("--limit", type=int, default=100, choices=range(1, 10_001), metavar="N", help="1 to 10000")
    return parser.parse_args(given)


if __name__ == "__main__":
    asked = arguments(sys.argv[1:])
    configure(LogLevel.ERROR)
    sys.exit(uvloop.run(main(asked, load(BusSettings).amqp_url.get_secret_value())))
