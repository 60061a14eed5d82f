"""Take a picture out of use.

True here: no text in force shows it, and no creditor has it as its logo.
"""

import asyncpg

from services.dispatcher.store import pictures
from shared.kernel.errors import Conflict, NotFound
from shared.pictures import lock, there_is


async def remove_picture(tx: asyncpg.Connection, name: str) -> None:
    """Its versions stay readable."""
    await lock(tx)
    if not await there_is(tx, name):
        raise NotFound(f"there is no picture {name!r}; GET /v1/pictures lists them")
    needed = [f"the text {text.place} shows it" for text in await pictures.texts_showing(tx, name)]
    needed += [f"it is the logo of the creditor {ref!r}" for ref in await pictures.creditors_with(tx, name)]
    if needed:
        raise Conflict(f"it is needed: {'; '.join(needed)}. Change these first")
    await pictures.withdraw(tx, name)
