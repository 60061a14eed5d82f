"""Books a batch of entries: what is new by set, what changes a known payment one by one (that is rare).

True here: nothing is asked once per entry on the common way; a batch is few statements, and each that books is one
transaction. Matching reads without locks: what was paid in between is then over, and waits, as with a webhook.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import asyncpg

from services.payments.domain.matching import Rules, Transfer, Verdict, judge_batch
from services.payments.domain.outcome import Kind, kept_for_later
from services.payments.domain.references import find, single_checked
from services.payments.domain.statement import Entry
from services.payments.handlers.record_payment import PaymentRecorder
from services.payments.store.matching import look
from services.payments.store.statements import Known, TakenBack, heard_before, known_payments, originals
from shared.crash import crash_point
from shared.ledger.money import PaymentSaid, barrier, match_by_name
from shared.ledger.statement import Share, book_entries

BATCH = 500

Identified = tuple[str, Entry]


class Outcome(StrEnum):
    """What became of an entry."""

    MATCHED = "matched"  # all of it, or all that was owed, went to invoices
    UNMATCHED = "unmatched"  # kept; a person decides
    PENDING = "pending"  # the bank has not booked it: reminders wait for it
    REVERSED = "reversed"  # took an earlier payment back
    DUPLICATE = "duplicates"  # known from another file, or sent again
    IGNORED = "ignored"  # money that went out


@dataclass(frozen=True, slots=True)
class _Done:
    outcome: Outcome
    invoices: tuple[int, ...] = ()


async def book_batch(
    recorder: PaymentRecorder, source_id: int, entries: Sequence[Identified], rules: Rules
) -> tuple[list[Outcome], float]:
    """Their outcomes, and the seconds of the hand-off barrier from now on."""

    async def work(connection: asyncpg.Connection) -> tuple[list[Outcome], float]:
        done = [
            each for once in _each_once(entries) for each in await _book(connection, recorder, source_id, once, rules)
        ]
        touched = sorted({invoice for each in done for invoice in each.invoices})
        wait = await barrier(connection, touched, recorder.window) if touched else 0.0
        return [each.outcome for each in done], wait

    return await recorder.db.retrying(work)


def _each_once(entries: Sequence[Identified]) -> list[list[Identified]]:
    """Rounds in which no payment occurs twice: two statements of one file may say the same."""
    rounds: list[list[Identified]] = []
    said: Counter[str] = Counter()
    for ref, entry in entries:
        if said[ref] == len(rounds):
            rounds.append([])
        rounds[said[ref]].append((ref, entry))
        said[ref] += 1
    return rounds


async def _book(
    connection: asyncpg.Connection,
    recorder: PaymentRecorder,
    source_id: int,
    entries: Sequence[Identified],
    rules: Rules,
) -> list[_Done]:
    out = [_Done(Outcome.IGNORED) for _, entry in entries if not entry.credit and not entry.takes_back]
    incoming = [(ref, entry) for ref, entry in entries if entry.credit and not entry.takes_back]
    back = [(ref, entry) for ref, entry in entries if not entry.credit and entry.takes_back and entry.booked]
    out += [_Done(Outcome.IGNORED)] * (len(entries) - len(out) - len(incoming) - len(back))
    known = await known_payments(connection, source_id, [ref for ref, _ in incoming])
    new = [(ref, entry) for ref, entry in incoming if ref not in known]
    for ref, entry in incoming:
        if ref in known:
            said = _said(source_id, ref, entry, single_checked(find(entry.references, entry.text)))
            out.append(await _hear_again(connection, recorder, said, known[ref]))
    if new:
        out += await _book_new(connection, recorder, source_id, new, rules)
    if back:
        out += await _take_back(connection, recorder, source_id, back)
    return out


async def _book_new(
    connection: asyncpg.Connection, recorder: PaymentRecorder, source_id: int, new: Sequence[Identified], rules: Rules
) -> list[_Done]:
    transfers = [_transfer(entry) for _, entry in new]
    verdicts = judge_batch(await look(connection, transfers), rules)
    said = [
        _said(source_id, ref, entry, single_checked(transfer.found))
        for (ref, entry), transfer in zip(new, transfers, strict=True)
    ]
    shares = [
        Share(nth, piece.invoice_id, piece.amount) for nth, verdict in enumerate(verdicts) for piece in verdict.pieces
    ]
    texts = [entry.text or None for _, entry in new]
    crash_point("before_payment_commit")
    booked = await book_entries(connection, said, texts, shares, hold=recorder.pending_hold)
    crash_point("after_payment_commit")
    await _look_again(connection, said, verdicts)
    done = []
    for each, (_, entry), verdict in zip(booked, new, verdicts, strict=True):
        invoices = tuple(piece.invoice_id for piece in verdict.pieces)
        kept = kept_for_later(each.invoice_id is not None, each.unmatched_reason)
        outcome = Outcome.UNMATCHED if kept else Outcome.MATCHED
        if not entry.booked:
            outcome = Outcome.PENDING
        done.append(_Done(outcome if each.fresh else Outcome.DUPLICATE, invoices))
    return done


async def _look_again(connection: asyncpg.Connection, said: Sequence[PaymentSaid], verdicts: Sequence[Verdict]) -> None:
    """Invoices that came in the same moment, by the references that prove themselves."""
    for each, verdict in zip(said, verdicts, strict=True):
        if each.reference is not None and not verdict.pieces:
            await match_by_name(connection, None, each.reference)


async def _hear_again(
    connection: asyncpg.Connection, recorder: PaymentRecorder, said: PaymentSaid, known: Known
) -> _Done:
    """The same word again, or the bank has booked what was pending."""
    if said.kind in known.kinds or (said.kind == Kind.PENDING and known.kinds):
        return _Done(Outcome.DUPLICATE, known.invoices)
    recorded = await recorder.store(connection, said)
    kept = kept_for_later(recorded.invoice_id is not None, recorded.unmatched_reason)
    touched = known.invoices if recorded.invoice_id is None else (*known.invoices, recorded.invoice_id)
    return _Done(Outcome.UNMATCHED if kept else Outcome.MATCHED, touched)


async def _take_back(
    connection: asyncpg.Connection, recorder: PaymentRecorder, source_id: int, back: Sequence[Identified]
) -> list[_Done]:
    """Reversals and returns: of the payment that they can only mean, else kept for a person."""
    before = await heard_before(connection, source_id, [ref for ref, _ in back])
    found = await originals(connection, source_id, [_taken_back(entry) for _, entry in back])
    done = []
    for (ref, entry), original in zip(back, found, strict=True):
        said = _said(source_id, before.get(ref) or original or ref, entry, None, kind=Kind.REVERSED, event_ref=ref)
        recorded = await recorder.store(connection, said)
        outcome = Outcome.REVERSED if recorded.unmatched_reason != "unknown_payment" else Outcome.UNMATCHED
        touched = () if recorded.invoice_id is None else (recorded.invoice_id,)
        done.append(_Done(outcome if recorded.fresh else Outcome.DUPLICATE, touched))
    return done


def _transfer(entry: Entry) -> Transfer:
    return Transfer(
        entry.amount, entry.currency, find(entry.references, entry.text), entry.payer_name, entry.payer_iban
    )


def _taken_back(entry: Entry) -> TakenBack:
    return TakenBack(entry.amount, entry.currency, entry.end_to_end, entry.payer_iban, entry.text)


def _said(
    source_id: int,
    ref: str,
    entry: Entry,
    reference: str | None,
    *,
    kind: Kind | None = None,
    event_ref: str | None = None,
) -> PaymentSaid:
    """`reference`: by which an invoice that comes later may claim the money; only one that proves itself."""
    payer = {"name": entry.payer_name, "iban": entry.payer_iban, "end_to_end": entry.end_to_end}
    return PaymentSaid(
        source_id,
        ref,
        kind or (Kind.CONFIRMED if entry.booked else Kind.PENDING),
        event_ref or ref,
        entry.amount,
        entry.currency,
        None,
        None,
        reference,
        datetime(entry.day.year, entry.day.month, entry.day.day, tzinfo=UTC) if entry.day else None,
        _given(payer),
        entry.evidence,
    )


def _given(payer: dict[str, str | None]) -> dict[str, Any] | None:
    return {name: text for name, text in payer.items() if text} or None
