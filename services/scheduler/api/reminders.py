"""The ledger as a list: what will go out, what is stuck."""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Query

from services.scheduler.api.invoice_answer import ReminderOut, reminders_out
from services.scheduler.api.parts import Parts
from services.scheduler.store import reminder_lists, views
from shared.kernel.errors import BadRequest, Invalid
from shared.states import ReminderState
from shared.web.auth import require
from shared.web.fields import parse_time
from shared.web.paging import Page, Paged, Paging
from shared.web.problems import declared
from shared.web.strict import strict_router

router = strict_router("reminders")


@router.get(
    "/v1/reminders",
    response_model=Page[ReminderOut],
    dependencies=[Depends(require("invoices:read"))],
    responses=declared(400, 401, 403),
)
async def list_reminders(
    parts: Parts,
    paging: Paged,
    state: Annotated[ReminderState | None, Query(description="only these")] = None,
    due_before: Annotated[
        str | None, Query(description="due before this time", examples=["2026-12-24T12:00:00Z"])
    ] = None,
) -> Page[ReminderOut]:
    """Pending ones in the order in which they become due, all others in the order in which they were planned."""
    before = _time(due_before)
    by_time = state is ReminderState.PENDING
    async with parts.db.connection() as connection:
        if by_time:
            found = await reminder_lists.pending(connection, before, _after_time(paging), paging.limit + 1)
        else:
            after = paging.last(int)
            found = await reminder_lists.by_id(connection, state, before, after[0] if after else 0, paging.limit + 1)
        rows, cursor = paging.cut(
            found, lambda row: (row.due_at.isoformat() if row.due_at else "", row.id) if by_time else (row.id,)
        )
        attempts = await views.attempts(connection, [row.id for row in rows])
    return Page(items=reminders_out(list(rows), attempts), next_cursor=cursor)


def _after_time(paging: Paging) -> tuple[datetime, int] | None:
    after = paging.last(str, int)
    try:
        return None if after is None else (parse_time(after[0]), after[1])
    except ValueError:
        raise BadRequest("the cursor is not one of this list; start without a cursor") from None


def _time(text: str | None) -> datetime | None:
    try:
        return None if text is None else parse_time(text)
    except ValueError as error:
        raise Invalid(f"query parameter 'due_before' {error}") from None
