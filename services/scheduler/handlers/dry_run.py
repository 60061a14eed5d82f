"""A flow over all open invoices for the next days: what it would send, what it would cost, what it would leave out.

What must stay true: nothing is written and nobody is held up: each page is a statement of its own, its counting leaves
the loop alone, and one process makes one dry run at a time.
"""

import asyncio
from datetime import datetime, timedelta

from services.scheduler.domain.tally import Tally
from services.scheduler.store import forecasting
from services.scheduler.store.ground import offers
from shared.db.engine import Database
from shared.flow import Flow
from shared.kernel.caps import Caps

_one_at_a_time = asyncio.Lock()


async def dry_run(db: Database, flow: Flow, days: int, following: str | None, caps: Caps) -> Tally:
    """`caps`: those that hold for all flows."""
    async with _one_at_a_time:
        async with db.connection() as connection:
            now: datetime = await connection.fetchval("SELECT business_now()")
            known = await offers(connection)
        tally = Tally(flow, known or {}, now, now + timedelta(days=days), caps)
        attributes = any("attributes" in (step.only_if or "") for step in flow.steps)
        after = (0, 0)
        while True:
            async with db.connection() as connection:
                rows = await forecasting.page(connection, after, following, attributes=attributes)
            if not rows:
                break
            after = (rows[-1][0], rows[-1][1])
            await asyncio.to_thread(tally.add, forecasting.counted(rows))
        await asyncio.to_thread(tally.close)
        return tally
