"""python -m services.scheduler"""

import asyncio

import uvloop

from services.scheduler.settings import Process
from services.scheduler.wiring import build
from shared.bus.rabbitmq import RabbitBus
from shared.db.engine import Database
from shared.documents import Documents
from shared.logging import configure
from shared.outgoing import Guard, OutgoingSettings
from shared.settings import LedgerSettings, check, load
from shared.web.service import assemble, make_keys, serve


async def main() -> None:
    check(Process, LedgerSettings, OutgoingSettings)
    settings = load(Process)
    configure(settings.log_level)
    db = Database(settings.database_url.get_secret_value(), role="dunnock_scheduler", pool_size=settings.database_pool)
    bus = RabbitBus(settings.amqp_url.get_secret_value())
    documents = Documents(settings.documents_url)
    guard = Guard.from_settings(loopback=settings.sandbox)
    service = build(settings, load(LedgerSettings), db, bus, documents, guard, sandbox=settings.sandbox)
    # Intake needs no broker: invoices are accepted while it is away, and go out when it is back.
    connecting = asyncio.create_task(bus.start())
    try:
        await serve(assemble("Dunnock scheduler", [service], make_keys(db, settings)), settings)
    finally:
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
        await bus.close()
        await db.close()


if __name__ == "__main__":
    uvloop.run(main())
