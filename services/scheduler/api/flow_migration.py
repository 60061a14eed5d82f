"""`POST /v1/flows/{name}/migrate`: running invoices to another version of their flow."""

from datetime import datetime
from typing import Annotated

from fastapi import Body, Depends
from pydantic import Field

from services.scheduler.api.flows import FlowName
from services.scheduler.api.invoice_answer import Answer, step_name
from services.scheduler.api.parts import Parts, SchedulerParts
from services.scheduler.domain.moves import Move
from services.scheduler.handlers.migrate_flow import Foreseen, Target, foresee, migrate
from services.scheduler.store import flows
from services.scheduler.store.migrating import Moving
from shared.kernel.errors import FieldError, Invalid, NotFound
from shared.web.auth import require
from shared.web.paging import Page, Paged
from shared.web.problems import declared
from shared.web.strict import StrictModel, strict_router

router = strict_router("flows")
Version = Annotated[int, Field(ge=1, lt=2**31, strict=True)]


class MigrateIn(StrictModel):
    """`to`: the newest version, unless it is named. `only_from`: invoices of that version, else of all others. Without
    `apply` nothing changes: the answer says what would."""

    to: Version | None = None
    only_from: Version | None = None
    apply: Annotated[bool, Field(strict=True)] = False


class MoveOut(Answer):
    """A message that would go (`added`), not go any more (`removed`), or go at another time (`moved`)."""

    change: str = Field(examples=["moved"])
    step: str
    occurrence: int
    installment: int | None = None
    due_at: datetime | None = Field(description="as it is now; null: it waits for its event")
    new_due_at: datetime | None


class MovingOut(Answer):
    invoice_id: str
    customer_id: str
    from_version: int
    changes: list[MoveOut]


class MigrationOut(Page[MovingOut]):
    """`invoices`: how many are concerned, `by_version` of each. `items`: what would change for whom, page by page;
    empty once it is `applied`."""

    flow: str
    to_version: int
    applied: bool
    invoices: int
    by_version: dict[str, int]


@router.post(
    "/v1/flows/{name}/migrate",
    response_model=MigrationOut,
    dependencies=[Depends(require("flows:write"))],
    responses=declared(400, 401, 403, 404, 413, 415),
)
async def post_migrate(
    name: FlowName, parts: Parts, paging: Paged, body: Annotated[MigrateIn, Body(examples=[{"apply": False}])]
) -> MigrationOut:
    """Moves open invoices to another version of the flow: shows what would change first, and does it with `apply`. What
    went out stays out; what lies ahead is planned anew within seconds."""
    target = await _target(parts, name, body)
    after = paging.last(int)
    found = await foresee(
        parts.db, parts.flows, target, after[0] if after else 0, 0 if body.apply else paging.limit + 1
    )
    if not body.apply:
        rows, cursor = paging.cut(found.invoices, lambda one: (one[0].id,))
        return _out(target, found, [_moving(*one) for one in rows], cursor)
    moved = await migrate(parts.db, target)
    parts.wake()
    return _out(target, found, [], None).model_copy(update={"applied": True, "invoices": moved})


async def _target(parts: SchedulerParts, name: str, body: MigrateIn) -> Target:
    async with parts.db.connection() as connection:
        newest = await flows.versions(connection, name, None, 1)
        if not newest:
            raise NotFound(f"there is no flow {name!r}")
        wanted = body.to or newest[0].version
        version_id = await flows.version_id(connection, name, wanted)
    if version_id is None:
        detail = f"flow {name!r} has no version {wanted}; the newest is {newest[0].version}"
        raise Invalid(f"/to: {detail}", errors=(FieldError("/to", detail),))
    return Target(name, wanted, version_id, body.only_from)


def _out(target: Target, found: Foreseen, items: list[MovingOut], cursor: str | None) -> MigrationOut:
    return MigrationOut(
        flow=target.name,
        to_version=target.version,
        applied=False,
        invoices=sum(found.by_version.values()),
        by_version={str(version): count for version, count in found.by_version.items()},
        items=items,
        next_cursor=cursor,
    )


def _moving(invoice: Moving, changes: list[Move]) -> MovingOut:
    return MovingOut(
        invoice_id=invoice.ref,
        customer_id=invoice.customer_ref,
        from_version=invoice.version,
        changes=[_move(change) for change in changes],
    )


def _move(move: Move) -> MoveOut:
    installment, step, occurrence, leg = move.key
    return MoveOut(
        change="removed" if move.removed else "added" if move.added else "moved",
        step=step_name(step, leg),
        occurrence=occurrence,
        installment=installment,
        due_at=move.before,
        new_due_at=move.after,
    )
