"""Claims of which this process never heard: committed, and the answer lost on the way.

True here: each claim has a mark of its own, so what is found is of that claim alone, never of one that is being sent.
"""

from collections.abc import Sequence

import asyncpg

HELD = """
SELECT reminder_id, fence FROM attempt WHERE reminder_id = ANY ($2) AND worker = $1 AND state IN ('started', 'unknown')
"""


async def held(connection: asyncpg.Connection, mark: str, ids: Sequence[int]) -> list[tuple[int, int]]:
    """The attempts that the claim with this mark made, as (reminder, fence); `unknown`: the sweeper was faster."""
    return [(row[0], row[1]) for row in await connection.fetch(HELD, mark, ids)]


def answer_lost(error: Exception) -> bool:
    """Whether the statement may have been committed all the same: an error that the server told means that it was not."""
    return not isinstance(error, asyncpg.PostgresError) or isinstance(error, asyncpg.PostgresConnectionError)
