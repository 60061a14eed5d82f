"""python -m services.dispatcher"""

import asyncio
from contextlib import AsyncExitStack

import uvloop

from services.dispatcher.settings import DistributedDispatcher
from services.dispatcher.wiring import CHANNEL_SETTINGS, build, from_environment
from services.doubles import start_doubles
from shared.bus.rabbitmq import RabbitBus
from shared.db.engine import Database
from shared.documents import Documents
from shared.logging import configure
from shared.outgoing import OutgoingSettings
from shared.settings import LedgerSettings, check, load
from shared.web.service import Service, assemble, make_keys, serve


async def main() -> None:
    check(DistributedDispatcher, LedgerSettings, OutgoingSettings, *CHANNEL_SETTINGS)
    settings = load(DistributedDispatcher)
    configure(settings.log_level)
    url, secret_key = settings.database_url.get_secret_value(), settings.secret_key.get_secret_value().encode()
    async with AsyncExitStack() as opened:
        db = Database(url, role="dunnock_dispatcher", pool_size=settings.database_pool)
        opened.push_async_callback(db.close)
        bus = RabbitBus(settings.amqp_url.get_secret_value())
        opened.push_async_callback(bus.close)
        services: list[Service] = []
        if settings.sandbox:
            sandbox_db = Database(url, role="dunnock_sandbox", pool_size=4)
            opened.push_async_callback(sandbox_db.close)
            local_url = f"http://127.0.0.1:{settings.port}"
            outside, doubles = await start_doubles(
                settings.data_dir.resolve(), settings.public_url, local_url, secret_key, sandbox_db
            )
            services.append(doubles)
        else:
            outside = from_environment(settings.public_url, secret_key)
        documents = Documents(settings.documents_url)
        services.append(build(settings, load(LedgerSettings), db, bus, documents, outside))
        # It serves at once, not ready: an operator sees what it waits for.
        connecting = asyncio.create_task(bus.start())
        opened.callback(connecting.cancel)
        await serve(assemble("Dunnock dispatcher", services, make_keys(db, settings)), settings)


if __name__ == "__main__":
    uvloop.run(main())
