"""Store a text that was checked.

True here: what its mails show there is, and they carry no more than a mail may, whatever happened to the pictures since the
check.
"""

from typing import Any

import asyncpg

from services.dispatcher.domain.picture_limits import Showing, overloaded
from services.dispatcher.store import pictures, templates
from services.dispatcher.store.templates import Key, TextVersion
from shared.content import TemplateSource
from shared.content.pictures import RESERVED, named_in
from shared.kernel.errors import Conflict
from shared.pictures import lock


async def save_text(
    tx: asyncpg.Connection, key: Key, text: TemplateSource, written: dict[str, Any]
) -> tuple[TextVersion, bool]:
    """The version, and whether it is new."""
    await lock(tx)
    if shown := named_in(text.html or ""):
        sizes = await pictures.sizes(tx)
        if set(shown) - sizes.keys() - RESERVED.keys() or overloaded([Showing("", text.html or "")], sizes):
            raise Conflict("a picture that it shows was taken away or replaced at this moment; send it again")
    return await templates.save(tx, key, text, written)
