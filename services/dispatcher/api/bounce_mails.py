"""`/v1/bounce-mails`: what came back to a return path and is neither a bounce, nor a report, nor an automatic reply; and
whatever came to another address of the mail domain. A person looks at it; nobody is answered."""

from contextlib import suppress
from datetime import datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from typing import Annotated

from fastapi import Depends, Path, Response
from pydantic import BaseModel, Field

from services.dispatcher.api.parts import Parts
from services.dispatcher.store import bounce_mails
from services.dispatcher.store.bounce_mails import BounceMailRow
from shared.kernel.errors import NotFound
from shared.web.auth import Scope, require
from shared.web.paging import Page, Paged
from shared.web.problems import declared
from shared.web.strict import strict_router

LAST = 2**63 - 1

router = strict_router("bounce mails")
may_operate = Depends(require(Scope.OPERATE))


class BounceMail(BaseModel):
    """`sender` and `subject` as the mail says; nothing of it is believed."""

    bounce_mail_id: int
    received_at: datetime
    recipient: str | None = Field(description="the address, where it is no return path of ours")
    invoice_id: str | None
    step: str | None
    sender: str
    subject: str
    detail: str
    size: int = Field(description="bytes that are kept, at most 256 KiB")


@router.get("/v1/bounce-mails", dependencies=[may_operate], responses=declared(400, 401, 403))
async def listing(parts: Parts, paging: Paged) -> Page[BounceMail]:
    """Newest first; kept for 90 days."""
    last = paging.last(int)
    async with parts.db.connection() as connection:
        rows = await bounce_mails.page(connection, last[0] if last else LAST, paging.limit + 1)
    shown, cursor = paging.cut(rows, lambda row: (row.id,))
    return Page(items=[_shown(row) for row in shown], next_cursor=cursor)


@router.get(
    "/v1/bounce-mails/{bounce_mail_id}",
    dependencies=[may_operate],
    responses={
        200: {"description": "The mail as it came", "content": {"message/rfc822": {}}},
        **declared(401, 403, 404),
    },
)
async def mail(bounce_mail_id: Annotated[int, Path(ge=1, le=LAST)], parts: Parts) -> Response:
    """The mail itself, as a download."""
    async with parts.db.connection() as connection:
        content = await bounce_mails.content(connection, bounce_mail_id)
    if content is None:
        raise NotFound(f"there is no bounce mail {bounce_mail_id}")
    name = f'attachment; filename="bounce-{bounce_mail_id}.eml"'
    return Response(content, media_type="message/rfc822", headers={"Content-Disposition": name})


def _shown(row: BounceMailRow) -> BounceMail:
    headers = message_from_bytes(row.head)
    return BounceMail(
        bounce_mail_id=row.id,
        received_at=row.received_at,
        recipient=row.recipient if "@" in row.recipient else None,
        invoice_id=row.invoice_ref,
        step=row.step,
        sender=_words(headers.get("From")),
        subject=_words(headers.get("Subject")),
        detail=row.detail,
        size=row.size,
    )


def _words(value: object) -> str:
    """A header in plain words; as it stands where it cannot be decoded."""
    text = str(value or "")
    with suppress(LookupError, ValueError):
        text = str(make_header(decode_header(text)))
    return " ".join(text.split())[:300]
