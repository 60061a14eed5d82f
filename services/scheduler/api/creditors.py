"""Who is owed: names, senders and bank account. The creditor `default` always exists."""

from dataclasses import asdict
from typing import Annotated

from fastapi import Depends, Path, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, Field

from services.scheduler.api.customer_body import Line, WebAddress
from services.scheduler.api.parts import Parts
from services.scheduler.domain.bank_account import check_bic, check_iban
from services.scheduler.domain.contacts import Unusable, normalise_email
from services.scheduler.handlers.save_creditor import save_creditor
from services.scheduler.store import parties
from shared.content.pictures import NAME
from shared.kernel.errors import FieldError, Invalid, NotFound
from shared.kernel.ids import REF_PATTERN
from shared.web.auth import require
from shared.web.fields import Country, Language, TimeZone
from shared.web.paging import Page, Paged
from shared.web.problems import declared
from shared.web.strict import StrictModel, strict_router

router = strict_router("creditors")
may_write, may_read = Depends(require("invoices:write")), Depends(require("invoices:read"))
CreditorId = Annotated[str, Path(pattern=f"^{REF_PATTERN}$", examples=["default"])]


Iban = Annotated[str, Field(max_length=50, examples=["DE89370400440532013000"]), AfterValidator(check_iban)]
Bic = Annotated[str, Field(max_length=20, examples=["COBADEFFXXX"]), AfterValidator(check_bic)]
Sender = Annotated[
    str, Field(pattern=r"^(\+[1-9][0-9]{6,14}|[A-Za-z0-9][A-Za-z0-9 &+_-]{0,10})$", examples=["+4915112345678"])
]
Mailbox = Annotated[str, Field(max_length=320, examples=["billing@example.com"])]


class CreditorIn(StrictModel):
    """PUT replaces: what is left out is empty."""

    name: Line
    email_from: Mailbox | None = None
    reply_to: Mailbox | None = None
    sms_from: Sender | None = None
    voice_from: Sender | None = None
    iban: Iban | None = None
    bic: Bic | None = None
    logo_url: WebAddress | None = Field(None, description="linked in mails without `logo`, and on the pay page")
    logo: Annotated[
        str | None,
        Field(pattern=f"^{NAME}$", description="a picture of /v1/pictures; mails carry it", examples=["acme-logo"]),
    ] = None
    locale: Language = "en"
    timezone: TimeZone = "UTC"
    country: Country | None = None


class CreditorOut(CreditorIn):
    creditor_id: str


@router.put(
    "/v1/creditors/{creditor_id}",
    response_model=CreditorOut,
    dependencies=[may_write],
    responses={201: {"model": CreditorOut, "description": "It is new"}, **declared(400, 401, 403, 413, 415)},
)
async def put_creditor(creditor_id: CreditorId, body: CreditorIn, parts: Parts) -> Response:
    """Makes or replaces a creditor. Reminders that are rendered from now on show it."""
    faults: list[FieldError] = []
    mailboxes = {
        name: _mailbox(getattr(body, name), name, faults, parts.sandbox) for name in ("email_from", "reply_to")
    }
    if faults:
        raise Invalid(f"{faults[0].pointer}: {faults[0].detail}", errors=tuple(faults))
    row = parties.CreditorRow(creditor_id, **{**body.model_dump(), **mailboxes})
    fresh = await save_creditor(parts.db, row)
    return JSONResponse(_out(row).model_dump(mode="json"), 201 if fresh else 200)


def _mailbox(text: str | None, name: str, faults: list[FieldError], sandbox: bool) -> str | None:
    if text is None:
        return None
    found = normalise_email(text, sandbox=sandbox)
    if isinstance(found, Unusable):
        faults.append(FieldError(f"/{name}", found.reason))
        return None
    return found


@router.get(
    "/v1/creditors/{creditor_id}",
    response_model=CreditorOut,
    dependencies=[may_read],
    responses=declared(401, 403, 404),
)
async def get_creditor(creditor_id: CreditorId, parts: Parts) -> CreditorOut:
    """One creditor."""
    async with parts.db.connection() as connection:
        row = await parties.creditor(connection, creditor_id)
    if row is None:
        raise NotFound(f"there is no creditor {creditor_id!r}")
    return _out(row)


@router.get(
    "/v1/creditors", response_model=Page[CreditorOut], dependencies=[may_read], responses=declared(400, 401, 403)
)
async def list_creditors(parts: Parts, paging: Paged) -> Page[CreditorOut]:
    """By id."""
    after = paging.last(str)
    async with parts.db.connection() as connection:
        rows, cursor = paging.cut(
            await parties.creditors(connection, after[0] if after else "", paging.limit + 1), lambda row: (row.ref,)
        )
    return Page(items=[_out(row) for row in rows], next_cursor=cursor)


def _out(row: parties.CreditorRow) -> CreditorOut:
    values = asdict(row)
    return CreditorOut.model_construct(creditor_id=values.pop("ref"), **values)
