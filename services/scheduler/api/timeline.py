"""Everything that happened to an invoice or was decided about it, in order, each with its reason."""

from datetime import datetime
from typing import Any

from fastapi import Depends
from pydantic import Field

from services.scheduler.api.invoice_answer import Answer, step_name
from services.scheduler.api.parts import Parts
from services.scheduler.domain.contacts import mask
from services.scheduler.domain.sentences import Said, sentence
from services.scheduler.domain.ways_said import why_said, worth_telling
from services.scheduler.store import timeline, views
from services.scheduler.store.timeline import EventRow
from shared.kernel.errors import NotFound
from shared.web.auth import require
from shared.web.paging import Page, Paged
from shared.web.problems import declared
from shared.web.strict import strict_router

router = strict_router("invoices")
ACCEPTED = "attempt.accepted"


class EventOut(Answer):
    """`text` is for a person, `kind` and `data` for a program."""

    at: datetime
    kind: str = Field(examples=["attempt.accepted"])
    text: str = Field(examples=["'deliver-invoice' went out by email to a***@example.com."])
    data: dict[str, Any]


@router.get(
    "/v1/invoices/{invoice_id}/timeline",
    response_model=Page[EventOut],
    dependencies=[Depends(require("invoices:read"))],
    responses=declared(400, 401, 403, 404),
)
async def get_timeline(invoice_id: str, parts: Parts, paging: Paged) -> Page[EventOut]:
    """Oldest first."""
    after = paging.last(int)
    async with parts.db.connection() as connection:
        invoice = await views.invoice_by_ref(connection, invoice_id)
        if invoice is None:
            raise NotFound(f"there is no invoice {invoice_id[:128]!r}")
        start = after[0] if after else 0
        found = await timeline.page(connection, invoice.id, invoice.customer_id, start, paging.limit + 1)
    rows, cursor = paging.cut(found, lambda row: (row.id,))
    return Page(items=[_out(row) for row in rows], next_cursor=cursor)


def _out(row: EventRow) -> EventOut:
    step = None if row.step is None else step_name(row.step, row.leg or "")
    said = Said(
        row.data,
        step,
        mask(row.address) if row.address else None,
        row.provider,
        row.words,
        worth_telling(row.why),
        f"flow '{row.flow}', version {row.flow_version}" if row.flow is not None else None,
        row.wording if row.kind == ACCEPTED else None,
    )
    about = {"step": step, "occurrence": row.occurrence, "address_masked": said.address, "words": row.words}
    about |= {"flow": row.flow, "flow_version": row.flow_version}
    if row.kind == ACCEPTED:
        about |= {"decision": why_said(row.why), "wording": row.wording}
    data = {**row.data, **{name: value for name, value in about.items() if value is not None}}
    return EventOut(at=row.at, kind=row.kind, text=sentence(row.kind, said), data=data)
