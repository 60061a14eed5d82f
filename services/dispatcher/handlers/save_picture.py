"""Store a picture that mails may show.

True here: no text in force gets too heavy for a mail by it, and no dispatcher's memory too small for all of them.
"""

import asyncpg

from services.dispatcher.domain.picture_bytes import Recognised
from services.dispatcher.domain.picture_limits import MOST_CARRIED, MOST_KEPT, overloaded
from services.dispatcher.store import pictures
from shared.kernel.errors import Conflict
from shared.pictures import PictureVersion, lock


async def save_picture(
    tx: asyncpg.Connection, name: str, content: bytes, found: Recognised
) -> tuple[PictureVersion, bool]:
    """The version, and whether it is new."""
    await lock(tx)
    sizes = {**await pictures.sizes(tx), name: len(content)}
    if (kept := sum(sizes.values())) > MOST_KEPT:
        raise Conflict(
            f"all pictures together would have {kept // 1024} KiB, and {MOST_KEPT // 1024} KiB are kept: DELETE those that "
            "nothing shows"
        )
    if heavy := overloaded(await pictures.texts_showing(tx, name), sizes):
        raise Conflict(
            f"mails of {', '.join(heavy)} would carry more than {MOST_CARRIED // 1024} KiB of pictures with it; send a "
            "smaller one, or change the text first"
        )
    return await pictures.save(tx, name, content, found)
