"""What payments does by itself: reconcile, announce, ask what is paid ahead of reminders, and forget what is old.

True here: a turn that fails is logged and the next one comes; two processes may do it at once; stopping waits for no
more than a turn.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from services.payments.handlers.check_payments import PaymentCheck
from services.payments.handlers.close_checkouts import CloseCheckouts
from services.payments.handlers.deliver_announcements import Announcer
from services.payments.handlers.derive_announcements import derive_announcements
from services.payments.handlers.reconcile import Adding, reconcile
from services.payments.handlers.watch_places import Watch
from services.payments.settings import PaymentsSettings
from services.payments.store.announcements import forget_announcements
from services.payments.store.cleanup import forget_answers, forget_evidence
from services.payments.store.statement_files import forget_files
from shared.db.engine import Database

CLEAN_EVERY, CLOSE_EVERY = 3600.0, 5.0  # seconds
CLEAN_AT_ONCE = 1_000
KEEP_FILES = timedelta(days=30)  # after a file was last seen where it was
CLEAN_MOST = 100  # times CLEAN_AT_ONCE, a turn

log = structlog.get_logger("payments")


class PaymentsWorker:
    def __init__(
        self,
        db: Database,
        settings: PaymentsSettings,
        announcer: Announcer,
        payment_check: PaymentCheck,
        watch: Watch,
        close_checkouts: CloseCheckouts,
    ) -> None:
        self._db = db
        self._settings = settings
        self._announcer = announcer
        self._payment_check = payment_check
        self._watch = watch
        self._close = close_checkouts
        self._add_up = Adding(db)
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        self._stopping.clear()
        self._tasks = [
            asyncio.create_task(self._every(self._settings.reconcile_seconds, self._reconcile)),
            asyncio.create_task(self._every(self._settings.announce_poll, self._announce)),
            asyncio.create_task(self._every(self._settings.announce_poll, self._announcer.deliver)),
            asyncio.create_task(self._every(self._settings.check_poll, self._ask_ahead)),
            asyncio.create_task(self._every(self._settings.statements_poll, self._look_for_statements)),
            asyncio.create_task(self._every(CLOSE_EVERY, self._close_checkouts)),
            asyncio.create_task(self._every(CLEAN_EVERY, self._clean)),
        ]

    async def stop(self) -> None:
        self._stopping.set()
        self._announcer.stop()
        await asyncio.gather(*self._tasks)
        self._tasks = []
        await self._watch.stop()
        await self._announcer.close()

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while not self._stopping.is_set():
            try:
                await work()
            except Exception as error:  # noqa: BLE001  # the database may be away: the next turn will see
                log.warning("turn_failed", work=work.__name__.strip("_"), error=type(error).__name__)
            try:
                async with asyncio.timeout(seconds):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    async def _reconcile(self) -> None:
        await reconcile(self._db)
        await self._add_up()

    async def _look_for_statements(self) -> None:
        await self._watch.turn()

    async def _announce(self) -> None:
        await derive_announcements(self._db)

    async def _ask_ahead(self) -> None:
        await self._payment_check.ask_ahead()

    async def _close_checkouts(self) -> None:
        await self._close()

    async def _clean(self) -> None:
        kept = timedelta(days=self._settings.keep_announcements_days)
        for _ in range(CLEAN_MOST):
            async with self._db.connection() as connection:
                if await forget_announcements(connection, kept, CLEAN_AT_ONCE) < CLEAN_AT_ONCE:
                    break
        kept = timedelta(days=self._settings.keep_evidence_days)
        for _ in range(CLEAN_MOST):
            async with self._db.connection() as connection:
                if await forget_evidence(connection, kept, CLEAN_AT_ONCE) < CLEAN_AT_ONCE:
                    break
        for _ in range(CLEAN_MOST):
            async with self._db.connection() as connection:
                if await forget_files(connection, KEEP_FILES, CLEAN_AT_ONCE) < CLEAN_AT_ONCE:
                    break
        older = timedelta(days=self._settings.keep_answers_days)
        for _ in range(CLEAN_MOST):
            async with self._db.connection() as connection:
                if await forget_answers(connection, older, CLEAN_AT_ONCE) < CLEAN_AT_ONCE:
                    return
