"""python -m services.dispatcher"""

import uvloop

from services.dispatcher.settings import DistributedDispatcher
from services.dispatcher.wiring import build, from_environment
from shared.bus.rabbitmq import RabbitBus
from shared.db.engine import Database
from shared.documents import Documents
from shared.logging import configure
from shared.settings import LedgerSettings, check, load
from shared.web.auth import Keys
from shared.web.service import assemble, key_lookup, serve


async def main() -> None:
    check(DistributedDispatcher, LedgerSettings)
    settings = load(DistributedDispatcher)
    configure(settings.log_level)
    db = Database(settings.database_url.get_secret_value(), role="dunnock_dispatcher", pool_size=settings.database_pool)
    bus = RabbitBus(settings.amqp_url.get_secret_value())
    outside = from_environment(settings.public_url, settings.secret_key.get_secret_value().encode())
    service = build(settings, load(LedgerSettings), db, bus, Documents(settings.documents_url), outside)
    keys = Keys(key_lookup(db), settings.api_key.get_secret_value() if settings.api_key else None)
    try:
        await bus.start()
        await serve(assemble("Dunnock dispatcher", [service], keys), settings.host, settings.port)
    finally:
        await bus.close()
        await db.close()


if __name__ == "__main__":
    uvloop.run(main())
