"""Where the scheduler's parts are chosen and put together."""

from datetime import timedelta

from fastapi import APIRouter

from services.scheduler.api import (
    creditors,
    customer_channels,
    customers,
    flow_dry_run,
    flow_migration,
    flow_preview,
    holds,
    invoice_changes,
    invoice_import,
    invoices,
    keys,
    reminders,
    stops,
    timeline,
)
from services.scheduler.api import documents as documents_api
from services.scheduler.api import flows as flows_api
from services.scheduler.api.parts import SchedulerParts
from services.scheduler.handlers.fetch_document import FetchDocument
from services.scheduler.handlers.prepare import prepare
from services.scheduler.settings import SchedulerSettings
from services.scheduler.store.flows import FlowVersions
from services.scheduler.worker import make_worker
from shared.bus.port import Bus
from shared.db.engine import Database
from shared.documents import Documents
from shared.outgoing import Guard
from shared.settings import LedgerSettings
from shared.web.health import Check
from shared.web.service import Service, database_check

ROUTERS: tuple[APIRouter, ...] = (
    invoice_import.router,
    invoices.router,
    invoice_changes.router,
    documents_api.router,
    timeline.router,
    customers.router,
    customer_channels.router,
    creditors.router,
    stops.router,
    holds.router,
    flow_preview.router,
    flow_dry_run.router,
    flow_migration.router,
    flows_api.router,
    reminders.router,
    keys.router,
)


def build(
    settings: SchedulerSettings,
    windows: LedgerSettings,
    db: Database,
    bus: Bus,
    documents: Documents,
    guard: Guard,
    *,
    sandbox: bool = False,
) -> Service:
    """`sandbox`: addresses under .test may be reached."""
    flows, fetch = FlowVersions(), FetchDocument(guard)
    worker = make_worker(settings, db, bus, flows)
    parts = SchedulerParts(
        db=db,
        flows=flows,
        documents=documents,
        fetch=fetch,
        wake=worker.wake,
        window=timedelta(seconds=windows.handoff_window),
        hold_for=timedelta(days=settings.hold_days),
        sandbox=sandbox,
        prices=settings,
        caps=settings.caps,
    )

    async def start() -> None:
        await prepare(db, settings)
        worker.start()

    async def stop() -> None:
        await worker.stop()
        await fetch.close()

    return Service(
        name="scheduler",
        routers=ROUTERS,
        parts=(parts,),
        start=start,
        stop=stop,
        checks={"database": database_check(db), "bus": _bus_check(bus), "documents": _documents_check(documents)},
    )


def _bus_check(bus: Bus) -> Check:
    async def check() -> str | None:
        return None if bus.ready() else "not connected"

    return check


def _documents_check(documents: Documents) -> Check:
    async def check() -> None:
        await documents.check()

    return check
