"""`/v1/pictures`: what mails show with `<img src="cid:NAME" alt="...">`, in versions that never change."""

import asyncio
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.datastructures import UploadFile

from services.dispatcher.api.parts import Parts
from services.dispatcher.domain.picture_bytes import PictureRefused, recognise
from services.dispatcher.domain.picture_limits import MOST_BYTES
from services.dispatcher.handlers.remove_picture import remove_picture
from services.dispatcher.handlers.save_picture import save_picture
from services.dispatcher.store import pictures
from shared.content.pictures import NAME, RESERVED
from shared.documents import content_disposition
from shared.kernel.errors import BadRequest, FieldError, Invalid, NotFound, TooLarge
from shared.pictures import PictureVersion
from shared.web.auth import require
from shared.web.paging import Page, Paged
from shared.web.problems import declared
from shared.web.strict import strict_router

router = strict_router("templates")
may_write, may_read = Depends(require("flows:write")), Depends(require("invoices:read"))
Name = Annotated[str, Path(pattern=f"^{NAME}$", examples=["spring-banner"])]
BINARY = {"schema": {"type": "string", "format": "binary"}}
FORM = {"schema": {"type": "object", "required": ["file"], "properties": {"file": BINARY["schema"]}}}
KINDS = ("image/png", "image/jpeg", "image/gif")
NOTHING_RUNS = "default-src 'none'; sandbox"


class PictureOut(BaseModel):
    """A version never changes. `withdrawn`: this version took the picture out of use."""

    name: str = Field(examples=["spring-banner"])
    version: int
    shown_as: str = Field(examples=["cid:spring-banner"], description="the src of an <img> in html or MJML")
    media_type: str = Field(examples=["image/png"], description="by its bytes")
    width: int
    height: int
    size: int = Field(description="bytes; a mail carries a third more")
    sha256: str
    withdrawn: bool
    created_at: datetime


@router.put(
    "/v1/pictures/{name}",
    response_model=PictureOut,
    dependencies=[may_write],
    openapi_extra={
        "requestBody": {"required": True, "content": {**dict.fromkeys(KINDS, BINARY), "multipart/form-data": FORM}}
    },
    responses={
        201: {"model": PictureOut, "description": "A new version"},
        200: {"description": "The newest version is the same picture already"},
        **declared(400, 401, 403, 409, 413),
    },
)
async def put_picture(name: Name, request: Request, parts: Parts) -> Response:
    """Stores a PNG, JPEG or GIF of at most 256 KiB, 4096 pixels each way and 8 million in all its frames, in force everywhere
    within seconds. The body is the file itself or a form with a field `file`; what it is, its bytes say."""
    if name in RESERVED:
        raise _refused(f"'{name}' is {RESERVED[name]}")
    content = await _file(request)
    try:
        found = await asyncio.to_thread(recognise, content)
    except PictureRefused as error:
        raise _refused(str(error)) from None
    async with parts.db.transaction() as tx:
        version, fresh = await save_picture(tx, name, content, found)
    async with parts.db.connection() as connection:
        await parts.texts.refresh(connection, at_once=True)
    return JSONResponse(picture_out(version).model_dump(mode="json"), 201 if fresh else 200)


@router.get(
    "/v1/pictures/{name}",
    response_class=Response,
    dependencies=[may_read],
    responses={
        200: {"description": "The file", "content": dict.fromkeys(KINDS, BINARY)},
        **declared(401, 403, 404),
    },
)
async def get_picture(
    name: Name,
    parts: Parts,
    version: Annotated[int | None, Query(ge=1, lt=2**31, description="else the one in force", examples=[2])] = None,
) -> Response:
    """The picture in force, or one version, such as an attempt names it (`spring-banner@2`); always as a download."""
    async with parts.db.connection() as connection:
        found = await pictures.one(connection, name, version)
    if found is None or (version is None and found.withdrawn):
        raise NotFound(f"there is no picture {name!r}{f' in version {version}' if version else ''}")
    picture = found.picture
    headers = {
        "Content-Disposition": content_disposition(picture.filename),
        "Content-Security-Policy": NOTHING_RUNS,
        "ETag": f'"{picture.digest}"',
    }
    return Response(picture.content, media_type=picture.media_type, headers=headers)


@router.delete(
    "/v1/pictures/{name}",
    status_code=204,
    dependencies=[may_write],
    responses=declared(401, 403, 404, 409),
)
async def delete_picture(name: Name, parts: Parts) -> Response:
    """Out of use everywhere within seconds. Refused while a text in force shows it or a creditor has it as its logo. Its
    versions stay readable, and a PUT begins where they ended."""
    async with parts.db.transaction() as tx:
        await remove_picture(tx, name)
    async with parts.db.connection() as connection:
        await parts.texts.refresh(connection, at_once=True)
    return Response(status_code=204)


@router.get(
    "/v1/pictures/{name}/versions",
    response_model=Page[PictureOut],
    dependencies=[may_read],
    responses=declared(400, 401, 403, 404),
)
async def list_picture_versions(name: Name, parts: Parts, paging: Paged) -> Page[PictureOut]:
    """Newest first; those of a picture that is out of use too."""
    after = paging.last(int)
    async with parts.db.connection() as connection:
        found = await pictures.versions(connection, name, after[0] if after else None, paging.limit + 1)
    if not found and after is None:
        raise NotFound(f"there is no picture {name!r}")
    rows, cursor = paging.cut(found, lambda row: (row.version,))
    return Page(items=[picture_out(row) for row in rows], next_cursor=cursor)


@router.get("/v1/pictures", response_model=Page[PictureOut], dependencies=[may_read], responses=declared(400, 401, 403))
async def list_pictures(parts: Parts, paging: Paged) -> Page[PictureOut]:
    """Those in force, by name. `logo` (the creditor's) and `payment-code` are made for each mail and not listed."""
    after = paging.last(str)
    async with parts.db.connection() as connection:
        found = await pictures.page(connection, after[0] if after else "", paging.limit + 1)
    rows, cursor = paging.cut(found, lambda row: (row.name,))
    return Page(items=[picture_out(row) for row in rows], next_cursor=cursor)


async def _file(request: Request) -> bytes:
    media_type = request.headers.get("content-type", "")
    if media_type.partition(";")[0].strip().lower() != "multipart/form-data":
        return _bounded(await request.body())
    async with request.form(max_files=1, max_fields=10) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise BadRequest("the form needs a field 'file' with the picture")
        return _bounded(await file.read(MOST_BYTES + 1))


def _bounded(content: bytes) -> bytes:
    if len(content) > MOST_BYTES:
        raise TooLarge(f"the picture has more than {MOST_BYTES // 1024} KiB; make it smaller, every mail carries it")
    return content


def picture_out(version: PictureVersion) -> PictureOut:
    return PictureOut(
        name=version.name,
        version=version.version,
        shown_as=f"cid:{version.name}",
        media_type=version.picture.media_type,
        width=version.width,
        height=version.height,
        size=version.size,
        sha256=version.picture.digest,
        withdrawn=version.withdrawn,
        created_at=version.created_at,
    )


def _refused(reason: str) -> Invalid:
    return Invalid(reason, errors=(FieldError("", reason),))
