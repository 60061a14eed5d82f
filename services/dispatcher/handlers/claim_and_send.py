"""CONSUME: from a message with ids to hand-offs.

True here: nothing is sent that was not claimed, and t0 is taken before the claim; what one message says of several
reminders was claimed for each of them, and what became of it is recorded for each of them; what was claimed and cannot be
handed over is recorded as not sent, also where the database's answer to the claim was lost; a provider without free
slots, or one that stands still, costs its own reminders time, never another provider's, and never burns them. The
message is settled when its last id is claimed or given back; claims and sends go on in tasks that this object owns, so
whoever cancels a handler cancels none.
"""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import count
from time import monotonic
from typing import Any

import asyncpg
import structlog

from services.dispatcher.domain.expected import Expected, Later, Looked, Market, expect
from services.dispatcher.domain.outcomes import Accepted, Deferred, Missed, NotSent, Outcome, Rejected, Unknown
from services.dispatcher.domain.ports import Gate, Outgoing, heeds_answers
from services.dispatcher.domain.together import Message, bundle, by_severity, grouped
from services.dispatcher.handlers.compose import Composer
from services.dispatcher.handlers.lanes import SOON
from services.dispatcher.handlers.recorder import Recorder
from services.dispatcher.handlers.sender import ASIDE, Sender
from services.dispatcher.handlers.senders import Senders
from services.dispatcher.store.answers import last_answers
from services.dispatcher.store.cards import Cards
from services.dispatcher.store.files import Files
from services.dispatcher.store.look import companions, look
from services.dispatcher.store.lost import answer_lost, held
from services.dispatcher.store.providers import Key
from shared.bus.port import Delivery
from shared.crash import crash_point
from shared.db.engine import Database
from shared.flow import FOREVER, MOST_TOGETHER
from shared.kernel.caps import Caps
from shared.kernel.errors import Unavailable
from shared.ledger.send import Claim, Recorded, Wanted, carry, claim, give_back
from shared.messages import BadMessage, RemindersDue
from shared.routing import FRICTION
from shared.settings import LedgerSettings

NOTHING = Decimal(0)
PATIENCE = 1.0  # seconds that a message waits for a provider's slots before the rest of its ids goes back
RETRY_AFTER = timedelta(minutes=1)
SOON_KNOWN = timedelta(seconds=3)
GRACE = 1.0  # seconds for a channel to tell what a hand-off had come to when its time was over
LATE_COMMIT = 60.0  # seconds for which a statement may go on without its client: the statement_timeout

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
        self._claims = count(1)
        self._searches: set[asyncio.Task[None]] = set()

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
            if together := [row.id for row in looked.values() if grouped(row, flows)]:
                looked |= await self._companions(connection, together, looked)
        everybody = self._senders.experience
        market = Market(self._senders.offers(), everybody.groups, everybody.overall, self._friction)
        expected = [expect(row, flows[row.flow_version_id], market) for row in looked.values()]
        ready = [one for one in expected if isinstance(one, Expected)]
        if not self._senders.complete:  # what knows no way may have one over a provider that is not known yet
            await self._postpone(
                [(one.reminder_id, looked[one.reminder_id].now + SOON_KNOWN) for one in ready if not one.first]
            )
            ready = [one for one in ready if one.first]
        lanes: dict[Key | None, list[Message]] = defaultdict(list)
        for message in bundle(ready, looked, flows) if together else [(one,) for one in ready]:
            first = message[0].first
            lanes[(first.channel, first.provider) if first else None].append(message)
        await self._postpone([(one.reminder_id, one.at) for one in expected if isinstance(one, Later)])
        await asyncio.gather(*(self._drain(key, messages, looked) for key, messages in lanes.items()))

    async def _companions(
        self, connection: asyncpg.Connection, ids: Sequence[int], known: Mapping[int, Looked]
    ) -> dict[int, Looked]:
        """What else goes in the messages of these."""
        others = [key for key in await companions(connection, ids, MOST_TOGETHER) if key not in known]
        rows = await look(connection, others) if others else []
        flows = await self._cards.flows(connection, {row.flow_version_id for row in rows})
        return {row.id: row for row in rows if grouped(row, flows)}

    async def drained(self) -> None:
        """When nothing claimed is still being sent."""
        while self._sending:
            await asyncio.wait(self._sending)
        for search in self._searches:
            search.cancel()

    async def _drain(self, key: Key | None, messages: list[Message], looked: Mapping[int, Looked]) -> None:
        if key is None:
            await self._claim(messages)
            return
        sender, until = self._senders[key], monotonic() + PATIENCE
        while messages:
            left = max(0.0, until - monotonic())
            slots = 0 if sender.wait else await self._senders.take(sender, len(messages), left)
            if not slots:
                await self._put_off(sender, messages, looked)
                return
            batch, messages = messages[:slots], messages[slots:]
            await asyncio.shield(self._own(self._claim_and_start(sender, batch, looked)))

    async def _claim_and_start(self, sender: Sender, batch: list[Message], looked: Mapping[int, Looked]) -> None:
        """Never cut in two: what is claimed and not handed over would be taken for sent."""
        claimed: list[Sequence[Claim]] = []
        try:
            await self._files.prepare(looked[message[0].reminder_id] for message in batch if len(message) == 1)
            answers = await self._answers(sender, batch)
            crash_point("before_claim")
            began = monotonic()
            claimed = await self._claim(batch)
            crash_point("after_claim")
        finally:
            sender.lane.give_back(len(batch) - len(claimed))
        gate = Gate(began, self._windows.handoff_window, self._windows.connect_timeout, sender.terms.timeout)
        # A task for each, all started at once: making many messages one after the other costs a fifth less than making each
        # one between two hand-offs (what it needs is still in the processor's caches).
        ahead = sender.lane.busy - len(claimed)
        for place, claims in enumerate(claimed, ahead + 1):
            answered_at = answers.get(claims[0].contact_point_id or 0)
            self._own(self._send(sender, claims, gate, answered_at, sender.lane.turns(place)))

    async def _answers(self, sender: Sender, batch: Sequence[Message]) -> Mapping[int, datetime]:
        """When who gets these last wrote, where the channel heeds it. An answer that comes now only adds to it."""
        if not heeds_answers(sender.channel):
            return {}
        points = [message[0].first.contact_point_id for message in batch if message[0].first]
        async with self._db.connection() as connection:
            return await last_answers(connection, points, sender.channel.name)

    async def _claim(self, batch: Sequence[Message]) -> list[Sequence[Claim]]:
        """What may go, by message; who carries the others stands first, and is noted before anything is handed over."""
        wanted = [_wanted(one, n if len(message) > 1 else None) for n, message in enumerate(batch) for one in message]
        claimed: list[Claim] = []
        mark = f"{self._worker}.{next(self._claims)}"
        try:
            async with self._db.connection() as connection:
                claims = await self._claimed(connection, wanted, mark)
                claimed = [one for one in claims if one.verdict == "claimed"]
                messages = self._by_message(claimed, wanted)
                if several := [message for message in messages if len(message) > 1]:
                    crash_point("before_carry")
                    await carry(connection, several)
                await self._cards.load(connection, {one.creditor_id for one in claims})
        except Exception as error:
            for one in claimed:
                self._recorder.put(recorded(one, NotSent(f"before the hand-off: {type(error).__name__}"), RETRY_AFTER))
            raise
        return messages

    async def _claimed(self, connection: asyncpg.Connection, wanted: Sequence[Wanted], mark: str) -> list[Claim]:
        try:
            return await claim(connection, wanted, worker=mark, lease=self._lease, caps=self._caps)
        except Exception as error:
            if answer_lost(error):
                search = asyncio.create_task(self._disown(mark, [one.reminder_id for one in wanted]))
                self._searches.add(search)
                search.add_done_callback(self._searches.discard)
            raise

    async def _disown(self, mark: str, ids: Sequence[int]) -> None:
        """A claim whose answer was lost may have been committed, or may yet be: nothing of it was handed over."""
        until, pause = monotonic() + LATE_COMMIT, 0.1
        while monotonic() < until:
            try:
                async with self._db.connection() as connection:
                    found = await held(connection, mark, ids)
            except Exception as error:  # noqa: BLE001 the database may be away for long, and is asked when it is back
                log.warning("lost_claim_not_seen", error=f"{type(error).__name__}: {error}"[:200])
                until = monotonic() + LATE_COMMIT
            else:
                for key, fence in found:
                    detail = "before the hand-off: the answer to the claim was lost"
                    self._recorder.put(Recorded(key, fence, "notsent", detail=detail, retry_in=RETRY_AFTER))
                if found:
                    return
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5.0)

    def _by_message(self, claims: Sequence[Claim], wanted: Iterable[Wanted]) -> list[Sequence[Claim]]:
        numbers = {one.reminder_id: one.together for one in wanted if one.together is not None}
        if not numbers:
            return [(one,) for one in claims]
        found: dict[int | None, list[Claim]] = defaultdict(list)
        for one in claims:
            found[numbers.get(one.reminder_id)].append(one)
        alone = found.pop(None, [])
        return [(one,) for one in alone] + [by_severity(rows, self._cards.known) for rows in found.values()]

    async def _send(
        self, sender: Sender, claims: Sequence[Claim], gate: Gate, answered_at: datetime | None, turns: float
    ) -> None:
        """`turns`: how many messages one connection carries until this one is through."""
        one, began = claims[0], monotonic()
        outcome: Outcome | None = None
        try:
            outcome, cost, within, wording = await self._hand_off(sender, claims, gate, answered_at)
        except Unavailable as error:  # the store of documents: nobody's fault, so it is no try of the message
            for each in claims:
                self._recorder.put(recorded(each, NotSent(error.detail), RETRY_AFTER))
        except Exception as error:
            log.exception("message_not_made", reminder=one.reminder_id, step=one.step, channel=one.channel)
            for each in claims:
                self._recorder.put(
                    Recorded(each.reminder_id, each.fence, "broken", detail=type(error).__name__, retry_in=RETRY_AFTER)
                )
        else:
            self._recorder.put(recorded(one, outcome, self._retry(sender), cost, within, wording))
            for rider in claims[1:]:
                self._recorder.put(recorded(rider, outcome, self._retry(sender), NOTHING, within, wording))
        finally:
            sender.lane.ended((monotonic() - began) / turns, taken=isinstance(outcome, Accepted))
        if outcome is not None:
            await self._tell(sender, outcome)

    async def _tell(self, sender: Sender, outcome: Outcome) -> None:
        """The message is done with, whether or not the deployment can be told about its provider."""
        try:
            await self._senders.heard(sender, outcome)
        except Exception:
            log.exception("provider_not_told", channel=sender.channel.name, provider=sender.channel.provider)

    async def _hand_off(
        self, sender: Sender, claims: Sequence[Claim], gate: Gate, answered_at: datetime | None
    ) -> tuple[Outcome, Decimal, timedelta | None, str]:
        """What became of it, what it costs, how long a receipt may take, and which text it was made of."""
        one = claims[0]
        flow = self._cards.flow(one.flow_version_id)
        step = flow.step(one.step)
        creditor = self._cards.creditor(one.creditor_id)
        if len(claims) > 1:
            outgoing = self._composer.compose_together(claims, flow, creditor)
        else:
            attachment = await self._files.attachment(one) if step.attach else None
            compose = partial(self._composer.compose, one, flow, creditor, attachment)
            outgoing = await asyncio.to_thread(compose) if self._composer.takes_long(claims, flow) else compose()
        if answered_at is not None:
            outgoing = replace(outgoing, answered_at=answered_at)
        outcome = await _through(sender, outgoing, gate)
        crash_point("after_send")
        within = self._senders.receipt_within(sender.key, step.fallback_after)
        return outcome, sender.cost(outgoing), within, outgoing.rendered.wording

    def _retry(self, sender: Sender) -> timedelta:
        """Soon, where another provider of the channel can take it."""
        return RETRY_AFTER if self._senders.alone(sender.key) else timedelta(seconds=ASIDE)

    async def _put_off(self, sender: Sender, messages: Sequence[Message], looked: Mapping[int, Looked]) -> None:
        """They come again at the provider's pace, behind what was put off before them, and never too late for that."""
        waits = sender.lane.put_off(len(messages), at_least=max(SOON, sender.wait))
        due = []
        for message, seconds in zip(messages, waits, strict=True):
            rows = [looked[one.reminder_id] for one in message]
            at = rows[0].now + timedelta(seconds=min(seconds, *(_latest(row, seconds) for row in rows)))
            due += [(row.id, at) for row in rows]
        async with self._db.connection() as connection:
            await give_back(connection, due)

    async def _postpone(self, rows: Sequence[tuple[int, datetime]]) -> None:
        if rows:
            async with self._db.connection() as connection:
                await give_back(connection, rows)

    def _own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        return task


async def _through(sender: Sender, outgoing: Outgoing, gate: Gate) -> Outcome:
    """Within the gate's timeout, if it has one, also where the channel does not heed it."""
    if gate.timeout is None:
        return await sender.channel.send(outgoing, gate)
    limit = gate.timeout + GRACE
    try:
        async with asyncio.timeout(limit):
            return await sender.channel.send(outgoing, gate)
    except TimeoutError:
        return Unknown(f"no answer within {limit:g} s")


def recorded(
    one: Claim,
    outcome: Outcome,
    retry: timedelta,
    cost: Decimal | None = None,
    within: timedelta | None = None,
    wording: str | None = None,
) -> Recorded:
    """An outcome as the ledger takes it. `retry`: when what was not sent comes again, if the provider says nothing."""
    if isinstance(outcome, Accepted):  # nearly all are
        ref, detail, due = outcome.provider_ref, outcome.detail or None, within or outcome.receipt_within
        return Recorded(one.reminder_id, one.fence, "accepted", ref, detail, None, None, due, cost, wording)
    said = partial(Recorded, one.reminder_id, one.fence, wording=wording)
    match outcome:
        case Unknown(detail=detail):
            return said("unknown", detail=detail, cost=cost)
        case Rejected(detail=detail, suppress=suppress):
            return said("rejected", detail=detail, suppress=suppress)
        case NotSent(detail=detail, retry_in=retry_in):
            return said("notsent", detail=detail, retry_in=retry_in or retry)
        case Deferred(detail=detail, retry_in=retry_in):
            return said("deferred", detail=detail, retry_in=retry_in)
        case Missed(detail=detail):
            return said("missed", detail=detail, retry_in=timedelta(minutes=30))


def _latest(row: Looked, seconds: float) -> float:
    return max((row.send_until - row.now).total_seconds() / 2, SOON) if row.send_until != FOREVER else seconds


def _wanted(one: Expected, together: int | None) -> Wanted:
    way = one.first
    if way is None:
        return Wanted(one.reminder_id, None, None, None, None, 0, one.reason)
    where = (way.channel, way.contact_point_id, way.provider, way.cost)
    caps = Caps(one.caps.per_day, one.caps.per_week, one.caps.gap) if one.caps else None
    return Wanted(one.reminder_id, *where, one.alternatives, one.reason, together, caps)
