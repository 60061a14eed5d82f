"""The sentences of the protocol, one test each; `ledger_mutants` shows that each can fail."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal

import asyncpg
import pytest

from shared.kernel.caps import Caps
from shared.ledger.money import judge_promises, place_promise
from shared.ledger.promise import Promised, PromisedDay
from shared.ledger.send import Receipt, Recorded, Wanted, claim, hasten, record
from tests import factories
from tests.integration.ledger_checks import check_at_rest
from tests.integration.ledger_database import connect
from tests.integration.ledger_plan import STEPS, plan
from tests.integration.ledger_workers import LEASE, look, take
from tests.integration.ledger_world import DAY, MANY, WINDOW, World


@pytest.fixture
async def world(shared_database_dsn: str) -> AsyncIterator[World]:
    db = await connect(shared_database_dsn)
    made = World(db)
    await made.begin()
    yield made
    await db.close()


async def rows(world: World, step: str, leg: str = "") -> list[tuple[int, int, str]]:
    """(generation, occurrence, state) of a step's reminders, in their order."""
    found = await world.db.fetch(
        "SELECT generation, occurrence, state FROM reminder WHERE invoice_id = $1 AND step = $2 AND leg = $3 ORDER BY id",
        world.invoice.id,
        step,
        leg,
    )
    return [tuple(row) for row in found]


async def states(world: World, step: str, leg: str = "") -> list[str]:
    return [state for _, _, state in await rows(world, step, leg)]


async def only(world: World, step: str) -> None:
    """Everything but this step is out of the way."""
    await world.db.execute(
        "UPDATE reminder SET state = 'skipped', reason = 'test', due_at = NULL WHERE step <> $1 AND state IN ('pending', 'waiting')",
        step,
    )


async def attempts(world: World) -> list[tuple[int, str, str]]:
    found = await world.db.fetch("SELECT fence, channel, state FROM attempt ORDER BY reminder_id, fence")
    return [tuple(row) for row in found]


# --- claims


async def test_a_claim_cancels_what_belongs_to_an_old_generation(world: World) -> None:
    await only(world, "notice")
    await world.due()
    await world.db.execute("UPDATE invoice SET generation = generation + 1")
    assert await world.take_due(world.workers[0]) == ["cancelled"]
    assert await states(world, "notice") == ["cancelled"]


async def test_a_claim_cancels_what_is_settled_even_if_the_settlement_did_not(world: World) -> None:
    await only(world, "notice")
    await world.due()
    await world.db.execute("UPDATE installment SET credited = amount")
    assert await world.take_due(world.workers[0]) == ["cancelled"]


async def test_a_claim_looks_at_a_hold_that_was_placed_after_the_reminder_was_queued(world: World) -> None:
    await world.due()
    await world.look(world.workers[0], world.messages)
    await world.hold()
    assert await world.claim(world.workers[0]) == ["moved", "skipped", "skipped"]
    assert await states(world, "delivery") == ["pending"]
    assert await states(world, "overdue") == ["skipped", "pending"]


async def test_a_claim_gives_back_a_way_that_was_barred_after_the_look(world: World) -> None:
    await only(world, "notice")
    await world.due()
    await world.look(world.workers[0], world.messages)
    await world.bar("email")
    assert await world.claim(world.workers[0]) == ["giveback"]


async def test_a_claim_gives_back_a_way_that_was_refused_after_the_look(world: World) -> None:
    await only(world, "notice")
    await world.due()
    await world.look(world.workers[1], world.messages)
    await world.send_due(world.workers[0], "refused")
    await world.due()
    assert await world.claim(world.workers[1]) == ["giveback"]
    assert await attempts(world) == [(1, "email", "rejected")]


async def test_what_rides_on_one_message_counts_once(world: World) -> None:
    await world.due()
    wanted = [one._replace(together=1) for one in await look(world.db, world.messages)]
    claims = await claim(world.db, wanted, worker="one", lease=LEASE, caps=Caps(per_day=1), now=world.now)
    assert {each.verdict for each in claims} == {"claimed"}
    assert len(claims) > 2
    assert await world.db.fetchval("SELECT day_n FROM customer_contact") == 1


async def test_the_caps_of_a_day_outlive_a_clock_that_is_set_back(world: World) -> None:
    await world.due()
    first, second = (await look(world.db, world.messages))[-2:]
    caps, back = Caps(per_day=1), world.now - timedelta(days=2)
    went = await claim(world.db, [first], worker="one", lease=LEASE, caps=caps, now=world.now)
    stays = await claim(world.db, [second], worker="one", lease=LEASE, caps=caps, now=back)
    assert [each.verdict for each in went + stays] == ["claimed", "capped"]


async def test_of_two_claims_of_one_reminder_one_gets_it(world: World) -> None:
    await only(world, "notice")
    await world.due()
    for worker in world.workers:
        await world.look(worker, world.messages)
    assert await world.claim(world.workers[0]) == ["claimed"]
    assert await world.claim(world.workers[1]) == []


async def test_a_loser_at_the_index_never_aborts_its_batch(world: World) -> None:
    await world.due()
    delivery, notice = await world.db.fetch(
        "SELECT id FROM reminder WHERE step IN ('delivery', 'notice') AND leg = '' ORDER BY step"
    )
    await factories.attempt(world.db, notice["id"], world.invoice.contact_id, "accepted", receipt_due=None)
    await world.db.execute(
        "UPDATE reminder SET state = 'queued', lease = NULL, queued_at = now(), fence = 0 WHERE id = $1", notice["id"]
    )
    await world.db.execute("UPDATE attempt SET fence = 9")
    wanted = await look(world.db, [delivery["id"]])
    wanted.append(Wanted(notice["id"], "email", world.invoice.contact_id, "double", None, 1))
    claims = await claim(world.db, wanted, worker="one", lease=LEASE, caps=Caps(), now=world.now)
    assert {c.reminder_id: c.verdict for c in claims} == {delivery["id"]: "claimed", notice["id"]: "giveback"}


async def test_without_a_channel_left_a_claim_fails_the_reminder(world: World) -> None:
    await only(world, "notice")
    await world.bar("email")
    await world.bar("sms")
    assert await world.send_due(world.workers[0]) == ["failed"]
    assert await states(world, "notice") == ["failed"]


async def test_a_claim_cancels_a_thank_you_whose_settlement_is_over(world: World) -> None:
    await only(world, "thanks")
    await world.db.execute("UPDATE reminder SET state = 'waiting', reason = NULL WHERE step = 'thanks'")
    said = await world.pay()
    await world.retime()
    await world.take_due(world.workers[0])
    await world.reverse(said)
    await world.hand_over(world.workers[0], "not_sent")
    await world.record(world.workers[0])
    world.now += timedelta(hours=1)
    assert await world.take_due(world.workers[0]) == ["cancelled"]


async def test_what_is_late_goes_back_to_the_calendar(world: World) -> None:
    await only(world, "notice")
    await world.due()
    world.now += DAY * 3
    assert await world.take_due(world.workers[0]) == ["late"]
    assert await world.retime(skip=True) == 1
    assert await states(world, "notice") == ["skipped"]


# --- caps


async def test_only_what_was_claimed_counts_against_the_caps(world: World) -> None:
    """What goes back to the queue must not use up the customer's day."""
    await only(world, "notice")
    caps = Caps(per_day=1, gap=timedelta(hours=4))
    await world.due()
    await world.look(world.workers[0], world.messages)
    await world.bar("email")
    assert [c.verdict for c in await take(world.db, world.workers[0], world.now, caps=caps)] == ["giveback"]
    world.now += timedelta(seconds=2)
    await world.due()
    await world.look(world.workers[0], world.messages)
    assert [c.verdict for c in await take(world.db, world.workers[0], world.now, caps=caps)] == ["claimed"]
    assert await world.db.fetchval("SELECT day_n FROM customer_contact") == 1


async def test_what_exceeds_a_cap_waits_and_the_delivery_does_not_count(world: World) -> None:
    await world.due()
    await world.look(world.workers[0], world.messages)
    claims = await take(world.db, world.workers[0], world.now, caps=Caps(per_day=1))
    assert sorted((c.step, c.verdict) for c in claims) == [
        ("delivery", "claimed"),
        ("notice", "claimed"),
        ("overdue", "capped"),
    ]


async def test_a_minimum_delay_holds_for_the_next_claim_too(world: World) -> None:
    caps = Caps(gap=timedelta(hours=4))
    await only(world, "overdue")
    for expected in ("claimed", "capped"):
        await world.due()
        await world.look(world.workers[0], world.messages)
        world.messages = []
        assert [c.verdict for c in await take(world.db, world.workers[0], world.now, caps=caps)] == [expected]


# --- payments and the barrier


async def test_a_payment_waits_for_what_was_claimed_before_it(world: World) -> None:
    await world.take_due(world.workers[0])
    said = await world.pay()
    assert world.paid == set()
    await world.say(said)
    assert world.paid == set(), "a repeated event waits too"
    world.barrier_passes()
    await world.hand_over(world.workers[0])
    assert [held.result for held in world.workers[0].held] == ["not_sent"] * 3


async def test_a_payment_without_anything_in_flight_answers_at_once(world: World) -> None:
    await world.send_due(world.workers[0])
    await world.pay()
    assert world.paid == set(world.invoice.installments)


async def test_a_settlement_cancels_what_has_not_gone_and_releases_the_thank_you(world: World) -> None:
    await world.due()
    await world.pay()
    assert await states(world, "overdue") == ["cancelled", "cancelled"]
    assert await states(world, "notice", "then") == ["cancelled"]
    assert await states(world, "delivery") == ["queued"]
    assert await rows(world, "thanks") == [(1, 1, "pending")]


async def test_a_partial_payment_stops_only_the_installment_that_it_settles(world: World) -> None:
    await world.begin(("100.00", "100.00"))
    await world.pay("100.00")
    assert sorted(await states(world, "notice")) == ["cancelled", "pending"]
    assert await rows(world, "thanks") == [(1, 1, "waiting")]


async def test_a_thank_you_goes_once_for_each_settlement_and_only_while_it_is_paid(world: World) -> None:
    first = await world.pay()
    await world.reverse(first)
    assert await rows(world, "thanks") == [(1, 1, "cancelled")]
    await world.replan()
    assert (await rows(world, "thanks"))[1:] == [(2, 2, "waiting")]
    await world.pay()
    await world.retime()
    await world.send_due(world.workers[0])
    await world.come_to_rest()
    assert [state for _, _, state in await rows(world, "thanks")] == ["cancelled", "accepted"]


async def test_a_thank_you_in_flight_while_its_invoice_reopens_is_not_the_next_ones(world: World) -> None:
    said = await world.pay()
    await world.retime()
    await world.take_due(world.workers[0])
    await world.reverse(said)
    await world.replan()
    await world.pay()
    await world.retime()
    await world.hand_over(world.workers[0], "not_sent")
    await world.record(world.workers[0])
    await world.come_to_rest()
    assert [(occurrence, state) for _, occurrence, state in await rows(world, "thanks")] == [
        (1, "cancelled"),
        (2, "accepted"),
    ]


async def test_settled_by_credit_alone_there_is_no_thank_you(world: World) -> None:
    await world.credit(world.invoice.installments[0], "100.00")
    assert await rows(world, "thanks") == [(1, 1, "cancelled")]


async def test_a_follower_ends_with_its_parent_when_the_settlement_cancels_that(world: World) -> None:
    """A thank-you that is cancelled by credit takes its own follower along, which no open amount would stop."""
    ids = (world.invoice.id, None, "thanks")
    await world.db.execute("UPDATE reminder SET followed = true WHERE step = 'thanks'")
    columns = {"leg": "then", "anchor": "parent", "anchor_date": None, "requires_open": False, "state": "waiting"}
    await factories.reminder(world.db, *ids, **columns)  # type: ignore[arg-type]
    await world.credit(world.invoice.installments[0], "100.00")
    assert await states(world, "thanks", "then") == ["cancelled"]


async def test_a_void_cancels_what_waits_too_and_waits_at_the_barrier(world: World) -> None:
    await only(world, "notice")
    await world.db.execute("UPDATE reminder SET state = 'waiting', due_at = NULL, reason = NULL WHERE step = 'thanks'")
    await world.take_due(world.workers[0])
    await world.void()
    assert (await states(world, "thanks"), world.voided) == (["cancelled"], False)
    world.barrier_passes()
    assert world.voided


# --- planning again


async def test_what_may_have_gone_out_for_the_same_date_is_not_planned_again(world: World) -> None:
    await world.send_due(world.workers[0])
    said = await world.pay()
    await world.reverse(said)
    await world.replan()
    assert await rows(world, "notice") == [(2, 1, "accepted")]
    assert await rows(world, "delivery") == [(2, 1, "accepted")]
    assert await rows(world, "overdue") == [(2, 1, "accepted"), (1, 2, "cancelled"), (2, 2, "pending")]


async def test_what_is_being_sent_counts_as_gone_out(world: World) -> None:
    await world.take_due(world.workers[0])
    await world.change(other_date=False)
    await world.replan()
    assert await rows(world, "notice") == [(2, 1, "sending")]


async def test_what_was_refused_or_bounced_is_planned_again(world: World) -> None:
    await only(world, "notice")
    await world.send_due(world.workers[0], "bounces")
    await world.receipt(next(iter(world.handed)))
    await world.change(other_date=False)
    await world.replan()
    assert (await rows(world, "notice"))[0] == (1, 1, "cancelled")
    assert (await rows(world, "notice"))[1:] == [(2, 1, "pending")]


async def test_another_date_is_planned_anew_and_the_first_one_stays_said(world: World) -> None:
    await only(world, "notice")
    await world.send_due(world.workers[0])
    await world.change(other_date=True)
    await world.replan()
    assert await rows(world, "notice") == [(1, 1, "accepted"), (2, 1, "pending")]
    await world.send_due(world.workers[0])
    await world.change(other_date=True)
    await world.replan()
    assert await rows(world, "notice") == [(3, 1, "accepted"), (2, 1, "accepted")]


async def test_planning_twice_changes_nothing_but_the_generation(world: World) -> None:
    await world.send_due(world.workers[0])
    before = await world.db.fetch(
        "SELECT step, occurrence, leg, state FROM reminder WHERE generation = 1 ORDER BY 1, 2, 3"
    )
    await plan(world.db, world.invoice.id, world.now)
    after = await world.db.fetch(
        "SELECT step, occurrence, leg, state FROM reminder WHERE generation = 2 ORDER BY 1, 2, 3"
    )
    assert after == before


async def test_a_failure_learnt_for_a_cancelled_reminder_of_an_open_invoice_plans_it_again(world: World) -> None:
    await only(world, "notice")
    await world.take_due(world.workers[0])
    await world.hand_over(world.workers[0], "bounces")
    await world.record(world.workers[0])
    await world.receipts_stay_out()
    said = await world.pay()
    await world.reverse(said)
    await world.replan()
    assert (await states(world, "notice"))[0] == "cancelled"
    await world.receipt(next(iter(world.handed)))
    await world.replan()
    assert (await states(world, "notice"))[1:] == ["pending"]


# --- due, repeats, holds


async def test_whatever_takes_an_occurrence_out_of_pending_first_plans_the_next(world: World) -> None:
    await only(world, "overdue")
    await world.hold()
    await world.due()
    assert await rows(world, "overdue") == [(1, 1, "skipped"), (1, 2, "pending")]


async def test_a_hold_moves_the_delivery_to_its_end_and_skips_the_rest(world: World) -> None:
    await world.hold()
    await world.due()
    assert (await states(world, "delivery"), await states(world, "notice")) == (["pending"], ["skipped"])
    assert await states(world, "notice", "then") == ["cancelled"]
    world.now += timedelta(days=2, minutes=1)
    await world.retime()
    await world.send_due(world.workers[0])
    assert await states(world, "delivery") == ["accepted"]


async def test_a_released_hold_brings_back_what_it_moved(world: World) -> None:
    await only(world, "delivery")
    await world.hold()
    await world.due()
    await world.release()
    await world.retime()
    await world.send_due(world.workers[0])
    assert await states(world, "delivery") == ["accepted"]


async def test_a_hold_that_ends_earlier_brings_back_earlier_what_it_moved(world: World) -> None:
    await only(world, "delivery")
    await world.hold(days=9)
    await world.due()
    await world.hold(days=2)
    world.now += timedelta(days=2, minutes=1)
    await world.retime()
    await world.send_due(world.workers[0])
    assert await states(world, "delivery") == ["accepted"]


async def test_a_settlement_brings_back_what_the_promise_moved(world: World) -> None:
    await only(world, "delivery")
    await world.hold("promise")
    await world.due()
    await world.pay()
    await world.retime()
    await world.send_due(world.workers[0])
    assert await states(world, "delivery") == ["accepted"]


async def promise(world: World, *days: tuple[int, str | None]) -> None:
    made = tuple(
        PromisedDay(world.now + timedelta(days=day), None if amount is None else Decimal(amount))
        for day, amount in days
    )
    await place_promise(world.db, Promised(world.invoice.id, made), window=WINDOW, now=world.now)


async def judged(world: World, days: int) -> list[str]:
    """What became of the promises that many days from now."""
    world.now += timedelta(days=days, minutes=1)
    return [state for _, state in await judge_promises(world.db, MANY, world.now)]


async def held(world: World) -> bool:
    sql = "SELECT EXISTS (SELECT FROM hold WHERE released_at IS NULL AND until > $1)"
    return await world.db.fetchval(sql, world.now) is True


async def test_a_promise_is_kept_by_what_came_and_judged_once_for_each_day(world: World) -> None:
    await promise(world, (2, "60.00"), (5, None))
    await world.pay("60.00")
    assert await judged(world, 1) == []
    assert await judged(world, 1) == ["kept"]
    assert await held(world)
    await world.pay("500.00")
    assert await judged(world, 3) == ["kept"]
    assert await judged(world, 30) == []


async def test_a_broken_promise_ends_its_hold_and_its_later_days(world: World) -> None:
    await only(world, "delivery")
    await promise(world, (2, "60.00"), (9, None))
    await world.due()
    await world.pay("59.99")
    assert sorted(await judged(world, 2)) == ["broken", "dropped"]
    assert not await held(world)
    await world.retime()
    await world.send_due(world.workers[0])
    assert await states(world, "delivery") == ["accepted"]
    told = "SELECT array_agg(kind) FROM event WHERE kind LIKE 'promise.%'"
    assert await world.db.fetchval(told) == ["promise.broken"]


async def test_a_newer_promise_takes_the_place_of_the_one_before(world: World) -> None:
    await promise(world, (2, None))
    await promise(world, (4, None))
    assert await judged(world, 2) == []
    assert await judged(world, 2) == ["broken"]


async def test_a_settlement_ends_the_promises_own_hold(world: World) -> None:
    await world.hold("promise")
    await world.pay()
    await world.retime()
    await world.send_due(world.workers[0])
    assert await states(world, "thanks") == ["accepted"]


async def test_never_more_rows_are_queued_than_allowed(world: World) -> None:
    from shared.ledger.due import queue_due

    assert len(await queue_due(world.db, limit=10, max_queued=2, now=world.now)) == 2
    assert await queue_due(world.db, limit=10, max_queued=2, now=world.now) == []


# --- records, receipts, leases


async def test_a_lost_worker_leaves_uncertain_never_queued(world: World) -> None:
    await only(world, "notice")
    await world.take_due(world.workers[0])
    await world.end_leases(world.workers[0], dead=True)
    assert (await states(world, "notice"), await attempts(world)) == (["uncertain"], [(1, "email", "unknown")])


async def test_an_attempt_past_its_lease_ends_whatever_its_reminder_is(world: World) -> None:
    await only(world, "notice")
    await world.take_due(world.workers[0])
    await world.db.execute(
        "UPDATE reminder SET state = 'delivered', reason = 'receipt', lease = NULL WHERE state = 'sending'"
    )
    await world.end_leases(world.workers[0], dead=True)
    assert await attempts(world) == [(1, "email", "unknown")]


async def test_a_receipt_may_come_before_the_record(world: World) -> None:
    await only(world, "notice")
    await world.take_due(world.workers[0])
    await world.hand_over(world.workers[0])
    await world.receipt(next(iter(world.handed)))
    await world.record(world.workers[0])
    assert (await states(world, "notice"), await attempts(world)) == (["delivered"], [(1, "email", "delivered")])


async def test_a_failure_of_an_older_attempt_does_not_move_the_reminder_under_a_newer_one(world: World) -> None:
    await only(world, "notice")
    await world.send_due(world.workers[0], "bounces")
    await world.receipts_stay_out()
    await world.send_due(world.workers[0], "silent_but_taken")
    await world.receipt(next(iter(world.handed)))
    assert await attempts(world) == [(1, "email", "undelivered"), (2, "sms", "unknown")]
    assert await states(world, "notice") == ["uncertain"]


async def test_delivered_counts_from_any_attempt(world: World) -> None:
    await only(world, "notice")
    await world.send_due(world.workers[0], "delivered")
    await world.receipts_stay_out()
    await world.due()
    await world.receipt(next(iter(world.handed)))
    assert (await states(world, "notice"), await attempts(world)) == (["delivered"], [(1, "email", "delivered")])


async def test_a_record_of_an_older_attempt_does_not_move_the_reminder(world: World) -> None:
    await only(world, "notice")
    await world.take_due(world.workers[0])
    await world.hand_over(world.workers[0], "silent_and_lost")
    await world.end_leases(world.workers[0], dead=False)
    held, world.workers[0].held = world.workers[0].held, []
    await world.decide_uncertain()
    await world.take_due(world.workers[1])
    world.workers[0].held = held
    await world.record(world.workers[0])
    assert await states(world, "notice") == ["sending"]
    assert await attempts(world) == [(1, "email", "unknown"), (2, "sms", "started")]


async def test_a_late_acceptance_calls_back_what_was_given_up_for_another_channel(world: World) -> None:
    await only(world, "notice")
    await world.take_due(world.workers[0])
    await world.hand_over(world.workers[0])
    await world.end_leases(world.workers[0], dead=False)
    held, world.workers[0].held = world.workers[0].held, []
    await world.decide_uncertain()
    assert await states(world, "notice") == ["pending"]
    world.workers[0].held = held
    await world.record(world.workers[0])
    assert (await states(world, "notice"), await attempts(world)) == (["accepted"], [(1, "email", "accepted")])


async def test_recording_twice_changes_nothing(world: World) -> None:
    await only(world, "notice")
    await world.take_due(world.workers[0])
    await world.hand_over(world.workers[0])
    await world.record(world.workers[0], times=2)
    assert await world.db.fetchval("SELECT receipt_due FROM attempt") == world.now + timedelta(hours=6)
    assert await world.db.fetchval("SELECT count(*) FROM event WHERE kind = 'attempt.accepted'") == 1


async def test_a_refusal_goes_to_the_next_channel_at_once_and_at_the_end_fails(world: World) -> None:
    await only(world, "notice")
    for expected in ("pending", "failed"):
        await world.send_due(world.workers[0], "refused")
        assert await states(world, "notice") == [expected]
    assert await attempts(world) == [(1, "email", "rejected"), (2, "sms", "rejected")]


async def test_what_cannot_be_made_is_given_up_after_its_limit(world: World) -> None:
    await only(world, "delivery")
    for _ in range(3):
        assert await world.take_due(world.workers[0]) == ["claimed"]
        held = world.workers[0].held.pop()
        broken = [Recorded(*held.key, "broken", retry_in=timedelta(seconds=1))]
        await record(world.db, broken, missed_limit=3, deferred_limit=3, broken_limit=3, now=world.now)
        world.now += timedelta(hours=1)
    assert await states(world, "delivery") == ["failed"]


async def test_a_missed_channel_is_tried_again_up_to_its_limit_and_then_the_next(world: World) -> None:
    await only(world, "delivery")
    for _ in range(3):
        await world.send_due(world.workers[0], "misses")
        await world.receipt(list(world.handed)[-1])
        world.now += timedelta(minutes=10)
    assert await attempts(world) == [(1, "email", "missed"), (2, "email", "missed"), (3, "email", "undelivered")]
    await world.send_due(world.workers[0])
    assert (await attempts(world))[-1] == (4, "sms", "accepted")


async def test_without_a_receipt_in_time_the_next_channel_goes(world: World) -> None:
    await only(world, "notice")
    await world.send_due(world.workers[0])
    await world.receipts_stay_out()
    await world.send_due(world.workers[0])
    assert await attempts(world) == [(1, "email", "expired"), (2, "sms", "accepted")]


async def test_without_a_receipt_and_without_a_cause_it_rests_as_accepted(world: World) -> None:
    await only(world, "notice")
    await world.send_due(world.workers[0])
    await world.pay()
    await world.receipts_stay_out()
    assert (await states(world, "notice"), await attempts(world)) == (["accepted"], [(1, "email", "accepted")])


async def test_after_resent_the_same_way_goes_again_and_a_receipt_moves_only_the_reminder(world: World) -> None:
    await only(world, "delivery")
    await world.send_due(world.workers[0], "silent_but_taken")
    await world.decide_uncertain()
    assert await attempts(world) == [(1, "email", "resent")]
    await world.send_due(world.workers[0], "silent_and_lost")
    assert await attempts(world) == [(1, "email", "resent"), (2, "email", "unknown")]
    await world.receipt(next(iter(world.handed)))
    assert (await states(world, "delivery"), (await attempts(world))[0]) == (["delivered"], (1, "email", "resent"))


async def test_what_a_live_worker_does_not_know_is_decided_without_waiting_for_its_lease(world: World) -> None:
    await only(world, "overdue")
    await world.send_due(world.workers[0], "silent_but_taken")
    await world.decide_uncertain()
    assert (await states(world, "overdue"))[0] == "accepted"


async def test_on_uncertain_without_another_channel_rests_as_accepted(world: World) -> None:
    await only(world, "notice")
    await world.bar("sms")
    await world.send_due(world.workers[0], "silent_but_taken")
    await world.decide_uncertain()
    assert await states(world, "notice") == ["accepted"]


async def test_a_follower_goes_when_its_parent_went(world: World) -> None:
    await world.send_due(world.workers[0])
    assert await states(world, "notice", "then") == ["pending"]
    await world.come_to_rest()
    assert await states(world, "notice", "then") == ["accepted"]


async def test_a_follower_ends_when_its_parent_did_not_go(world: World) -> None:
    await world.bar("email")
    await world.bar("sms")
    await world.send_due(world.workers[0])
    assert (await states(world, "notice"), await states(world, "notice", "then")) == (["failed"], ["cancelled"])


async def a_call_is_taken(world: World) -> tuple[int, int]:
    """The notice went as a call, of which no end is known; its (reminder, fence)."""
    await world.bar("sms")
    await only(world, "notice")
    await world.db.execute(
        "UPDATE reminder SET state = 'waiting', reason = NULL WHERE step = 'notice' AND leg = 'then'"
    )
    await world.take_due(world.workers[0])
    await world.db.execute("UPDATE attempt SET channel = 'voice'")
    await world.hand_over(world.workers[0])
    await world.record(world.workers[0])
    return next(iter(world.handed))


async def test_a_follower_of_a_call_waits_for_its_end(world: World) -> None:
    call = await a_call_is_taken(world)
    assert (await states(world, "notice"), await states(world, "notice", "then")) == (["accepted"], ["waiting"])
    await world.receipt(call)
    assert (await states(world, "notice"), await states(world, "notice", "then")) == (["delivered"], ["pending"])


async def test_a_follower_of_a_call_whose_end_is_never_told_goes_all_the_same(world: World) -> None:
    await a_call_is_taken(world)
    await world.receipts_stay_out()
    assert (await states(world, "notice"), await states(world, "notice", "then")) == (["accepted"], ["pending"])


async def test_a_key_pressed_makes_the_follower_due_at_once_and_only_in_the_call_that_is_current(world: World) -> None:
    reminder, fence = await a_call_is_taken(world)
    assert await hasten(world.db, [(reminder, fence + 1)], now=world.now) == []
    assert await states(world, "notice", "then") == ["waiting"]
    assert await hasten(world.db, [(reminder, fence)], now=world.now) == [reminder]
    assert await hasten(world.db, [(reminder, fence)], now=world.now) == []
    assert await states(world, "notice", "then") == ["pending"]


async def test_a_missed_call_waits_for_its_spacing_and_for_its_number_a_day(world: World) -> None:
    await only(world, "delivery")
    waits = []
    for _ in range(3):
        await world.send_due(world.workers[0], "misses")
        missed = Receipt(*list(world.handed)[-1], "missed", retry_in=timedelta(hours=2), limit=5, per_day=2)
        await world.receive(missed)
        due = await world.db.fetchval("SELECT due_at FROM reminder WHERE step = 'delivery'")
        waits.append(due - world.now)
        world.now = due
    assert waits == [timedelta(hours=2), timedelta(hours=22), timedelta(hours=2)]


async def test_a_message_costs_what_its_record_says_times_what_its_receipt_says(world: World) -> None:
    await only(world, "delivery")
    await world.take_due(world.workers[0])
    held = world.workers[0].held.pop()
    said = [Recorded(*held.key, "accepted", cost=Decimal("0.15"))]
    for _ in range(2):
        await record(world.db, said, missed_limit=3, deferred_limit=3, broken_limit=3, now=world.now)
    assert await world.db.fetchval("SELECT cost FROM attempt") == Decimal("0.15")
    for _ in range(2):
        await world.receive(Receipt(*held.key, "delivered", units=3))
    assert await world.db.fetchval("SELECT cost FROM attempt") == Decimal("0.45")


async def test_everything_finds_its_end_when_all_parts_are_up(world: World) -> None:
    await world.come_to_rest()
    await check_at_rest(world.db)
    assert {state for step in STEPS for state in await states(world, step)} == {"accepted", "waiting"}


async def test_wrong_fences_and_unknown_reminders_are_told_nothing(world: World) -> None:
    late = await record(
        world.db, [Recorded(10**9, 1, "accepted")], missed_limit=3, deferred_limit=3, broken_limit=3, now=world.now
    )
    assert late == []


async def test_a_payment_of_an_event_heard_before_is_not_fresh(world: World) -> None:
    said = await world.pay("30")
    await world.say(said)
    assert await world.db.fetchval("SELECT sum(open_amount) FROM installment") == 70
    assert await world.db.fetchval("SELECT count(*) FROM payment_event") == 1


async def test_money_never_becomes_more_than_is_owed(world: World) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await world.db.execute("UPDATE installment SET allocated = amount + 1")


async def written_off(world: World) -> tuple[Decimal, bool]:
    """What is written off, and whether the invoice is settled."""
    row = await world.db.fetchrow(
        "SELECT sum(n.written_off), i.settled_at IS NOT NULL FROM installment n JOIN invoice i ON i.id = n.invoice_id GROUP BY i.id"
    )
    assert row
    return row[0], row[1]


async def test_what_a_bank_kept_is_written_off_and_makes_way_for_money(world: World) -> None:
    await world.pay("97.00")
    assert await written_off(world) == (Decimal(3), True)
    await world.pay("10.00")
    assert await written_off(world) == (Decimal(0), True)
    assert await world.db.fetchval("SELECT sum(allocated) FROM installment") == 100


async def test_nothing_beyond_the_tolerance_is_written_off(world: World) -> None:
    await world.pay("94.00")
    assert await written_off(world) == (Decimal(0), False)


async def test_a_reversal_undoes_what_was_written_off_and_asks_for_a_new_plan(world: World) -> None:
    said = await world.pay("97.00")
    await world.reverse(said)
    assert await written_off(world) == (Decimal(0), False)
    assert await world.db.fetchval("SELECT replan_at IS NOT NULL FROM invoice")
