"""CONSUME: from a message with ids to hand-offs.

True here: nothing is sent that was not claimed, and t0 is taken before the claim; a provider without free slots costs
its own reminders a second, never another provider's. The message is settled when its last id is claimed or given back;
the sends go on in tasks that this object owns, so a lost broker connection cancels none.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Any

import structlog

from services.dispatcher.domain.expected import Expected, Later, Looked, expect
from services.dispatcher.domain.outcomes import Accepted, Deferred, Missed, NotSent, Outcome, Rejected, Unknown
from services.dispatcher.domain.ports import Channel, Gate
from services.dispatcher.handlers.compose import Composer
from services.dispatcher.handlers.lanes import Lane
from services.dispatcher.handlers.recorder import Recorder
from services.dispatcher.store.cards import Cards
from services.dispatcher.store.files import Files
from services.dispatcher.store.look import look
from shared.bus.port import Delivery
from shared.crash import crash_point
from shared.db.engine import Database
from shared.ledger.send import Caps, Claim, Recorded, Wanted, claim, give_back
from shared.messages import BadMessage, RemindersDue
from shared.routing import Channel as ChannelName
from shared.routing import Offer
from shared.settings import LedgerSettings

PATIENCE = 1.0  # seconds that a message waits for a provider's slot before its ids go back
RETRY_AFTER = timedelta(minutes=1)

log = structlog.get_logger("dispatcher")


@dataclass(frozen=True, slots=True)
class Sender:
    """A configured provider with its slots."""

    channel: Channel
    lane: Lane


class ClaimAndSend:
    def __init__(
        self,
        db: Database,
        senders: Mapping[ChannelName, Sender],
        composer: Composer,
        cards: Cards,
        files: Files,
        recorder: Recorder,
        *,
        worker: str,
        windows: LedgerSettings,
        caps: Caps,
    ) -> None:
        self._db = db
        self._senders = senders
        self._composer = composer
        self._cards = cards
        self._files = files
        self._recorder = recorder
        self._worker = worker
        self._windows = windows
        self._lease = timedelta(seconds=windows.lease)
        self._caps = caps
        self._sending: set[asyncio.Task[None]] = set()

    async def __call__(self, delivery: Delivery) -> None:
        """Handler of both dispatch queues."""
        try:
            message = RemindersDue.decode(delivery.body)
        except BadMessage as error:
            log.warning("message_parked", error=str(error))
            await delivery.reject()
            return
        await self.handle(message.ids)
        crash_point("before_ack")
        await delivery.ack()

    async def handle(self, ids: Sequence[int]) -> None:
        """Returns when every id is claimed, given back, or found to be somebody else's."""
        async with self._db.connection() as connection:
            looked = {row.id: row for row in await look(connection, ids)}
            flows = await self._cards.flows(connection, {row.flow_version_id for row in looked.values()})
        offers = {
            name: Offer(sender.channel.provider, sender.channel.price("")) for name, sender in self._senders.items()
        }
        expected = [expect(row, flows[row.flow_version_id], offers) for row in looked.values()]
        lanes: dict[str | None, list[Expected]] = defaultdict(list)
        for one in expected:
            if isinstance(one, Expected):
                lanes[one.first.channel if one.first else None].append(one)
        await self._postpone([one for one in expected if isinstance(one, Later)])
        await asyncio.gather(*(self._drain(name, rows, looked) for name, rows in lanes.items()))

    async def drained(self) -> None:
        """When nothing claimed is still being sent."""
        while self._sending:
            await asyncio.wait(self._sending)

    async def _drain(self, name: str | None, rows: list[Expected], looked: Mapping[int, Looked]) -> None:
        if name is None:
            await self._claim(rows)
            return
        sender = self._senders[ChannelName(name)]
        while rows:
            slots = await sender.lane.take(len(rows), PATIENCE)
            if not slots:
                await self._give_back(rows, looked)
                return
            batch, rows = rows[:slots], rows[slots:]
            await self._claim_and_start(sender, batch, looked)

    async def _claim_and_start(self, sender: Sender, batch: list[Expected], looked: Mapping[int, Looked]) -> None:
        claimed: list[Claim] = []
        try:
            await self._files.prepare(looked[one.reminder_id] for one in batch)
            crash_point("before_claim")
            began = monotonic()
            claimed = await asyncio.shield(self._claim(batch))
            crash_point("after_claim")
        finally:
            sender.lane.give_back(len(batch) - len(claimed))
        gate = Gate(began, self._windows.handoff_window, self._windows.connect_timeout)
        for one in claimed:
            self._own(self._send(sender, one, gate))

    async def _claim(self, batch: Sequence[Expected]) -> list[Claim]:
        wanted = [_wanted(one) for one in batch]
        async with self._db.connection() as connection:
            claims = await claim(connection, wanted, worker=self._worker, lease=self._lease, caps=self._caps)
            await self._cards.load(connection, {one.creditor_id for one in claims})
        return [one for one in claims if one.verdict == "claimed"]

    async def _send(self, sender: Sender, one: Claim, gate: Gate) -> None:
        began = monotonic()
        outcome: Outcome | None = None
        try:
            outcome = await self._hand_off(sender.channel, one, gate)
        except Exception as error:
            log.exception("message_not_made", reminder=one.reminder_id, step=one.step, channel=one.channel)
            self._recorder.put(
                Recorded(one.reminder_id, one.fence, "broken", detail=type(error).__name__, retry_in=RETRY_AFTER)
            )
        else:
            self._recorder.put(recorded(one, outcome))
        finally:
            sender.lane.give_back(seconds=monotonic() - began if isinstance(outcome, Accepted) else None)

    async def _hand_off(self, channel: Channel, one: Claim, gate: Gate) -> Outcome:
        flow = self._cards.flow(one.flow_version_id)
        attachment = await self._files.attachment(one) if flow.step(one.step).attach else None
        creditor = self._cards.creditor(one.creditor_id)
        outgoing = self._composer.compose(one, flow, creditor, attachment)
        outcome = await channel.send(outgoing, gate)
        crash_point("after_send")
        return outcome

    async def _give_back(self, rows: Sequence[Expected], looked: Mapping[int, Looked]) -> None:
        due = [(one.reminder_id, looked[one.reminder_id].now + timedelta(seconds=random.uniform(1, 5))) for one in rows]
        async with self._db.connection() as connection:
            await give_back(connection, due)

    async def _postpone(self, rows: Sequence[Later]) -> None:
        if rows:
            async with self._db.connection() as connection:
                await give_back(connection, [(one.reminder_id, one.at) for one in rows])

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)


def recorded(one: Claim, outcome: Outcome) -> Recorded:
    """An outcome as the ledger takes it."""
    match outcome:
        case Accepted(provider_ref=ref, detail=detail):
            return Recorded(one.reminder_id, one.fence, "accepted", ref, detail or None)
        case Unknown(detail=detail):
            return Recorded(one.reminder_id, one.fence, "unknown", detail=detail)
        case Rejected(detail=detail, suppress=suppress):
            return Recorded(one.reminder_id, one.fence, "rejected", detail=detail, suppress=suppress)
        case NotSent(detail=detail, retry_in=retry_in):
            return Recorded(one.reminder_id, one.fence, "notsent", detail=detail, retry_in=retry_in or RETRY_AFTER)
        case Deferred(detail=detail, retry_in=retry_in):
            return Recorded(one.reminder_id, one.fence, "deferred", detail=detail, retry_in=retry_in)
        case Missed(detail=detail):
            return Recorded(one.reminder_id, one.fence, "missed", detail=detail, retry_in=timedelta(minutes=30))


def _wanted(one: Expected) -> Wanted:
    if one.first is None:
        return Wanted(one.reminder_id, None, None, None, None, 0, one.reason)
    way = one.first
    return Wanted(one.reminder_id, way.channel, way.contact_point_id, way.provider, way.cost, one.alternatives)
