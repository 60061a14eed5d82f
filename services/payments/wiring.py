"""Picks the concrete parts of payments. Builds, does not start."""

from datetime import timedelta

from services.payments.api import pay_page, payment_status, payments, sources, webhooks
from services.payments.api.parts import PaymentsParts
from services.payments.handlers.known_sources import KnownSources
from services.payments.handlers.record_payment import PaymentRecorder
from services.payments.settings import PaymentsSettings
from services.payments.worker import PaymentsWorker
from shared.db.engine import Database
from shared.documents import Documents
from shared.settings import LedgerSettings
from shared.web.service import Service, database_check

ROLE = "dunnock_payments"
LIMITS = {"lock_timeout": "3s", "statement_timeout": "4s"}  # so that a webhook's 503 leaves within 5 seconds


def open_database(url: str, pool_size: int = 10) -> Database:
    return Database(url, role=ROLE, pool_size=pool_size, limits=LIMITS)


def build(settings: PaymentsSettings, ledger: LedgerSettings, db: Database, documents: Documents) -> Service:
    """`db`: of `open_database`."""
    recorder = PaymentRecorder(db, timedelta(seconds=ledger.handoff_window))
    parts = PaymentsParts(db, KnownSources(db), recorder, documents)
    worker = PaymentsWorker(db, settings)
    return Service(
        name="payments",
        routers=[webhooks.router, sources.router, payments.router, payment_status.router, pay_page.router],
        parts=[parts],
        start=worker.start,
        stop=worker.stop,
        checks={"database": database_check(db)},
    )
