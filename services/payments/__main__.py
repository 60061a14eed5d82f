"""`python -m services.payments`: payments alone, over PostgreSQL."""

import uvloop

from services.payments import wiring
from services.payments.settings import PaymentsSettings
from shared import logging
from shared.documents import Documents
from shared.outgoing import Guard, OutgoingSettings
from shared.settings import DistributedSettings, LedgerSettings, check, load
from shared.web.service import assemble, make_keys, serve


async def main(process: DistributedSettings, own: PaymentsSettings, ledger: LedgerSettings) -> None:
    db = wiring.open_database(process.database_url.get_secret_value(), process.database_pool)
    guard = Guard.from_settings(loopback=process.sandbox)
    service = wiring.build(own, ledger, db, Documents(process.documents_url), guard, process.public_url)
    try:
        await serve(assemble("Dunnock payments", [service], make_keys(db, process)), process)
    finally:
        await db.close()


if __name__ == "__main__":
    check(DistributedSettings, PaymentsSettings, LedgerSettings, OutgoingSettings)
    started_with = load(DistributedSettings)
    logging.configure(started_with.log_level)
    uvloop.run(main(started_with, load(PaymentsSettings), load(LedgerSettings)))
