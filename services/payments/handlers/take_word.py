"""Takes what a customer says on the page: I have paid, I will pay then, something is wrong, write to me so.

True here: decided under the invoice's lock; said again while it stands it changes nothing; answered only after the
commit and the hand-off barrier, so that what it stops does not go out after the answer. What stops ends by itself.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import assert_never
from zoneinfo import ZoneInfo

import asyncpg

from services.payments.domain.customer_word import (
    Bounds,
    Disputes,
    HasPaid,
    Prefers,
    Refused,
    WillPay,
    Word,
    heard_enough,
    wrong_plan,
)
from services.payments.store.page_facts import PageFacts, Way, page_facts, prefer, said_before
from services.payments.store.pay_links import invoice_of_link
from shared.db.engine import Database
from shared.kernel.money import check_minor_units
from shared.ledger.money import Stop, place_hold, place_promise
from shared.ledger.plan import lock_invoices
from shared.ledger.promise import Promised, WrongDay, promised_days
from shared.routing.channels import ONLY_WHERE_NAMED, REACHED_THROUGH, Channel
from shared.states import HoldKind, SaidBy

CHOICES = (Channel.EMAIL, Channel.SMS, Channel.WHATSAPP, Channel.RCS, Channel.PUSH, Channel.VOICE)


@dataclass(frozen=True, slots=True)
class Taken:
    """It stands, now or since before."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The link does not work, or nothing is owed any more."""


@dataclass(frozen=True, slots=True)
class _Invoice:
    """As it is under its lock; `now` is business time."""

    id: int
    currency: str
    open_amount: Decimal
    now: datetime


_OPEN = """
SELECT i.id, i.currency, sum(n.open_amount), business_now()
  FROM invoice i JOIN installment n ON n.invoice_id = i.id
 WHERE i.id = $1 AND i.closed_as IS NULL AND i.settled_at IS NULL GROUP BY i.id
"""


class TakeWord:
    """`kept`: how long a link works after there is nothing more to pay."""

    def __init__(self, db: Database, window: timedelta, kept: timedelta, bounds: Bounds) -> None:
        self._db = db
        self._window = window
        self.kept = kept
        self.bounds = bounds

    async def __call__(self, token: str, word: Word) -> Taken | Gone | Refused:
        async with self._db.transaction() as tx:
            answer = await self._decide(tx, token, word)
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            return Taken()
        return answer

    async def _decide(self, tx: asyncpg.Connection, token: str, word: Word) -> float | Taken | Gone | Refused:
        """A number: placed, and the barrier's seconds."""
        found = await invoice_of_link(tx, token, self.kept)
        if found is None:
            return Gone()
        await lock_invoices(tx, [found])
        row = await tx.fetchrow(_OPEN, found)
        if row is None and not isinstance(word, Prefers):
            return Gone()
        facts = await page_facts(tx, found)
        if _stands(word, facts):
            return Taken()
        if refused := heard_enough(word, await said_before(tx, found), self.bounds):
            return refused
        if isinstance(word, Prefers):
            return await _prefer(tx, found, facts, word)
        assert row is not None
        return await self._place(tx, _Invoice(*row), facts, word)

    async def _place(
        self, tx: asyncpg.Connection, invoice: _Invoice, facts: PageFacts, word: HasPaid | WillPay | Disputes
    ) -> float | Refused:
        match word:
            case HasPaid():
                stop = self._stop(invoice, HoldKind.SAID_PAID, "said_paid", self.bounds.paid_days)
            case Disputes(reason=reason, note=note):
                stop = self._stop(invoice, HoldKind.DISPUTE, reason, self.bounds.dispute_days, note)
            case WillPay():
                return await self._promise(tx, invoice, facts, word)
            case _:
                assert_never(word)
        return (await place_hold(tx, stop, window=self._window))[1]

    def _stop(self, invoice: _Invoice, kind: HoldKind, reason: str, days: int, note: str | None = None) -> Stop:
        until = invoice.now + timedelta(days=days)
        return Stop(kind, invoice.id, None, reason, until, note=note, said_by=SaidBy.CUSTOMER)

    async def _promise(
        self, tx: asyncpg.Connection, invoice: _Invoice, facts: PageFacts, word: WillPay
    ) -> float | Refused:
        if refused := wrong_plan(word, invoice.open_amount, self.bounds) or _wrong_amount(word, invoice.currency):
            return refused
        zone = ZoneInfo(facts.timezone)
        today = invoice.now.astimezone(zone).date()
        days = promised_days(word.days, today=today, zone=zone, ahead=self.bounds.promise_days)
        if isinstance(days, WrongDay):
            field = "amount" if days.fault == "no_amount" else "date"
            return Refused(f"promise_{days.fault}", f"{field}{days.index + 1}")
        promised = Promised(invoice.id, days, "promise", SaidBy.CUSTOMER)
        return (await place_promise(tx, promised, window=self._window))[1]


def _stands(word: Word, facts: PageFacts) -> bool:
    match word:
        case HasPaid():
            return facts.stands(HoldKind.SAID_PAID)
        case Disputes():
            return facts.stands(HoldKind.DISPUTE)
        case WillPay(days=days):
            return tuple((part.day, part.amount) for part in facts.promised) == days
        case Prefers(language=language, channel=channel):
            return _language(facts.locale) == language and facts.preferred_channel == channel


async def _prefer(tx: asyncpg.Connection, invoice_id: int, facts: PageFacts, word: Prefers) -> Taken | Refused:
    if word.channel is not None and word.channel not in usable_channels(facts):
        return Refused("unknown_choice", "channel")
    locale = facts.locale if _language(facts.locale) == word.language else word.language
    await prefer(tx, invoice_id, facts.customer_id, locale, word.channel)
    return Taken()


def usable_channels(facts: PageFacts) -> tuple[str, ...]:
    """Those on which some address of the customer may be written to."""
    ways = [way for way in facts.ways if not way.barred]
    return tuple(channel for channel in CHOICES if any(_takes(way, channel) for way in ways))


def _takes(way: Way, channel: str) -> bool:
    if REACHED_THROUGH[channel] != way.kind:
        return False
    return channel in way.channels if way.channels else channel not in ONLY_WHERE_NAMED


def _wrong_amount(word: WillPay, currency: str) -> Refused | None:
    for index, (_, amount) in enumerate(word.days, 1):
        try:
            if amount is not None:
                check_minor_units(amount, currency)
        except ValueError:
            return Refused("promise_amount", f"amount{index}")
    return None


def _language(locale: str) -> str:
    return locale.replace("_", "-").split("-")[0].lower()
