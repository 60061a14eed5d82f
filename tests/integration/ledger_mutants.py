"""Ways to break the ledger, each with the test that notices: one decision is taken out of one function."""

from dataclasses import dataclass

import asyncpg

from shared.db.migrate import ledger_sql


@dataclass(frozen=True, slots=True)
class Mutant:
    what: str
    noticed_by: str
    good: str
    bad: str


MUTANTS = (
    Mutant(
        "the barrier never waits",
        "test_a_payment_waits_for_what_was_claimed_before_it",
        "greatest(0, extract(epoch FROM max(a.started) + p_window - clock_timestamp()))::double precision",
        "0 * count(*)::double precision",
    ),
    Mutant(
        "a claim does not look at the generation",
        "test_a_claim_cancels_what_belongs_to_an_old_generation",
        "WHEN r.generation <> i.generation THEN 'cancelled'",
        "WHEN false THEN 'cancelled'",
    ),
    Mutant(
        "a settlement cancels nothing, and a claim does not look at what is owed",
        "test_a_claim_cancels_what_is_settled_even_if_the_settlement_did_not",
        "WHEN r.requires_open AND coalesce(n.open_amount, t.open_amount) = 0 THEN 'cancelled'",
        "WHEN false THEN 'cancelled'",
    ),
    Mutant(
        "a claim does not look at holds",
        "test_a_claim_looks_at_a_hold_that_was_placed_after_the_reminder_was_queued",
        "WHEN h.kind IS NOT NULL THEN CASE WHEN r.requires_open THEN 'skipped' ELSE 'moved' END",
        "WHEN false THEN 'skipped'",
    ),
    Mutant(
        "a claim does not look at suppressions",
        "test_a_claim_gives_back_a_way_that_was_barred_after_the_look",
        "WHEN EXISTS (SELECT FROM suppression s WHERE s.contact_point_id = p.id AND s.channel = w.channel) THEN 'giveback'",
        "WHEN false THEN 'giveback'",
    ),
    Mutant(
        "a claim takes a way that was refused before",
        "test_a_claim_gives_back_a_way_that_was_refused_after_the_look",
        "a.contact_point_id = w.contact AND a.state NOT IN ('notsent', 'missed', 'resent')) THEN 'giveback'",
        "a.contact_point_id = w.contact AND false) THEN 'giveback'",
    ),
    Mutant(
        "a lost worker's reminder is queued again",
        "test_a_lost_worker_leaves_uncertain_never_queued",
        "UPDATE reminder r SET state = 'uncertain', reason = 'worker_lost', lease = NULL",
        "UPDATE reminder r SET state = 'pending', lease = NULL",
    ),
    Mutant(
        "a re-plan keeps nothing",
        "test_what_may_have_gone_out_for_the_same_date_is_not_planned_again",
        "WHERE a.reminder_id = r.id\n                    AND a.state NOT IN ('rejected', 'notsent', 'missed', 'undelivered'))",
        "WHERE a.reminder_id = r.id AND false)",
    ),
    Mutant(
        "a reopened invoice keeps its thank-you",
        "test_a_thank_you_goes_once_for_each_settlement_and_only_while_it_is_paid",
        "WHEN f.anchor = 'payment' AND NOT f.paid AND f.state <> 'waiting' THEN 'cancelled'",
        "WHEN false THEN 'cancelled'",
    ),
    Mutant(
        "a settlement does not release the thank-you",
        "test_a_settlement_cancels_what_has_not_gone_and_releases_the_thank_you",
        "THEN CASE WHEN f.by_money THEN 'pending' ELSE 'cancelled' END",
        "THEN NULL",
    ),
    Mutant(
        "a failure of an older attempt moves the reminder",
        "test_a_failure_of_an_older_attempt_does_not_move_the_reminder_under_a_newer_one",
        "ELSE r.fence = n.fence AND r.state IN ('sending', 'uncertain', 'accepted') END",
        "ELSE r.state IN ('sending', 'uncertain', 'accepted') END",
    ),
    Mutant(
        "a record ignores the fence",
        "test_a_record_of_an_older_attempt_does_not_move_the_reminder",
        "WHERE r.id = s.id AND r.fence = s.fence\n       AND (r.state IN ('sending', 'uncertain')",
        "WHERE r.id = s.id\n       AND (r.state IN ('sending', 'uncertain')",
    ),
    Mutant(
        "a hold skips the delivery and the thank-you",
        "test_a_hold_moves_the_delivery_to_its_end_and_skips_the_rest",
        "WHEN d.held IS NULL THEN 'queued' WHEN r.requires_open THEN 'skipped' ELSE 'pending' END,\n"
        "           reason = CASE WHEN d.held IS NOT NULL AND r.requires_open THEN d.held END,",
        "WHEN d.held IS NULL THEN 'queued' ELSE 'skipped' END,\n"
        "           reason = CASE WHEN d.held IS NOT NULL THEN d.held END,",
    ),
    Mutant(
        "an attempt past its lease stays started unless its reminder is sending",
        "test_an_attempt_past_its_lease_ends_whatever_its_reminder_is",
        "WHERE a.state = 'started' AND a.lease < clock_timestamp()",
        "WHERE a.state = 'started' AND r.state = 'sending' AND a.lease < clock_timestamp()",
    ),
    Mutant(
        "a late failure of a cancelled reminder is forgotten",
        "test_a_failure_learnt_for_a_cancelled_reminder_of_an_open_invoice_plans_it_again",
        "UPDATE invoice i SET replan_at = coalesce(i.replan_at, p_now, business_now())",
        "UPDATE invoice i SET replan_at = i.replan_at",
    ),
    Mutant(
        "a follower of a reminder that rests is forgotten",
        "test_a_follower_ends_when_its_parent_did_not_go",
        "p.followed AND p.state IN ('accepted', 'delivered', 'failed', 'cancelled', 'skipped')",
        "p.followed AND p.state IN ('accepted', 'delivered')",
    ),
    Mutant(
        "a thank-you goes although its settlement is over",
        "test_a_claim_cancels_a_thank_you_whose_settlement_is_over",
        "WHEN r.anchor = 'payment' AND (i.settled_at IS NULL OR r.occurrence <> i.settled_n) THEN 'cancelled'\n"
        "             WHEN h.kind",
        "WHEN false THEN 'cancelled'\n             WHEN h.kind",
    ),
    Mutant(
        "a hold that ends earlier leaves what it moved where it was",
        "test_a_hold_that_ends_earlier_brings_back_earlier_what_it_moved",
        "WHERE p_until < w.until AND r.sought",
        "WHERE false AND r.sought",
    ),
    Mutant(
        "a settlement leaves what the promise moved where it was",
        "test_a_settlement_brings_back_what_the_promise_moved",
        "UPDATE reminder r SET due_at = v_now FROM unnest(v_ended, v_until) AS e (invoice_id, until)\n     WHERE r.invoice_id",
        "UPDATE reminder r SET due_at = v_now FROM unnest(v_ended, v_until) AS e (invoice_id, until)\n     WHERE -r.invoice_id",
    ),
    Mutant(
        "a promise is kept by less than it says",
        "test_a_broken_promise_ends_its_hold_and_its_later_days",
        "WHEN t.open_amount <= p.leaves THEN 'kept'",
        "WHEN t.open_amount <= p.leaves + 1 THEN 'kept'",
    ),
    Mutant(
        "a broken promise goes on holding",
        "test_a_broken_promise_ends_its_hold_and_its_later_days",
        "AND (h.until <= v_now OR EXISTS (SELECT FROM broken b WHERE b.invoice_id = h.invoice_id))",
        "AND h.until <= v_now",
    ),
    Mutant(
        "an earlier promise is judged beside the newer one",
        "test_a_newer_promise_takes_the_place_of_the_one_before",
        "UPDATE promise SET state = 'dropped' WHERE invoice_id = p_invoice AND state = 'open';",
        "",
    ),
    Mutant(
        "a promise outlives its payment",
        "test_a_settlement_ends_the_promises_own_hold",
        "WHERE h.invoice_id = c.id AND c.settled_at IS NOT NULL"
        " AND h.kind IN ('promise', 'in_flight', 'said_paid') AND h.released_at IS NULL",
        "WHERE false",
    ),
    Mutant(
        "a receipt writes into an attempt that was given up",
        "test_after_resent_the_same_way_goes_again_and_a_receipt_moves_only_the_reminder",
        "WHERE a.reminder_id = n.id AND a.fence = n.fence AND a.state <> 'resent'",
        "WHERE a.reminder_id = n.id AND a.fence = n.fence",
    ),
    Mutant(
        "a record goes backwards",
        "test_a_receipt_may_come_before_the_record",
        "SET state = CASE WHEN a.state IN ('started', 'unknown') THEN s.becomes ELSE a.state END,",
        "SET state = s.becomes,",
    ),
    Mutant(
        "a record said twice loses the receipt's time",
        "test_recording_twice_changes_nothing",
        "ELSE a.receipt_due END,",
        "END,",
    ),
    Mutant(
        "a late acceptance does not call back",
        "test_a_late_acceptance_calls_back_what_was_given_up_for_another_channel",
        "OR (s.becomes = 'accepted' AND s.was = 'unknown' AND r.state IN ('pending', 'queued'))",
        "OR false",
    ),
    Mutant(
        "a follower goes when the call was taken",
        "test_a_follower_of_a_call_waits_for_its_end",
        "AND a.channel = 'voice' AND a.state = 'accepted' AND a.receipt_due IS NOT NULL))",
        "AND false))",
    ),
    Mutant(
        "a follower waits for ever for a call's end",
        "test_a_follower_of_a_call_whose_end_is_never_told_goes_all_the_same",
        "AND a.channel = 'voice' AND a.state = 'accepted' AND a.receipt_due IS NOT NULL))",
        "AND a.channel = 'voice' AND a.state = 'accepted'))",
    ),
    Mutant(
        "a key pressed in an older call counts",
        "test_a_key_pressed_makes_the_follower_due_at_once_and_only_in_the_call_that_is_current",
        "JOIN reminder p ON p.id = c.id AND p.fence = c.fence AND",
        "JOIN reminder p ON p.id = c.id AND",
    ),
    Mutant(
        "missed calls know no day",
        "test_a_missed_call_waits_for_its_spacing_and_for_its_number_a_day",
        "THEN greatest(v_now + n.retry, n.not_before) ELSE",
        "THEN v_now + n.retry ELSE",
    ),
    Mutant(
        "a record's cost is forgotten",
        "test_a_message_costs_what_its_record_says_times_what_its_receipt_says",
        "THEN coalesce(s.cost, a.cost)",
        "THEN a.cost",
    ),
    Mutant(
        "what is not claimed is counted",
        "test_only_what_was_claimed_counts_against_the_caps",
        "FROM asked a JOIN tried t ON t.reminder_id = a.id",
        "FROM (SELECT j.customer_id, v_now::date AS today, v_now::date AS monday, 0 AS day_n, 0 AS week_n FROM judged j) a",
    ),
    Mutant(
        "a void leaves what waits",
        "test_a_void_cancels_what_waits_too_and_waits_at_the_barrier",
        "WHERE r.invoice_id = p_invoice AND r.state IN ('waiting', 'pending', 'queued');",
        "WHERE r.invoice_id = p_invoice AND r.state IN ('pending', 'queued');",
    ),
    Mutant(
        "the next channel goes although the cause is gone",
        "test_without_a_receipt_and_without_a_cause_it_rests_as_accepted",
        "WHEN r.requires_open AND coalesce(n.open_amount = 0, i.settled_at IS NOT NULL) THEN a.state",
        "WHEN false THEN a.state",
    ),
    Mutant(
        "credit is thanked for",
        "test_settled_by_credit_alone_there_is_no_thank_you",
        "THEN CASE WHEN f.by_money THEN 'pending' ELSE 'cancelled' END",
        "THEN 'pending'",
    ),
    Mutant(
        "another date is not another reason to write",
        "test_another_date_is_planned_anew_and_the_first_one_stays_said",
        "ELSE r.anchor_date = n.due_date OR (n.id IS NULL AND r.anchor_date = v_invoice.issue_date) END AS gone_out",
        "ELSE true END AS gone_out",
    ),
    Mutant(
        "on uncertain the next channel goes although there is none",
        "test_on_uncertain_without_another_channel_rests_as_accepted",
        "(act.action = 'next_channel' AND act.alternatives > 0)",
        "(act.action = 'next_channel')",
    ),
    Mutant(
        "each reminder on one message counts against the caps",
        "test_what_rides_on_one_message_counts_once",
        "count(DISTINCT a.nth) AS times",
        "count(*) AS times",
    ),
    Mutant(
        "a clock that is set back gives the caps a new day",
        "test_the_caps_of_a_day_outlive_a_clock_that_is_set_back",
        "CASE WHEN k.day >= l.today THEN k.day_n ELSE 0 END",
        "CASE WHEN k.day = l.today THEN k.day_n ELSE 0 END",
    ),
    Mutant(
        "what is written off takes the place of money",
        "test_what_a_bank_kept_is_written_off_and_makes_way_for_money",
        "WHERE n.invoice_id = v_invoice.id AND n.amount > n.credited + n.allocated",
        "WHERE n.invoice_id = v_invoice.id AND n.open_amount > 0",
    ),
    Mutant(
        "a fee has no bound",
        "test_nothing_beyond_the_tolerance_is_written_off",
        "AND p.lacks <= p.due * b.percent / 100 AND p.so_far <= b.most",
        "",
    ),
    Mutant(
        "what was written off once stays",
        "test_a_reversal_undoes_what_was_written_off_and_asks_for_a_new_plan",
        "AND (n.written_off > 0 OR (n.allocated > 0 AND n.open_amount > 0))",
        "AND n.allocated > 0 AND n.open_amount > 0",
    ),
)


async def break_ledger(db: asyncpg.Connection, mutant: Mutant) -> None:
    """Installs the ledger with this one mistake."""
    text = ledger_sql()
    assert text.count(mutant.good) == 1, f"{mutant.what}: found {text.count(mutant.good)} times"
    await db.execute(text.replace(mutant.good, mutant.bad))
