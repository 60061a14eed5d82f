"""`/v1/templates`: the texts of messages, by name, channel and language, in versions that never change."""

import asyncio
from typing import Annotated

from fastapi import Depends, Path, Query, Response
from fastapi.responses import JSONResponse

from services.dispatcher.api.parts import DispatcherParts, Parts
from services.dispatcher.api.template_bodies import (
    NAME,
    PreviewIn,
    PreviewOut,
    TemplateIn,
    TemplateOut,
    built_in_out,
    example_of,
    refused,
    template_out,
)
from services.dispatcher.domain.text_checks import Checked, Draft, check
from services.dispatcher.handlers.save_text import save_text
from services.dispatcher.handlers.withdraw_text import withdraw
from services.dispatcher.store import templates
from services.dispatcher.store.cards import logo_of_default
from services.dispatcher.store.templates import Key
from shared.content import Catalog, Pictures
from shared.content.catalog import UnknownMessage, builtin_source
from shared.content.gsm import segments
from shared.content.pictures import inside
from shared.kernel.errors import FieldError, Invalid, NotFound
from shared.routing.channels import ChannelName
from shared.web.auth import require
from shared.web.fields import Language
from shared.web.paging import Page, Paged
from shared.web.problems import declared
from shared.web.strict import strict_router

router = strict_router("templates")
may_write, may_read = Depends(require("flows:write")), Depends(require("invoices:read"))
Name = Annotated[str, Path(pattern=NAME, examples=["overdue"])]


def canonical(locale: str) -> str:
    """`ES-co` and `es-CO` are one text."""
    language, *more = locale.split("-")
    return "-".join([language.lower(), *(part.upper() if len(part) == 2 else part.title() for part in more)])


async def _key(name: Name, channel: ChannelName, locale: Language) -> Key:
    return Key(name, channel, canonical(locale))


Wanted = Annotated[Key, Depends(_key)]


@router.put(
    "/v1/templates/{name}/{channel}/{locale}",
    response_model=TemplateOut,
    dependencies=[may_write],
    responses={
        201: {"model": TemplateOut, "description": "A new version"},
        200: {"description": "The newest version says the same already"},
        **declared(400, 401, 403, 409, 413, 415),
    },
)
async def put_template(key: Wanted, body: TemplateIn, parts: Parts) -> Response:
    """Stores a text as a new version, in force everywhere within seconds. One with any fault is refused whole, with all
    its faults and where they are."""
    draft = Draft(body.subject, body.text, body.html, body.mjml)
    pictures = await _pictures(parts)
    checked = await asyncio.to_thread(check, draft, key.channel, key.locale, pictures=pictures)
    if not isinstance(checked, Checked):
        raise refused(checked)
    async with parts.db.transaction() as tx:
        version, fresh = await save_text(tx, key, checked.source, body.written())
    async with parts.db.connection() as connection:
        await parts.texts.refresh(connection, at_once=True)
    return JSONResponse(template_out(version).model_dump(mode="json"), 201 if fresh else 200)


async def _pictures(parts: DispatcherParts) -> Pictures:
    """All that there are at this moment."""
    async with parts.db.connection() as connection:
        await parts.texts.refresh(connection, at_once=True)
    return dict(parts.texts.catalog.pictures)


@router.get(
    "/v1/templates/{name}/{channel}/{locale}",
    response_model=TemplateOut,
    dependencies=[may_read],
    responses=declared(401, 403, 404),
)
async def get_template(key: Wanted, parts: Parts) -> TemplateOut:
    """The newest version; else, as version 0, the built-in text, to begin with."""
    async with parts.db.connection() as connection:
        found = await templates.in_force(connection, key)
    if found is not None:
        return template_out(found)
    source = builtin_source(key.name, key.channel, key.locale)
    if source is None:
        raise NotFound(
            f"there is no text for {key.name!r} on {key.channel} in {key.locale!r}; a customer of that language gets "
            "the next of its cascade: the language alone, then the default"
        )
    return built_in_out(key, source)


@router.delete(
    "/v1/templates/{name}/{channel}/{locale}",
    status_code=204,
    dependencies=[may_write],
    responses=declared(401, 403, 404, 409),
)
async def delete_template(key: Wanted, parts: Parts) -> Response:
    """Out of use everywhere within seconds: the next text of its cascade speaks, or the built-in one. Refused while a flow
    would be left without words by it. Its versions stay readable, and a PUT begins where they ended."""
    async with parts.db.transaction() as tx:
        await withdraw(tx, key)
    async with parts.db.connection() as connection:
        await parts.texts.refresh(connection, at_once=True)
    return Response(status_code=204)


@router.get(
    "/v1/templates/{name}/{channel}/{locale}/versions",
    response_model=Page[TemplateOut],
    dependencies=[may_read],
    responses=declared(400, 401, 403, 404),
)
async def list_versions(key: Wanted, parts: Parts, paging: Paged) -> Page[TemplateOut]:
    """Newest first; those of a text that is withdrawn too."""
    after = paging.last(int)
    async with parts.db.connection() as connection:
        found = await templates.versions(connection, key, after[0] if after else None, paging.limit + 1)
    if not found and after is None:
        raise NotFound(f"nobody has written {key.name!r} for {key.channel} in {key.locale!r}")
    rows, cursor = paging.cut(found, lambda row: (row.version,))
    return Page(items=[template_out(row) for row in rows], next_cursor=cursor)


@router.get(
    "/v1/templates", response_model=Page[TemplateOut], dependencies=[may_read], responses=declared(400, 401, 403)
)
async def list_templates(
    parts: Parts, paging: Paged, name: Annotated[str | None, Query(pattern=NAME)] = None
) -> Page[TemplateOut]:
    """What operators have written: the newest version of each text. What is built in is not listed here."""
    after = paging.last(str, str, str)
    start = Key(*after) if after else Key("", "", "")
    async with parts.db.connection() as connection:
        found = await templates.page(connection, name, start, paging.limit + 1)
    rows, cursor = paging.cut(found, lambda row: (row.key.name, row.key.channel, row.key.locale))
    return Page(items=[template_out(row) for row in rows], next_cursor=cursor)


@router.post(
    "/v1/templates/preview",
    response_model=PreviewOut,
    dependencies=[may_read],
    responses=declared(400, 401, 403, 404, 413, 415),
)
async def preview(body: PreviewIn, parts: Parts) -> PreviewOut:
    """What a customer of this language would get, with example data or yours. With a `template` it shows that, checked
    as a PUT would; without one what is in force. Nothing is stored."""
    locale = canonical(body.locale)
    pictures = await _pictures(parts)
    facts = example_of(body, locale, await _logo(parts, body, pictures))
    if body.template is None:
        catalog = parts.texts.catalog
    else:
        written = body.template
        draft = Draft(written.subject, written.text, written.html, written.mjml)
        checked = await asyncio.to_thread(check, draft, body.channel, locale, [facts], pictures)
        if not isinstance(checked, Checked):
            raise refused(checked, "/template")
        catalog = Catalog()
        catalog.pictures.update(pictures)
        catalog.replace(body.name, body.channel, locale, checked.source)
    try:
        rendered = await asyncio.to_thread(catalog.render, body.name, body.channel, facts)
    except UnknownMessage as error:
        raise NotFound(str(error)) from None
    count = segments(rendered.text) if body.channel == "sms" else None
    return PreviewOut(
        subject=rendered.subject,
        text=rendered.text,
        html=None if rendered.html is None else inside(rendered.html, rendered.pictures),
        pictures=[picture.filename for picture in rendered.pictures],
        segments=count,
    )


async def _logo(parts: DispatcherParts, body: PreviewIn, pictures: Pictures) -> str | None:
    """The one that was named, else that of the default creditor."""
    if (named := body.data.logo) is None:
        async with parts.db.connection() as connection:
            return await logo_of_default(connection)
    if named not in pictures:
        reason = f"there is no picture {named!r}: PUT /v1/pictures/{named} first"
        raise Invalid(f"/data/logo: {reason}", errors=(FieldError("/data/logo", reason),))
    return named
