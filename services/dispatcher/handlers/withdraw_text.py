"""Take a text out of use: from now on the next one of its cascade speaks, or the built-in one.

True here: no flow that is in force or that an open invoice follows is left without words for what it says.
"""

import asyncpg

from services.dispatcher.domain.text_needs import left_without, steps_that_say
from services.dispatcher.store import templates
from services.dispatcher.store.templates import Key
from shared.content.catalog import LANGUAGES, builtin_source
from shared.flow import Flow
from shared.kernel.errors import Conflict, NotFound
from shared.pictures import lock


async def withdraw(tx: asyncpg.Connection, key: Key) -> None:
    """Its versions stay readable."""
    await lock(tx)
    if await templates.in_force(tx, key) is None:
        raise NotFound(f"nobody has written {key.name!r} for {key.channel} in {key.locale!r}")
    if (dumb := await _left_without(tx, key)) and (places := await _places(tx, key)):
        raise Conflict(
            f"it is needed: {'; '.join(places)}; without it those who speak {', '.join(dumb)} would have no text "
            f"for {key.name!r} on {key.channel}. PUT another language first, or take it out of the flow"
        )
    await templates.withdraw(tx, key)


async def _left_without(tx: asyncpg.Connection, key: Key) -> list[str]:
    """The languages that would be."""
    others = {one.lower() for one in await templates.locales(tx, key.name, key.channel)} - {key.locale.lower()}
    others |= {language for language in LANGUAGES if builtin_source(key.name, key.channel, language)}
    spoken = await templates.spoken(tx) or ["en"]
    return left_without(spoken, others) if others else spoken


async def _places(tx: asyncpg.Connection, key: Key) -> list[str]:
    return [
        f"step '{step}' of flow '{flow.name}', version {version}, says it"
        for flow, version in [(Flow.parse(spec), version) for spec, version in await templates.flows_in_force(tx)]
        for step in steps_that_say(flow, key.name, key.channel)
    ]
