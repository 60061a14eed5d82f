"""Which channels there are: those that some dispatcher has an adapter for, as it wrote them down.

What must stay true: flows and customers may name a channel as soon as a dispatcher has it, without a change here.
"""

import asyncpg

from shared.routing import ContactKind, Traits, learn

_CHANNELS = "SELECT name, reaches, only_where_named, discreet FROM channel"


async def learn_channels(connection: asyncpg.Connection) -> None:
    for name, kind, named, discreet in await connection.fetch(_CHANNELS):
        learn(name, Traits(ContactKind(kind), named, discreet))
