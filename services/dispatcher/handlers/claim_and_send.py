"""CONSUME: from a message with ids to hand-offs.

True here: nothing is sent that was not claimed, and t0 is taken before the claim; a provider without free slots, or one
that stands still, costs its own reminders time, never another provider's, and never burns them. The message is settled
when its last id is claimed or given back; the sends go on in tasks that this object owns, so a lost broker connection
cancels none.
"""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from time import monotonic
from typing import Any

import structlog

from services.dispatcher.domain.expected import Expected, Later, Looked, Market, expect
from services.dispatcher.domain.outcomes import Accepted, Deferred, Missed, NotSent, Outcome, Rejected, Unknown
from services.dispatcher.domain.ports import Gate
from services.dispatcher.handlers.compose import Composer
from services.dispatcher.handlers.lanes import SOON
from services.dispatcher.handlers.recorder import Recorder
from services.dispatcher.handlers.sender import ASIDE, Sender
from services.dispatcher.handlers.senders import Senders
from services.dispatcher.store.cards import Cards
from services.dispatcher.store.files import Files
from services.dispatcher.store.look import look
from services.dispatcher.store.providers import Key
from shared.bus.port import Delivery
from shared.crash import crash_point
from shared.db.engine import Database
from shared.flow import FOREVER
from shared.ledger.send import Caps, Claim, Recorded, Wanted, claim, give_back
from shared.messages import BadMessage, RemindersDue
from shared.routing import FRICTION
from shared.settings import LedgerSettings

PATIENCE = 1.0  # seconds that a message waits for a provider's slots before the rest of its ids goes back
RETRY_AFTER = timedelta(minutes=1)

log = structlog.get_logger("dispatcher")


class ClaimAndSend:
    def __init__(
        self,
        db: Database,
        senders: Senders,
        composer: Composer,
        cards: Cards,
        files: Files,
        recorder: Recorder,
        *,
        worker: str,
        windows: LedgerSettings,
        caps: Caps,
        friction: Decimal = FRICTION,
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
        self._friction = friction
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
        everybody = self._senders.experience
        market = Market(self._senders.offers(), everybody.groups, everybody.overall, self._friction)
        expected = [expect(row, flows[row.flow_version_id], market) for row in looked.values()]
        lanes: dict[Key | None, list[Expected]] = defaultdict(list)
        for one in expected:
            if isinstance(one, Expected):
                lanes[(one.first.channel, one.first.provider) if one.first else None].append(one)
        await self._postpone([one for one in expected if isinstance(one, Later)])
        await asyncio.gather(*(self._drain(key, rows, looked) for key, rows in lanes.items()))

    async def drained(self) -> None:
        """When nothing claimed is still being sent."""
        while self._sending:
            await asyncio.wait(self._sending)

    async def _drain(self, key: Key | None, rows: list[Expected], looked: Mapping[int, Looked]) -> None:
        if key is None:
            await self._claim(rows)
            return
        sender, until = self._senders[key], monotonic() + PATIENCE
        while rows:
            left = max(0.0, until - monotonic())
            slots = 0 if sender.wait else await self._senders.take(sender, len(rows), left)
            if not slots:
                await self._put_off(sender, rows, looked)
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
            outcome, cost, within = await self._hand_off(sender, one, gate)
        except Exception as error:
            log.exception("message_not_made", reminder=one.reminder_id, step=one.step, channel=one.channel)
            self._recorder.put(
                Recorded(one.reminder_id, one.fence, "broken", detail=type(error).__name__, retry_in=RETRY_AFTER)
            )
        else:
            self._recorder.put(recorded(one, outcome, self._retry(sender), cost, within))
        finally:
            held = monotonic() - began
            sender.lane.give_back(seconds=held if isinstance(outcome, Accepted) else None, held=held)
        if outcome is not None:
            await self._tell(sender, outcome)

    async def _tell(self, sender: Sender, outcome: Outcome) -> None:
        """The message is done with, whether or not the deployment can be told about its provider."""
        try:
            await self._senders.heard(sender, outcome)
        except Exception:
            log.exception("provider_not_told", channel=sender.channel.name, provider=sender.channel.provider)

    async def _hand_off(self, sender: Sender, one: Claim, gate: Gate) -> tuple[Outcome, Decimal, timedelta | None]:
        """What became of it, what it costs, and how long a receipt may take."""
        flow = self._cards.flow(one.flow_version_id)
        step = flow.step(one.step)
        attachment = await self._files.attachment(one) if step.attach else None
        creditor = self._cards.creditor(one.creditor_id)
        outgoing = self._composer.compose(one, flow, creditor, attachment)
        limit = sender.terms.timeout
        try:
            async with asyncio.timeout(limit):
                outcome = await sender.channel.send(outgoing, gate)
        except TimeoutError:
            outcome = Unknown(f"no answer within {limit:g} s")
        crash_point("after_send")
        return outcome, sender.cost(outgoing), self._senders.receipt_within(sender.key, step.fallback_after)

    def _retry(self, sender: Sender) -> timedelta:
        """Soon, where another provider of the channel can take it."""
        return RETRY_AFTER if self._senders.alone(sender.key) else timedelta(seconds=ASIDE)

    async def _put_off(self, sender: Sender, rows: Sequence[Expected], looked: Mapping[int, Looked]) -> None:
        """They come again at the provider's pace, behind what was put off before them, and never too late for that."""
        waits = sender.lane.put_off(len(rows), at_least=max(SOON, sender.wait), pace=sender.terms.rate)
        due = []
        for one, seconds in zip(rows, waits, strict=True):
            row = looked[one.reminder_id]
            latest = max((row.send_until - row.now).total_seconds() / 2, SOON) if row.send_until != FOREVER else seconds
            due.append((row.id, row.now + timedelta(seconds=min(seconds, latest))))
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


def recorded(
    one: Claim, outcome: Outcome, retry: timedelta, cost: Decimal | None = None, within: timedelta | None = None
) -> Recorded:
    """An outcome as the ledger takes it. `retry`: when what was not sent comes again, if the provider says nothing."""
    match outcome:
        case Accepted(provider_ref=ref, detail=detail, receipt_within=promised):
            return Recorded(
                one.reminder_id,
                one.fence,
                "accepted",
                ref,
                detail or None,
                receipt_within=within or promised,
                cost=cost,
            )
        case Unknown(detail=detail):
            return Recorded(one.reminder_id, one.fence, "unknown", detail=detail, cost=cost)
        case Rejected(detail=detail, suppress=suppress):
            return Recorded(one.reminder_id, one.fence, "rejected", detail=detail, suppress=suppress)
        case NotSent(detail=detail, retry_in=retry_in):
            return Recorded(one.reminder_id, one.fence, "notsent", detail=detail, retry_in=retry_in or retry)
        case Deferred(detail=detail, retry_in=retry_in):
            return Recorded(one.reminder_id, one.fence, "deferred", detail=detail, retry_in=retry_in)
        case Missed(detail=detail):
            return Recorded(one.reminder_id, one.fence, "missed", detail=detail, retry_in=timedelta(minutes=30))


def _wanted(one: Expected) -> Wanted:
    if one.first is None:
        return Wanted(one.reminder_id, None, None, None, None, 0, one.reason)
    way = one.first
    return Wanted(
        one.reminder_id, way.channel, way.contact_point_id, way.provider, way.cost, one.alternatives, one.reason
    )
