"""Picks the concrete parts of payments. Builds, does not start."""

from datetime import timedelta
from pathlib import Path

from services.payments.adapters.bucket import TIMEOUT as FETCH_TIMEOUT
from services.payments.adapters.bucket import Bucket
from services.payments.adapters.folder import Folder
from services.payments.adapters.http_poll import HttpAsker
from services.payments.adapters.registry import reader_of, webhook_of
from services.payments.adapters.stripe_checkout import StripeCheckout
from services.payments.api import (
    pay_links,
    pay_page,
    payment_status,
    payments,
    sources,
    statements,
    webhook_endpoints,
    webhooks,
)
from services.payments.api.parts import PaymentsParts
from services.payments.domain.bucket_settings import BucketSettings
from services.payments.domain.customer_word import Bounds
from services.payments.domain.matching import Rules
from services.payments.domain.pick_up import LARGEST
from services.payments.domain.poll_settings import MOST_SECONDS
from services.payments.handlers.check_payments import PaymentCheck
from services.payments.handlers.close_checkouts import CloseCheckouts
from services.payments.handlers.deliver_announcements import AT_ONCE, Announcer
from services.payments.handlers.known_sources import KnownSources
from services.payments.handlers.open_checkout import OpenCheckout
from services.payments.handlers.poller import Poller
from services.payments.handlers.record_payment import PaymentRecorder
from services.payments.handlers.take_word import TakeWord
from services.payments.handlers.watch_places import AT_ONCE as LOOKS_AT_ONCE
from services.payments.handlers.watch_places import Watch
from services.payments.settings import PaymentsSettings
from services.payments.store.endpoints import MOST
from services.payments.worker import PaymentsWorker
from shared.db.engine import Database
from shared.documents import Documents
from shared.outgoing import Guard, guarded_client
from shared.settings import LedgerSettings
from shared.web.service import Service, database_check

ROLE = "dunnock_payments"
POLLED_AT_ONCE = 40  # connections, to all polled sources
CHECKOUTS_AT_ONCE, CHECKOUT_TIMEOUT = 20, 4.5  # connections to who opens pages to pay on; seconds for one try of two
LIMITS = {"lock_timeout": "3s", "statement_timeout": "4s"}  # so that a webhook's 503 leaves within 5 seconds


def open_database(url: str, pool_size: int = 10) -> Database:
    return Database(url, role=ROLE, pool_size=pool_size, limits=LIMITS)


def build(
    settings: PaymentsSettings,
    ledger: LedgerSettings,
    db: Database,
    documents: Documents,
    guard: Guard,
    public_url: str,
) -> Service:
    """`db`: of `open_database`; `public_url`: the origin that customers reach."""
    window, held = timedelta(seconds=ledger.handoff_window), timedelta(days=settings.pending_hold_days)
    recorder = PaymentRecorder(db, window, held)
    rules = Rules(settings.match_threshold, settings.match_fees)
    folder = Folder(Path(settings.statements_folder)) if settings.statements_folder else None
    stores = guarded_client(guard, max_bytes=LARGEST, timeout=FETCH_TIMEOUT, connections=LOOKS_AT_ONCE)
    watch = Watch(recorder, rules, reader_of, folder, lambda bucket: Bucket(BucketSettings(**bucket), stores))
    take_word = TakeWord(db, window, timedelta(days=settings.pay_link_days), _bounds(settings))
    asker = HttpAsker(guarded_client(guard, timeout=MOST_SECONDS, connections=POLLED_AT_ONCE))
    check = PaymentCheck(db, Poller(asker), window)
    pages = StripeCheckout(guarded_client(guard, timeout=CHECKOUT_TIMEOUT, connections=CHECKOUTS_AT_ONCE))
    checkout = OpenCheckout(db, pages, public_url, settings.page_actions)
    parts = PaymentsParts(
        db, KnownSources(db, webhook_of), recorder, documents, guard, take_word, rules, reader_of, check, checkout
    )
    endpoints = guarded_client(guard, timeout=settings.announce_timeout, connections=MOST * AT_ONCE)
    worker = PaymentsWorker(
        db, settings, Announcer(db, endpoints, settings.announce_timeout), check, watch, CloseCheckouts(db, pages)
    )

    async def stop() -> None:
        await worker.stop()
        await asker.close()
        await stores.aclose()
        await pages.close()

    return Service(
        name="payments",
        routers=[
            webhooks.router,
            sources.router,
            payments.router,
            statements.router,
            payment_status.router,
            pay_page.router,
            pay_links.router,
            webhook_endpoints.router,
        ],
        parts=[parts],
        start=worker.start,
        stop=stop,
        checks={"database": database_check(db)},
    )


def _bounds(settings: PaymentsSettings) -> Bounds:
    return Bounds(
        paid_days=settings.said_paid_days,
        paid_times=settings.said_paid_times,
        promise_days=settings.promise_days,
        promise_dates=settings.promise_dates,
        promise_times=settings.promise_times,
        dispute_days=settings.dispute_days,
        dispute_times=settings.dispute_times,
        actions=settings.page_actions,
    )
