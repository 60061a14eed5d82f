-- The life of a reminder: every statement that moves one, in one room, because its correctness is the interplay.
--
-- True here, whoever calls, however often, in whatever order:
--   * Only claim() lets a message out, and it decides under the invoice's lock on what it reads after it has the lock. Each plpgsql
--     statement sees what was committed before that statement (READ COMMITTED), so the lock is always a statement of its own.
--   * Locks are taken in one order: invoices by id, customer_contact by customer, 'stop everything', reminders by id, attempts.
--   * Foreign keys to invoice take KEY SHARE; whoever changes what is owed locks FOR NO KEY UPDATE, which meets the claim's FOR
--     SHARE but not the keys. FOR UPDATE here could deadlock with record() and queue_due().
--   * Business time (due_at, send_until, holds) is `p_now`, NULL meaning business_now(). Leases and started are clock_timestamp().
--   * `sought` is the state while a loop looks for rows in it (pending, queued, uncertain), else NULL. The indices are on it and not on
--     state, so that sending -> accepted, which every message goes through, touches no index (HOT).
--   * What runs once for each batch of messages is planned once, by index and by nested loops: planning it anew costs as much as running it,
--     and a plan made while a table was small would read it whole, alone or to hash or merge it, until somebody analyzes it.
-- Installed by `python -m services.migrate` after the migrations; each function is replaced whole, so a changed signature takes a
-- new name (old and new processes run side by side during a rollout).

-- === time ========================================================================================================================

CREATE OR REPLACE FUNCTION business_now() RETURNS timestamptz LANGUAGE sql STABLE AS
$$ SELECT clock_timestamp() + ahead FROM business_clock $$;

-- What stops an invoice's reminders now: of several holds the one that ends last. A set, because PostgreSQL puts only those into the
-- plan of their caller; called once a row it costs more than the rest of a claim's reading.
CREATE OR REPLACE FUNCTION hold_on(p_invoice bigint, p_customer bigint, p_now timestamptz)
RETURNS TABLE (kind text, until timestamptz) LANGUAGE sql STABLE ROWS 1 AS
$$
  SELECT h.kind, h.until FROM hold h
   WHERE h.released_at IS NULL AND h.starts_at <= p_now AND h.until > p_now
     AND (h.invoice_id = p_invoice OR h.customer_id = p_customer OR (h.invoice_id IS NULL AND h.customer_id IS NULL))
   ORDER BY h.until DESC LIMIT 1
$$;

-- Whether something open of this invoice (or installment) has to be asked about before a reminder of it goes: no polled source has said
-- within p_fresh what is owed, nor was asked in vain with leave to send all the same: the step's own (p_on_unknown, 'hold' | 'send'), or,
-- where it is NULL, the sources'. What was said after p_now was said by a clock that has been set back since, and counts for nothing.
-- Called only where a polled source is configured.
CREATE OR REPLACE FUNCTION unchecked(p_invoice bigint, p_installment bigint, p_on_unknown text, p_fresh interval, p_now timestamptz)
RETURNS boolean LANGUAGE sql STABLE AS
$$
  SELECT EXISTS (SELECT FROM installment n
                  WHERE n.invoice_id = p_invoice AND (p_installment IS NULL OR n.id = p_installment) AND n.open_amount > 0
                    AND coalesce(n.checked_at NOT BETWEEN p_now - p_fresh AND p_now, true)
                    AND coalesce(CASE p_on_unknown WHEN 'hold' THEN NULL WHEN 'send' THEN n.unknown_at ELSE n.waived_at END
                                 NOT BETWEEN p_now - p_fresh AND p_now, true))
$$;

-- A polled source was asked about these invoices in vain. Their reminders that are due wait for p_for before anybody looks again, unless
-- their step says 'send', or says nothing and p_on_unknown, the sources' own word, is 'send'. That one waits is told once.
CREATE OR REPLACE FUNCTION nobody_knows(p_invoices bigint[], p_on_unknown text, p_for interval, p_now timestamptz) RETURNS void
LANGUAGE plpgsql AS
$$
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
BEGIN
  PERFORM FROM invoice i WHERE i.id = ANY (p_invoices) ORDER BY i.id FOR NO KEY UPDATE;
  UPDATE installment n SET unknown_at = v_now, waived_at = CASE p_on_unknown WHEN 'send' THEN v_now END
   WHERE n.invoice_id = ANY (p_invoices) AND n.open_amount > 0;

  WITH waits AS (
    UPDATE reminder r SET due_at = v_now + p_for
     WHERE r.id IN (SELECT d.id FROM reminder d WHERE d.invoice_id = ANY (p_invoices) AND d.state = 'pending' AND d.requires_open
                       AND d.due_at < v_now + interval '2 minutes' AND coalesce(d.on_unknown, p_on_unknown) = 'hold'
                     ORDER BY d.id FOR UPDATE SKIP LOCKED)
    RETURNING r.id, r.invoice_id, r.step, r.on_unknown
  )
  INSERT INTO event (at, invoice_id, reminder_id, kind, data)
  SELECT v_now, w.invoice_id, w.id, 'reminder.unknown',
         jsonb_build_object('step', w.step, 'on_unknown', 'hold', 'says', CASE WHEN w.on_unknown IS NULL THEN 'source' ELSE 'flow' END)
    FROM waits w
   WHERE NOT EXISTS (SELECT FROM event e WHERE e.invoice_id = w.invoice_id AND e.reminder_id = w.id AND e.kind = 'reminder.unknown');
END
$$;

-- === PLAN ========================================================================================================================

-- Opens a new generation of an invoice's plan; the caller holds its lock and plans into the generation that this answers.
-- What may have gone out for the same date is carried over, so that the unique key bars a second plan of it; everything else that
-- has not gone is cancelled. A `then` shares its parent's fate.
CREATE OR REPLACE FUNCTION open_generation(p_invoice bigint, p_now timestamptz)
RETURNS integer LANGUAGE plpgsql AS
$$
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
  v_invoice invoice;
BEGIN
  PERFORM FROM reminder r WHERE r.invoice_id = p_invoice ORDER BY r.id FOR UPDATE;
  UPDATE invoice SET generation = generation + 1, replan_at = NULL WHERE id = p_invoice RETURNING * INTO v_invoice;

  WITH mine AS (
    SELECT r.id, r.step, r.occurrence, r.leg, r.installment_id, r.generation,
           EXISTS (SELECT FROM attempt a WHERE a.reminder_id = r.id
                    AND a.state NOT IN ('rejected', 'notsent', 'missed', 'undelivered'))
           AND CASE r.anchor WHEN 'issue' THEN r.anchor_date = v_invoice.issue_date
                             WHEN 'payment' THEN r.occurrence = v_invoice.settled_n + (v_invoice.settled_at IS NULL)::int
                             ELSE r.anchor_date = n.due_date OR (n.id IS NULL AND r.anchor_date = v_invoice.issue_date) END AS gone_out,
           v_invoice.closed_as IS NOT NULL
           OR (r.requires_open AND coalesce(n.open_amount = 0, v_invoice.settled_at IS NOT NULL))
           OR (r.anchor = 'payment' AND v_invoice.settled_at IS NULL) AS void_of_cause
      FROM reminder r LEFT JOIN installment n ON n.id = r.installment_id
     WHERE r.invoice_id = p_invoice
  ), kept AS (
    SELECT DISTINCT ON (m.step, m.occurrence, m.leg, m.installment_id) m.id, m.void_of_cause FROM mine m
     WHERE m.gone_out OR (m.leg = 'then' AND EXISTS (
       SELECT FROM mine p WHERE p.leg = '' AND p.gone_out AND p.generation = m.generation AND p.step = m.step
          AND p.occurrence = m.occurrence AND p.installment_id IS NOT DISTINCT FROM m.installment_id))
     ORDER BY m.step, m.occurrence, m.leg, m.installment_id, m.generation DESC, m.id DESC
  )
  UPDATE reminder r
     SET generation = CASE WHEN k.id IS NULL THEN r.generation ELSE v_invoice.generation END,
         state = CASE WHEN r.state IN ('waiting', 'pending', 'queued') AND (k.id IS NULL OR k.void_of_cause)
                      THEN 'cancelled' ELSE r.state END,
         reason = CASE WHEN r.state IN ('waiting', 'pending', 'queued') AND (k.id IS NULL OR k.void_of_cause)
                       THEN CASE WHEN v_invoice.closed_as IS NOT NULL THEN v_invoice.closed_as
                                 WHEN k.void_of_cause THEN 'paid' ELSE 'planned_anew' END
                       ELSE r.reason END
    FROM reminder x LEFT JOIN kept k ON k.id = x.id
   WHERE x.invoice_id = p_invoice AND r.id = x.id
     AND (k.id IS NOT NULL OR r.state IN ('waiting', 'pending', 'queued'));

  RETURN v_invoice.generation;
END
$$;

-- === DUE =========================================================================================================================

-- Takes what is due out of pending: queued, or, inside a hold, skipped (the delivery and the thank-you move to the hold's end).
-- Where a polled source is configured and has not said lately what is owed, a row stays pending and is looked at again soon.
-- Rows whose time has passed or was never fixed are left for the calendar (see to_retime). Answers every row that it moved; the
-- caller inserts occurrence n + 1 of those that repeat, in this transaction, and publishes the queued ones after it.
CREATE OR REPLACE FUNCTION queue_these(p_ids bigint[], p_invoices bigint[], p_now timestamptz)
RETURNS TABLE (id bigint, state text, urgent boolean, repeats boolean) LANGUAGE plpgsql AS
$$
#variable_conflict use_column
DECLARE
  v_now timestamptz := p_now;
  v_locked bigint[];
  v_passed bigint[];  -- those that somebody else has: mostly none, where those that are locked are many to compare each row with
  v_fresh interval := (SELECT c.fresh_for FROM payment_check c);
BEGIN
  SELECT array_agg(l.id) INTO v_locked
    FROM (SELECT i.id FROM invoice i WHERE i.id = ANY (p_invoices) ORDER BY i.id FOR SHARE SKIP LOCKED) l;
  SELECT coalesce(array_agg(x.id), '{}') INTO v_passed FROM (SELECT unnest(p_invoices) EXCEPT SELECT unnest(v_locked)) x (id);

  RETURN QUERY
  WITH due AS (
    SELECT r.id, h.kind AS held, h.until,
           v_fresh IS NOT NULL AND h.kind IS NULL AND r.requires_open AND unchecked(i.id, r.installment_id, r.on_unknown, v_fresh, v_now) AS unchecked
      FROM reminder r JOIN invoice i ON i.id = r.invoice_id
      LEFT JOIN LATERAL hold_on(i.id, i.customer_id, v_now) h ON true
     WHERE r.id = ANY (p_ids) AND r.invoice_id <> ALL (v_passed) AND r.state = 'pending' AND r.due_at <= v_now AND r.send_until > v_now
     ORDER BY r.id FOR UPDATE OF r SKIP LOCKED
  ), moved AS (
    UPDATE reminder r
       SET state = CASE WHEN d.unchecked THEN 'pending' WHEN d.held IS NULL THEN 'queued' WHEN r.requires_open THEN 'skipped' ELSE 'pending' END,
           reason = CASE WHEN d.held IS NOT NULL AND r.requires_open THEN d.held END,
           queued_at = CASE WHEN d.held IS NULL AND NOT d.unchecked THEN clock_timestamp() END,
           due_at = CASE WHEN d.unchecked THEN v_now + interval '1 minute' WHEN d.held IS NOT NULL AND NOT r.requires_open THEN d.until ELSE r.due_at END,
           send_until = CASE WHEN d.held IS NOT NULL AND NOT r.requires_open THEN NULL ELSE r.send_until END
      FROM due d WHERE r.id = d.id
    RETURNING r.id, r.invoice_id, r.installment_id, r.requires_open, r.on_unknown, r.state, r.reason, r.urgent, r.repeats, r.step,
              d.unchecked, d.held, d.until
  ), log AS (
    INSERT INTO event (at, invoice_id, reminder_id, kind, data)
    SELECT v_now, m.invoice_id, m.id, CASE m.state WHEN 'skipped' THEN 'reminder.skipped' ELSE 'reminder.moved' END,
           jsonb_build_object('step', m.step, 'reason', m.held, 'until', m.until)
      FROM moved m WHERE m.held IS NOT NULL
    UNION ALL  -- it goes although nobody could say whether it is paid
    SELECT v_now, m.invoice_id, m.id, 'reminder.unknown',
           jsonb_build_object('step', m.step, 'on_unknown', 'send', 'says', CASE WHEN m.on_unknown IS NULL THEN 'source' ELSE 'flow' END)
      FROM moved m
     WHERE v_fresh IS NOT NULL AND m.state = 'queued' AND m.requires_open AND unchecked(m.invoice_id, m.installment_id, 'hold', v_fresh, v_now)
       AND NOT EXISTS (SELECT FROM event e WHERE e.invoice_id = m.invoice_id AND e.reminder_id = m.id AND e.kind = 'reminder.unknown')
  )
  SELECT m.id, m.state, m.urgent, m.repeats FROM moved m WHERE NOT m.unchecked;

  PERFORM follow(p_ids, v_now);
END
$$;

-- What is due, the longest due first, as long as there is room in the queue.
CREATE OR REPLACE FUNCTION queue_due(p_now timestamptz, p_limit integer, p_max_queued integer)
RETURNS TABLE (id bigint, state text, urgent boolean, repeats boolean)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS
$$
#variable_conflict use_column
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
  v_room integer;
  v_ids bigint[];
  v_invoices bigint[];
BEGIN
  -- Asked many times a second, mostly in vain; counting what is queued costs more than looking. Both are planned as if many rows were due
  -- or queued, which a scan would find at once; where there are none it reads the whole table, so none is allowed here.
  IF NOT EXISTS (SELECT FROM reminder r WHERE r.sought = 'pending' AND r.due_at <= v_now AND r.send_until > v_now) THEN RETURN; END IF;
  SELECT least(p_limit, p_max_queued - count(*)) INTO v_room
    FROM (SELECT FROM reminder r WHERE r.sought = 'queued' LIMIT p_max_queued) q;
  IF v_room <= 0 THEN RETURN; END IF;

  SELECT array_agg(c.id), array_agg(DISTINCT c.invoice_id) INTO v_ids, v_invoices
    FROM (SELECT r.id, r.invoice_id FROM reminder r
           WHERE r.sought = 'pending' AND r.due_at <= v_now AND r.send_until > v_now
           ORDER BY r.due_at, r.id LIMIT v_room) c;
  IF v_ids IS NOT NULL THEN RETURN QUERY SELECT * FROM queue_these(v_ids, v_invoices, v_now); END IF;
END
$$;

-- Right after it, for queued rows that ride on one message with the others of their customer and creditor: what else of these is
-- due is queued too, in the same transaction, so that no dispatcher ever sees a part of it.
CREATE OR REPLACE FUNCTION queue_together(p_ids bigint[], p_now timestamptz, p_limit integer)
RETURNS TABLE (id bigint, state text, urgent boolean, repeats boolean)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS
$$
#variable_conflict use_column
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
  v_ids bigint[];
  v_invoices bigint[];
BEGIN
  SELECT array_agg(c.id), array_agg(DISTINCT c.invoice_id) INTO v_ids, v_invoices
    FROM (SELECT r.id, r.invoice_id FROM reminder r
           WHERE r.invoice_id IN (SELECT i.id FROM (SELECT DISTINCT k.customer_id, k.creditor_id FROM reminder q
                                                      JOIN invoice k ON k.id = q.invoice_id WHERE q.id = ANY (p_ids)) o
                                    JOIN invoice i ON i.customer_id = o.customer_id AND i.creditor_id = o.creditor_id
                                   WHERE i.settled_at IS NULL AND i.closed_as IS NULL)
             AND r.state = 'pending' AND r.requires_open AND r.due_at <= v_now AND r.send_until > v_now
           ORDER BY r.due_at, r.id LIMIT p_limit) c;
  IF v_ids IS NOT NULL THEN RETURN QUERY SELECT * FROM queue_these(v_ids, v_invoices, v_now); END IF;
END
$$;

-- Rows that the caller's own transaction has just queued, so that nobody else has seen them: a rule that SQL cannot judge (a step's
-- condition) decided against them. p_details says why, for the timeline.
CREATE OR REPLACE FUNCTION skip_queued(p_ids bigint[], p_details text[], p_reason text, p_now timestamptz)
RETURNS void LANGUAGE plpgsql AS
$$
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
BEGIN
  WITH moved AS (
    UPDATE reminder r SET state = 'skipped', reason = p_reason, queued_at = NULL
      FROM unnest(p_ids, p_details) AS s (id, detail) WHERE r.id = s.id AND r.state = 'queued'
    RETURNING r.id, r.invoice_id, r.step, s.detail
  )
  INSERT INTO event (at, invoice_id, reminder_id, kind, data)
  SELECT v_now, m.invoice_id, m.id, 'reminder.skipped', jsonb_build_object('step', m.step, 'reason', p_reason, 'detail', m.detail)
    FROM moved m;
  PERFORM follow(p_ids, v_now);
END
$$;

-- Rows that the caller's own transaction has just taken out of pending and that send nothing: 'escalated' hands the invoice to a
-- person, 'stopped' (also inside a hold) ends the follow-up of its installment. p_data is what the timeline keeps of it.
CREATE OR REPLACE FUNCTION act(p_ids bigint[], p_kinds text[], p_data jsonb[], p_now timestamptz) RETURNS void LANGUAGE plpgsql AS
$$
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
  v_cancelled bigint[];
BEGIN
  WITH moved AS (
    UPDATE reminder r SET state = 'skipped', reason = s.kind, queued_at = NULL
      FROM unnest(p_ids, p_kinds, p_data) AS s (id, kind, data) WHERE r.id = s.id AND r.state IN ('queued', 'skipped')
    RETURNING r.id, r.invoice_id, r.step, s.kind, s.data
  )
  INSERT INTO event (at, invoice_id, reminder_id, kind, data)
  SELECT v_now, m.invoice_id, m.id, 'invoice.' || m.kind, m.data || jsonb_build_object('step', m.step) FROM moved m;

  WITH mine AS (
    SELECT r.id FROM reminder s JOIN reminder r ON r.invoice_id = s.invoice_id AND r.installment_id = s.installment_id
     WHERE s.id = ANY (p_ids) AND s.reason = 'stopped' AND r.requires_open AND r.state IN ('waiting', 'pending', 'queued')
     ORDER BY r.id FOR UPDATE OF r
  ), moved AS (
    UPDATE reminder r SET state = 'cancelled', reason = 'stopped', queued_at = NULL FROM mine m WHERE r.id = m.id
    RETURNING r.id, r.invoice_id, r.step, r.followed
  ), log AS (
    INSERT INTO event (at, invoice_id, reminder_id, kind, data)
    SELECT v_now, m.invoice_id, m.id, 'reminder.cancelled', jsonb_build_object('step', m.step, 'reason', 'stopped') FROM moved m
  )
  SELECT array_agg(m.id) INTO v_cancelled FROM moved m WHERE m.followed;
  IF v_cancelled IS NOT NULL THEN PERFORM follow(v_cancelled, v_now); END IF;
END
$$;

-- Pending rows whose time is over or not yet found, with what the calendar needs; locked for the caller, who retimes or skips them.
CREATE OR REPLACE FUNCTION to_retime(p_now timestamptz, p_limit integer)
RETURNS TABLE (id bigint, invoice_id bigint, flow_version_id bigint, generation integer, step text, occurrence integer, leg text,
               anchor text, anchor_date date, installment_id bigint, due_at timestamptz, send_until timestamptz, repeats boolean,
               timezone text, country text, issue_date date, due_date date) LANGUAGE plpgsql AS
$$
#variable_conflict use_column
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
  v_ids bigint[];
  v_invoices bigint[];
BEGIN
  SELECT array_agg(c.id), array_agg(DISTINCT c.invoice_id) INTO v_ids, v_invoices
    FROM (SELECT r.id, r.invoice_id FROM reminder r
           WHERE r.sought = 'pending' AND r.due_at <= v_now AND (r.send_until IS NULL OR r.send_until <= v_now)
           ORDER BY r.due_at, r.id LIMIT p_limit) c;
  IF v_ids IS NULL THEN RETURN; END IF;
  PERFORM FROM invoice i WHERE i.id = ANY (v_invoices) ORDER BY i.id FOR SHARE;
  RETURN QUERY
  SELECT r.id, r.invoice_id, r.flow_version_id, r.generation, r.step, r.occurrence, r.leg, r.anchor, r.anchor_date, r.installment_id,
         r.due_at, r.send_until, r.repeats, coalesce(u.timezone, c.timezone), coalesce(u.country, c.country), i.issue_date, n.due_date
    FROM reminder r JOIN invoice i ON i.id = r.invoice_id JOIN customer u ON u.id = i.customer_id
    JOIN creditor c ON c.id = i.creditor_id LEFT JOIN installment n ON n.id = r.installment_id
   WHERE r.id = ANY (v_ids) AND r.state = 'pending' AND (r.send_until IS NULL OR r.send_until <= v_now)
   ORDER BY r.id FOR UPDATE OF r SKIP LOCKED;
END
$$;

-- The calendar's answer for rows of to_retime, in the same transaction: a new time, or (p_reasons not NULL) skipped.
CREATE OR REPLACE FUNCTION retime(p_ids bigint[], p_due timestamptz[], p_until timestamptz[], p_reasons text[], p_now timestamptz)
RETURNS void LANGUAGE plpgsql AS
$$
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
BEGIN
  WITH moved AS (
    UPDATE reminder r
       SET due_at = coalesce(t.due, r.due_at), send_until = coalesce(t.until, r.send_until),
           state = CASE WHEN t.reason IS NULL THEN r.state ELSE 'skipped' END, reason = t.reason
      FROM unnest(p_ids, p_due, p_until, p_reasons) AS t (id, due, until, reason)
     WHERE r.id = t.id AND r.state = 'pending'
    RETURNING r.id, r.invoice_id, r.step, r.reason, t.due
  )
  INSERT INTO event (at, invoice_id, reminder_id, kind, data)
  SELECT v_now, m.invoice_id, m.id, CASE WHEN m.reason IS NULL THEN 'reminder.moved' ELSE 'reminder.skipped' END,
         jsonb_build_object('step', m.step, 'reason', coalesce(m.reason, 'window'))
         || CASE WHEN m.reason IS NULL THEN jsonb_build_object('until', m.due) ELSE '{}' END
    FROM moved m WHERE m.reason IS NOT NULL OR m.due > v_now;
  PERFORM follow(p_ids, v_now);
END
$$;

-- A `then` goes when its parent went, and is cancelled when its parent rests without having gone. A call has gone when it has ended:
-- while its end is awaited its `then` waits too (see hasten).
CREATE OR REPLACE FUNCTION follow(p_parents bigint[], p_now timestamptz) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS
$$
BEGIN
  IF NOT EXISTS (SELECT FROM reminder p WHERE p.id = ANY (p_parents) AND p.followed) THEN RETURN; END IF;  -- as good as always
  WITH mine AS (
    SELECT t.id, p.state IN ('accepted', 'delivered') AS went
      FROM reminder p
      JOIN reminder t ON t.invoice_id = p.invoice_id AND t.installment_id IS NOT DISTINCT FROM p.installment_id
       AND t.generation = p.generation AND t.step = p.step AND t.occurrence = p.occurrence AND t.leg = 'then' AND t.state = 'waiting'
     WHERE p.id = ANY (p_parents) AND p.followed AND p.state IN ('accepted', 'delivered', 'failed', 'cancelled', 'skipped')
       AND NOT (p.state = 'accepted' AND EXISTS (SELECT FROM attempt a WHERE a.reminder_id = p.id AND a.fence = p.fence
                  AND a.channel = 'voice' AND a.state = 'accepted' AND a.receipt_due IS NOT NULL))
     ORDER BY t.id FOR UPDATE OF t
  )
  UPDATE reminder t
     SET state = CASE WHEN m.went THEN 'pending' ELSE 'cancelled' END,
         reason = CASE WHEN m.went THEN NULL ELSE 'parent_did_not_go' END, due_at = CASE WHEN m.went THEN p_now END
    FROM mine m WHERE t.id = m.id;
END
$$;

-- The customer asked for it, with a key of the telephone: what follows these calls (a call and what rode on it) is due now. Answers
-- those for which something was waiting.
CREATE OR REPLACE FUNCTION hasten(p_parents bigint[], p_fences integer[], p_now timestamptz) RETURNS bigint[] LANGUAGE plpgsql AS
$$
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
  v_hastened bigint[];
BEGIN
  PERFORM FROM reminder r WHERE r.id = ANY (p_parents) ORDER BY r.id FOR UPDATE;
  WITH mine AS (
    SELECT t.id, p.id AS parent FROM unnest(p_parents, p_fences) AS c (id, fence)
      JOIN reminder p ON p.id = c.id AND p.fence = c.fence AND p.state IN ('sending', 'uncertain', 'accepted', 'delivered')
      JOIN reminder t ON t.invoice_id = p.invoice_id AND t.installment_id IS NOT DISTINCT FROM p.installment_id
       AND t.generation = p.generation AND t.step = p.step AND t.occurrence = p.occurrence AND t.leg = 'then' AND t.state = 'waiting'
     ORDER BY t.id FOR UPDATE OF t
  ), moved AS (
    UPDATE reminder t SET state = 'pending', due_at = v_now FROM mine m WHERE t.id = m.id RETURNING m.parent
  )
  SELECT coalesce(array_agg(m.parent ORDER BY m.parent), '{}') INTO v_hastened FROM moved m;
  RETURN v_hastened;
END
$$;

-- === SWEEP =======================================================================================================================

-- Queued too long (a lost message, a dead broker, a full slot): to be published again.
CREATE OR REPLACE FUNCTION sweep_queued(p_older interval, p_limit integer)
RETURNS TABLE (id bigint, urgent boolean) LANGUAGE sql AS
$$
  UPDATE reminder r SET queued_at = clock_timestamp()
   WHERE r.id IN (SELECT q.id FROM reminder q WHERE q.sought = 'queued' AND q.queued_at < clock_timestamp() - p_older
                   ORDER BY q.queued_at LIMIT p_limit FOR UPDATE SKIP LOCKED)
  RETURNING r.id, r.urgent
$$;

-- Attempts past their lease whose worker never recorded them: nobody knows whether they went. Answers how many.
CREATE OR REPLACE FUNCTION sweep_leases(p_now timestamptz, p_limit integer) RETURNS integer LANGUAGE plpgsql AS
$$
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
  v_ids bigint[];
  v_fences integer[];
BEGIN
  SELECT array_agg(l.id), array_agg(l.fence) INTO v_ids, v_fences FROM (
    SELECT r.id, a.fence FROM attempt a JOIN reminder r ON r.id = a.reminder_id
     WHERE a.state = 'started' AND a.lease < clock_timestamp()
     ORDER BY r.id LIMIT p_limit FOR UPDATE OF r SKIP LOCKED) l;
  IF v_ids IS NULL THEN RETURN 0; END IF;
  WITH lost AS (
    UPDATE attempt a SET state = 'unknown', detail = 'the worker that held it never answered'
      FROM unnest(v_ids, v_fences) AS l (id, fence)
     WHERE a.reminder_id = l.id AND a.fence = l.fence AND a.state = 'started'
    RETURNING a.reminder_id, a.fence, a.invoice_id, a.channel
  ), moved AS (
    UPDATE reminder r SET state = 'uncertain', reason = 'worker_lost', lease = NULL
      FROM lost l WHERE r.id = l.reminder_id AND r.fence = l.fence AND r.state = 'sending'
  )
  INSERT INTO event (at, invoice_id, reminder_id, kind, data)
  SELECT v_now, l.invoice_id, l.reminder_id, 'attempt.unknown', jsonb_build_object('channel', l.channel, 'fence', l.fence) FROM lost l;
  RETURN array_length(v_ids, 1);
END
$$;

-- Uncertain long enough (24 hours of business time), with the flow version and step that say what to do. No worker holds such an
-- attempt: it has recorded that it does not know, or its lease is over.
CREATE OR REPLACE FUNCTION uncertain_since(p_now timestamptz, p_age interval, p_limit integer)
RETURNS TABLE (id bigint, fence integer, flow_version_id bigint, step text, leg text, tries integer, alternatives integer) LANGUAGE sql AS
$$
  SELECT r.id, r.fence, r.flow_version_id, r.step, r.leg, r.tries, a.alternatives
    FROM reminder r JOIN attempt a ON a.reminder_id = r.id AND a.fence = r.fence
   WHERE r.sought = 'uncertain' AND a.at <= coalesce(p_now, business_now()) - p_age
   ORDER BY r.id LIMIT p_limit
$$;

-- p_actions: 'assume_sent' | 'resend' | 'next_channel', one for each row of uncertain_since.
CREATE OR REPLACE FUNCTION resolve_uncertain(p_ids bigint[], p_fences integer[], p_actions text[], p_now timestamptz)
RETURNS void LANGUAGE plpgsql AS
$$
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
BEGIN
  PERFORM FROM reminder r WHERE r.id = ANY (p_ids) ORDER BY r.id FOR UPDATE;
  WITH act AS (
    SELECT t.*, a.alternatives, a.contact_point_id, a.channel
      FROM unnest(p_ids, p_fences, p_actions) AS t (id, fence, action)
      JOIN reminder r ON r.id = t.id AND r.fence = t.fence AND r.state = 'uncertain'
      JOIN attempt a ON a.reminder_id = t.id AND a.fence = t.fence
  ), given_up AS (
    UPDATE attempt a SET state = 'resent' FROM act
     WHERE act.action = 'resend' AND a.reminder_id = act.id AND a.fence = act.fence AND a.state IN ('unknown', 'accepted')
    RETURNING a.reminder_id
  ), moved AS (
    UPDATE reminder r
       SET state = CASE WHEN act.action = 'resend' OR (act.action = 'next_channel' AND act.alternatives > 0)
                        THEN 'pending' ELSE 'accepted' END,
           reason = NULL, tries = r.tries + 1,
           due_at = CASE WHEN act.action = 'assume_sent' THEN r.due_at ELSE v_now END
      FROM act WHERE r.id = act.id
    RETURNING r.id, r.invoice_id, r.step, act.action
  )
  INSERT INTO event (at, invoice_id, reminder_id, kind, data)
  SELECT v_now, m.invoice_id, m.id, 'reminder.uncertain_resolved', jsonb_build_object('step', m.step, 'action', m.action) FROM moved m;
  PERFORM follow(p_ids, v_now);
END
$$;

-- Channels that promise receipts: none came in time, so the next channel goes, if there is one and the cause still stands; else the
-- reminder rests as accepted.
CREATE OR REPLACE FUNCTION expire_receipts(p_now timestamptz, p_limit integer) RETURNS integer LANGUAGE plpgsql AS
$$
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
  v_ids bigint[];
  v_fences integer[];
BEGIN
  SELECT array_agg(l.id), array_agg(l.fence) INTO v_ids, v_fences FROM (
    SELECT r.id, a.fence FROM attempt a JOIN reminder r ON r.id = a.reminder_id
     WHERE a.state = 'accepted' AND a.receipt_due <= v_now
     ORDER BY r.id LIMIT p_limit FOR UPDATE OF r SKIP LOCKED) l;
  IF v_ids IS NULL THEN RETURN 0; END IF;
  WITH over AS (
    UPDATE attempt a
       SET state = CASE WHEN a.alternatives = 0 OR r.fence <> a.fence OR r.state <> 'accepted' THEN a.state
                        WHEN i.closed_as IS NOT NULL OR r.generation <> i.generation THEN a.state
                        WHEN r.requires_open AND coalesce(n.open_amount = 0, i.settled_at IS NOT NULL) THEN a.state
                        WHEN r.anchor = 'payment' AND (i.settled_at IS NULL OR r.occurrence <> i.settled_n) THEN a.state
                        ELSE 'expired' END,
           receipt_due = NULL
      FROM unnest(v_ids, v_fences) AS l (id, fence) JOIN reminder r ON r.id = l.id JOIN invoice i ON i.id = r.invoice_id
      LEFT JOIN installment n ON n.id = r.installment_id
     WHERE a.reminder_id = l.id AND a.fence = l.fence AND a.state = 'accepted'
    RETURNING a.reminder_id, a.fence, a.invoice_id, a.channel, a.state
  ), moved AS (
    UPDATE reminder r SET state = 'pending', due_at = v_now
      FROM over o WHERE o.state = 'expired' AND r.id = o.reminder_id AND r.fence = o.fence AND r.state = 'accepted'
  )
  INSERT INTO event (at, invoice_id, reminder_id, kind, data)
  SELECT v_now, o.invoice_id, o.reminder_id, 'attempt.expired', jsonb_build_object('channel', o.channel, 'fence', o.fence)
    FROM over o WHERE o.state = 'expired';
  PERFORM follow(v_ids, v_now);
  RETURN array_length(v_ids, 1);
END
$$;

-- === CLAIM =======================================================================================================================

-- Locks the contact counters of these reminders' customers, so that a claim counts on what it reads.
CREATE OR REPLACE FUNCTION lock_contacts(p_ids bigint[]) RETURNS void LANGUAGE plpgsql AS
$$
BEGIN
  INSERT INTO customer_contact (customer_id, last_at, day, week)
  SELECT DISTINCT i.customer_id, '-infinity'::timestamptz, 'epoch'::date, 'epoch'::date
    FROM reminder r JOIN invoice i ON i.id = r.invoice_id WHERE r.id = ANY (p_ids) AND r.requires_open
   ORDER BY 1 ON CONFLICT DO NOTHING;
  PERFORM FROM customer_contact k
    WHERE k.customer_id IN (SELECT i.customer_id FROM reminder r JOIN invoice i ON i.id = r.invoice_id WHERE r.id = ANY (p_ids))
    ORDER BY k.customer_id FOR UPDATE;
END
$$;

-- The one door out. For each reminder the caller names the (channel, contact point, provider) that its look expects; NULL channel
-- says that the look found none, with p_reasons why; beside a channel p_reasons is the decision, kept with the attempt.
-- Verdicts: claimed | cancelled | skipped | failed | moved | late | capped | giveback.
-- Only what is claimed counts against the caps, so that what goes back is not counted when it comes again.
-- Rows that are no longer queued are not answered at all: somebody else has them.
-- p_together: rows of one number shall ride on one message, and count once against the caps; p_per_day, p_per_week, p_gaps: the caps
-- of each row. NULL instead of these four: each row by itself, without caps.
CREATE OR REPLACE FUNCTION claim(
  p_now timestamptz, p_ids bigint[], p_channels text[], p_contacts bigint[], p_providers text[], p_costs numeric[],
  p_alternatives integer[], p_reasons text[], p_together integer[], p_worker text, p_lease interval, p_per_day integer[],
  p_per_week integer[], p_gaps interval[])
RETURNS TABLE (
  reminder_id bigint, verdict text, fence integer, channel text, contact_point_id bigint, address text, contact_token text,
  invoice_id bigint, invoice_ref text, number text, currency text, issue_date date, payment_url text, payment_reference text,
  invoice_token text, document_key text, document_name text, document_type text, document_size integer, attributes jsonb,
  step text, leg text, occurrence integer, flow_version_id bigint, amount numeric, open_amount numeric, due_date date,
  installment_no integer, installments integer, customer_ref text, customer_name text, locale text, timezone text,
  creditor_id bigint, fallback_from text, business_at timestamptz)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS
$$
#variable_conflict use_column
DECLARE
  v_now timestamptz;
  v_capped boolean := p_per_day IS NOT NULL OR p_per_week IS NOT NULL OR p_gaps IS NOT NULL;
  v_fresh interval := (SELECT k.fresh_for FROM payment_check k);
BEGIN
  PERFORM FROM invoice i
    WHERE i.id IN (SELECT r.invoice_id FROM reminder r WHERE r.id = ANY (p_ids)) ORDER BY i.id FOR SHARE;
  IF v_capped THEN PERFORM lock_contacts(p_ids); END IF;
  PERFORM pg_advisory_xact_lock_shared(hashtextextended('stop everything', 0));
  v_now := coalesce(p_now, business_now());  -- after the locks: a hold placed while they were waited for has begun by now

  RETURN QUERY
  WITH judged AS MATERIALIZED (
    SELECT r.id, r.fence + 1 AS fence, w.channel, w.contact, w.provider, w.cost, w.alternatives, p.address, p.token AS contact_token,
           i.id AS invoice_id, h.until AS held_until,
           CASE
             WHEN i.closed_as IS NOT NULL THEN 'cancelled'
             WHEN r.generation <> i.generation THEN 'cancelled'
             WHEN r.requires_open AND coalesce(n.open_amount, t.open_amount) = 0 THEN 'cancelled'
             WHEN r.anchor = 'payment' AND (i.settled_at IS NULL OR r.occurrence <> i.settled_n) THEN 'cancelled'
             WHEN h.kind IS NOT NULL THEN CASE WHEN r.requires_open THEN 'skipped' ELSE 'moved' END
             WHEN r.send_until <= v_now THEN 'late'
             WHEN w.channel IS NULL THEN 'failed'
             WHEN p.id IS NULL OR p.retired_at IS NOT NULL OR p.customer_id <> i.customer_id THEN 'giveback'
             WHEN EXISTS (SELECT FROM suppression s WHERE s.contact_point_id = p.id AND s.channel = w.channel) THEN 'giveback'
             WHEN r.fence > 0 AND EXISTS (SELECT FROM attempt a WHERE a.reminder_id = r.id AND a.channel = w.channel
                    AND a.contact_point_id = w.contact AND a.state NOT IN ('notsent', 'missed', 'resent')) THEN 'giveback'
             WHEN v_fresh IS NOT NULL AND r.requires_open AND unchecked(i.id, r.installment_id, r.on_unknown, v_fresh, v_now) THEN 'giveback'
             ELSE 'claimed'
           END AS verdict,
           CASE
             WHEN i.closed_as IS NOT NULL THEN i.closed_as
             WHEN r.generation <> i.generation THEN 'planned_anew'
             WHEN r.requires_open AND coalesce(n.open_amount, t.open_amount) = 0 THEN 'paid'
             WHEN r.anchor = 'payment' AND (i.settled_at IS NULL OR r.occurrence <> i.settled_n) THEN 'reopened'
             WHEN h.kind IS NOT NULL THEN h.kind
             WHEN r.send_until <= v_now THEN NULL
             WHEN w.channel IS NULL THEN coalesce(w.reason, 'no_usable_contact')
           END AS reason, w.reason AS why,
           i.ref, i.number, i.currency, i.issue_date, i.payment_url, i.payment_reference, i.token AS invoice_token,
           i.document_key, i.document_name, i.document_type, i.document_size, i.attributes, i.creditor_id,
           r.step, r.leg, r.occurrence, r.flow_version_id,
           coalesce(n.amount, t.amount) AS amount, coalesce(n.open_amount, t.open_amount) AS open_amount,
           coalesce(n.due_date, t.due_date) AS due_date, n.no, t.installments,
           u.id AS customer_id, u.ref AS customer_ref, u.name AS customer_name, coalesce(u.locale, c.locale) AS locale,
           coalesce(u.timezone, c.timezone) AS timezone, r.requires_open AND r.fence = 0 AND r.leg <> 'then' AS counts, r.urgent, r.due_at,
           w.together, w.per_day, w.per_week, w.gap
      FROM unnest(p_ids, p_channels, p_contacts, p_providers, p_costs, p_alternatives, p_reasons, p_together, p_per_day, p_per_week, p_gaps)
           AS w (id, channel, contact, provider, cost, alternatives, reason, together, per_day, per_week, gap)
      JOIN reminder r ON r.id = w.id JOIN invoice i ON i.id = r.invoice_id JOIN customer u ON u.id = i.customer_id
      JOIN creditor c ON c.id = i.creditor_id
      LEFT JOIN installment n ON n.id = r.installment_id
      CROSS JOIN LATERAL (SELECT sum(x.amount) AS amount, sum(x.open_amount) AS open_amount, count(*)::int AS installments,
                                 coalesce(min(x.due_date) FILTER (WHERE x.open_amount > 0), max(x.due_date)) AS due_date
                            FROM installment x WHERE x.invoice_id = i.id) t
      LEFT JOIN contact_point p ON p.id = w.contact
      LEFT JOIN LATERAL hold_on(i.id, i.customer_id, v_now) h ON true
     WHERE r.state = 'queued'
     ORDER BY r.id FOR UPDATE OF r
  ), asked AS (
    SELECT j.id, j.customer_id, k.last_at, l.today, l.monday,
           CASE WHEN k.day >= l.today THEN k.day_n ELSE 0 END AS day_n, CASE WHEN k.week >= l.monday THEN k.week_n ELSE 0 END AS week_n,
           dense_rank() OVER (PARTITION BY j.customer_id ORDER BY j.together, CASE WHEN j.together IS NULL THEN j.urgent END DESC,
             CASE WHEN j.together IS NULL THEN j.due_at END, CASE WHEN j.together IS NULL THEN j.id END) AS nth,
           j.per_day, j.per_week, j.gap
      FROM judged j JOIN customer_contact k ON k.customer_id = j.customer_id
      CROSS JOIN LATERAL (SELECT (v_now AT TIME ZONE j.timezone)::date AS today,
                                 date_trunc('week', v_now AT TIME ZONE j.timezone)::date AS monday) l
     WHERE v_capped AND j.verdict = 'claimed' AND j.counts
  ), capped AS (
    SELECT a.id FROM asked a
     WHERE a.day_n + a.nth > a.per_day OR a.week_n + a.nth > a.per_week
        OR (a.gap > interval '0' AND (a.nth > 1 OR a.last_at > v_now - a.gap))
  ), tried AS (
    INSERT INTO attempt (reminder_id, fence, invoice_id, channel, contact_point_id, provider, state, cost, alternatives, why, worker,
                         started, at, lease)
    SELECT j.id, j.fence, j.invoice_id, j.channel, j.contact, j.provider, 'started', coalesce(j.cost, 0), coalesce(j.alternatives, 0),
           j.why,
           p_worker, clock_timestamp(), v_now, clock_timestamp() + p_lease
      FROM judged j WHERE j.verdict = 'claimed' AND j.id NOT IN (SELECT c.id FROM capped c)
    ON CONFLICT DO NOTHING
    RETURNING reminder_id
  ), counted AS (
    UPDATE customer_contact k
       SET last_at = greatest(k.last_at, v_now), day = greatest(k.day, n.today), day_n = n.day_n + n.times,
           week = greatest(k.week, n.monday), week_n = n.week_n + n.times
      FROM (SELECT a.customer_id, a.today, a.monday, a.day_n, a.week_n, count(DISTINCT a.nth) AS times FROM asked a JOIN tried t ON t.reminder_id = a.id
             GROUP BY 1, 2, 3, 4, 5) n
     WHERE k.customer_id = n.customer_id
  ), final AS (
    SELECT j.*, CASE WHEN j.verdict <> 'claimed' THEN j.verdict
                     WHEN j.id IN (SELECT c.id FROM capped c) THEN 'capped'  -- IN is hashed, EXISTS would read all for each
                     WHEN j.id IN (SELECT t.reminder_id FROM tried t) THEN 'claimed'
                     ELSE 'giveback' END AS outcome
      FROM judged j
  ), moved AS (
    UPDATE reminder r
       SET state = CASE f.outcome WHEN 'claimed' THEN 'sending' WHEN 'cancelled' THEN 'cancelled' WHEN 'skipped' THEN 'skipped'
                                  WHEN 'failed' THEN 'failed' ELSE 'pending' END,
           reason = CASE WHEN f.outcome IN ('cancelled', 'skipped', 'failed') THEN f.reason END,
           fence = CASE WHEN f.outcome = 'claimed' THEN f.fence ELSE r.fence END,
           lease = CASE WHEN f.outcome = 'claimed' THEN clock_timestamp() + p_lease END,
           queued_at = NULL,
           due_at = CASE f.outcome WHEN 'moved' THEN f.held_until WHEN 'capped' THEN v_now + interval '1 hour'
                                   WHEN 'giveback' THEN v_now + interval '1 second' ELSE r.due_at END,
           send_until = CASE f.outcome WHEN 'moved' THEN NULL ELSE r.send_until END
      FROM final f WHERE r.id = f.id
    RETURNING r.id
  ), log AS (
    INSERT INTO event (at, invoice_id, reminder_id, kind, data)
    SELECT v_now, f.invoice_id, f.id, 'reminder.' || f.outcome,
           jsonb_strip_nulls(jsonb_build_object('step', f.step, 'reason', f.reason,
             'until', CASE WHEN f.outcome IN ('skipped', 'moved') THEN f.held_until END, 'today', a.day_n,
             'this_week', a.week_n, 'per_day', a.per_day, 'per_week', a.per_week, 'gap', extract(epoch FROM a.gap)::integer))
      FROM final f LEFT JOIN asked a ON a.id = f.id AND f.outcome = 'capped'
     WHERE f.outcome IN ('cancelled', 'skipped', 'failed', 'capped', 'moved')
  )
  SELECT f.id, f.outcome, f.fence, f.channel, f.contact, f.address, f.contact_token, f.invoice_id, f.ref, f.number, f.currency,
         f.issue_date, f.payment_url, f.payment_reference, f.invoice_token, f.document_key, f.document_name, f.document_type,
         f.document_size, f.attributes, f.step, f.leg, f.occurrence, f.flow_version_id, f.amount, f.open_amount, f.due_date,
         coalesce(f.no, 1), f.installments, f.customer_ref, f.customer_name, f.locale, f.timezone, f.creditor_id,
         CASE WHEN f.fence > 1 THEN (SELECT a.channel FROM attempt a WHERE a.reminder_id = f.id
             AND a.state IN ('rejected', 'undelivered', 'expired') ORDER BY a.fence DESC LIMIT 1) END, v_now
    FROM final f;

  PERFORM follow(p_ids, v_now);
END
$$;

-- Between a claim and the hand-off: these attempts go in one message, that of their carrier, whose text it is and which costs for all.
-- What is heard of the carrier's attempt counts for each of them (see riders).
CREATE OR REPLACE FUNCTION carry(p_ids bigint[], p_fences integer[], p_carriers bigint[], p_carrier_fences integer[], p_now timestamptz)
RETURNS void LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS
$$
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
BEGIN
  PERFORM FROM reminder r WHERE r.id = ANY (p_ids) ORDER BY r.id FOR UPDATE;
  UPDATE attempt a SET carried_by = c.carrier, carried_fence = c.carrier_fence, cost = 0
    FROM unnest(p_ids, p_fences, p_carriers, p_carrier_fences) AS c (id, fence, carrier, carrier_fence)
   WHERE a.reminder_id = c.id AND a.fence = c.fence AND c.id <> c.carrier;

  INSERT INTO event (at, invoice_id, reminder_id, kind, data)
  SELECT v_now, r.invoice_id, r.id, 'reminder.grouped',
         jsonb_build_object('step', r.step, 'fence', c.fence, 'invoices', count(*) OVER (PARTITION BY c.carrier), 'says', s.step,
                            'carried_by', CASE WHEN c.id <> c.carrier THEN i.ref END)
    FROM unnest(p_ids, p_fences, p_carriers) AS c (id, fence, carrier)
    JOIN reminder r ON r.id = c.id JOIN reminder s ON s.id = c.carrier JOIN invoice i ON i.id = s.invoice_id;
END
$$;

-- The attempts that went in the message of this one.
CREATE OR REPLACE FUNCTION riders(p_id bigint, p_fence integer) RETURNS TABLE (reminder_id bigint, fence integer) LANGUAGE sql STABLE AS
$$ SELECT a.reminder_id, a.fence FROM attempt a WHERE a.carried_by = p_id AND a.carried_fence = p_fence $$;

-- Rows that the caller could not take in time: pending again, due a little later. Only from queued.
CREATE OR REPLACE FUNCTION give_back(p_ids bigint[], p_due timestamptz[]) RETURNS void LANGUAGE sql AS
$$
  WITH mine AS MATERIALIZED (
    SELECT r.id FROM reminder r WHERE r.id = ANY (p_ids) AND r.state = 'queued' ORDER BY r.id FOR UPDATE
  )
  UPDATE reminder r SET state = 'pending', queued_at = NULL, due_at = b.due
    FROM mine m JOIN unnest(p_ids, p_due) AS b (id, due) ON b.id = m.id WHERE r.id = m.id
$$;

-- === RECORD and RECEIPT ==========================================================================================================

-- What became of attempts: p_outcomes 'accepted' | 'unknown' | 'rejected' | 'notsent' | 'missed' | 'deferred' (not sent: the
-- customer's own server says later; rejected once it said so p_deferred_limit times) | 'broken' (could not be made: not sent, and
-- failed after p_broken_limit of them). Always writes its attempt; the reminder only if this attempt is its current one
-- and nothing later is known (but `accepted` calls a reminder back that was given up for another channel). Saying it twice changes
-- nothing, not the receipt's time either: a COMMIT's answer may be lost. Answers the invoices whose cancelled reminder turns out not
-- to have gone: see request_replan.
CREATE OR REPLACE FUNCTION record(
  p_now timestamptz, p_ids bigint[], p_fences integer[], p_outcomes text[], p_refs text[], p_details text[], p_retry interval[],
  p_suppress text[], p_receipt_within interval[], p_costs numeric[], p_wordings text[], p_missed_limit integer,
  p_deferred_limit integer, p_broken_limit integer)
RETURNS bigint[] LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS
$$
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
  v_late bigint[];
BEGIN
  PERFORM FROM reminder r WHERE r.id = ANY (p_ids) ORDER BY r.id FOR UPDATE;

  WITH said AS MATERIALIZED (
    SELECT s.*, a.channel, a.contact_point_id, a.alternatives, a.invoice_id, a.state AS was,
           CASE WHEN s.outcome = 'missed' AND p_missed_limit <= 1 + (
                  SELECT count(*) FROM attempt m WHERE m.reminder_id = s.id AND m.channel = a.channel
                     AND m.contact_point_id = a.contact_point_id AND m.state = 'missed')
                THEN 'undelivered'
                WHEN s.outcome = 'deferred' AND p_deferred_limit <= 1 + (
                  SELECT count(*) FROM attempt m WHERE m.reminder_id = s.id AND m.channel = a.channel
                     AND m.contact_point_id = a.contact_point_id AND m.state = 'notsent')
                THEN 'rejected'
                WHEN s.outcome IN ('broken', 'deferred') THEN 'notsent' ELSE s.outcome END AS becomes
      FROM unnest(p_ids, p_fences, p_outcomes, p_refs, p_details, p_retry, p_suppress, p_receipt_within, p_costs, p_wordings)
           AS s (id, fence, outcome, ref, detail, retry, suppress, within, cost, wording)
      JOIN attempt a ON a.reminder_id = s.id AND a.fence = s.fence
  ), written AS (
    UPDATE attempt a
       SET state = CASE WHEN a.state IN ('started', 'unknown') THEN s.becomes ELSE a.state END,
           provider_ref = coalesce(s.ref, a.provider_ref), detail = coalesce(s.detail, a.detail),
           wording = coalesce(s.wording, a.wording),
           receipt_due = CASE WHEN a.state IN ('started', 'unknown') AND s.becomes = 'accepted' THEN v_now + s.within
                              ELSE a.receipt_due END,
           cost = CASE WHEN s.becomes IN ('rejected', 'notsent') THEN 0 WHEN a.state IN ('started', 'unknown') THEN coalesce(s.cost, a.cost)
                       ELSE a.cost END
      FROM said s WHERE a.reminder_id = s.id AND a.fence = s.fence
  ), barred AS (
    INSERT INTO suppression (contact_point_id, channel, reason, detail, created_at)
    SELECT DISTINCT ON (s.contact_point_id, s.channel) s.contact_point_id, s.channel, s.suppress, s.detail, v_now
      FROM said s WHERE s.suppress IS NOT NULL
    ON CONFLICT DO NOTHING
  ), moved AS (
    UPDATE reminder r
       SET state = CASE
             WHEN s.becomes = 'accepted' THEN 'accepted'
             WHEN s.becomes = 'unknown' THEN 'uncertain'
             WHEN s.becomes IN ('rejected', 'undelivered') AND s.alternatives = 0 THEN 'failed'
             WHEN s.outcome = 'broken' AND r.tries + 1 >= p_broken_limit THEN 'failed'
             ELSE 'pending' END,
           reason = CASE
             WHEN s.becomes = 'unknown' THEN 'no_answer'
             WHEN s.becomes IN ('rejected', 'undelivered') AND s.alternatives = 0 THEN 'no_channel_left'
             WHEN s.outcome = 'broken' AND r.tries + 1 >= p_broken_limit THEN 'cannot_be_made' END,
           due_at = CASE WHEN s.becomes IN ('accepted', 'unknown') THEN r.due_at
                         WHEN s.becomes IN ('rejected', 'undelivered') THEN v_now
                         WHEN s.outcome = 'deferred' THEN v_now + least(s.retry * power(2, least(r.tries, 8)), interval '6 hours')
                         WHEN s.outcome = 'missed' THEN v_now + s.retry
                         ELSE v_now + least(s.retry * (1 + r.tries), interval '10 minutes') END,
           lease = NULL, tries = r.tries + (s.becomes IN ('notsent', 'missed'))::int
      FROM said s
     WHERE r.id = s.id AND r.fence = s.fence
       AND (r.state IN ('sending', 'uncertain') OR (s.becomes = 'accepted' AND s.was = 'unknown' AND r.state IN ('pending', 'queued')))
  ), log AS (
    INSERT INTO event (at, invoice_id, reminder_id, kind, data)
    SELECT v_now, s.invoice_id, s.id, 'attempt.' || s.becomes,
           jsonb_strip_nulls(jsonb_build_object('channel', s.channel, 'fence', s.fence, 'detail', s.detail, 'suppressed', s.suppress))
      FROM said s WHERE s.was = 'started' OR (s.was = 'unknown' AND s.becomes <> 'unknown')
  )
  SELECT array_agg(DISTINCT s.invoice_id) INTO v_late
    FROM said s JOIN reminder r ON r.id = s.id
   WHERE s.becomes IN ('rejected', 'notsent', 'missed', 'undelivered') AND r.state = 'cancelled';
  IF v_late IS NOT NULL THEN INSERT INTO replan_wanted (invoice_id) SELECT unnest(v_late); END IF;

  PERFORM follow(p_ids, v_now);
  RETURN coalesce(v_late, '{}');
END
$$;

-- A provider's later word: p_kinds 'delivered' | 'undelivered' | 'missed' (which is undelivered once it was missed p_limits times at
-- that address; else it is tried again after p_retry, and no more than p_daily times in 24 hours, NULL being no limit). p_units: how
-- much it was in the end of what was reckoned as one (minutes of a call), NULL: one. Ranked, never backwards, doubled and unordered welcome.
-- `delivered` counts from any attempt; a failure moves the reminder only if its attempt is the current one. A receipt that is faster
-- than the record tells the timeline that the provider took it, too. Answers as record().
CREATE OR REPLACE FUNCTION receive(
  p_now timestamptz, p_ids bigint[], p_fences integer[], p_kinds text[], p_details text[], p_suppress text[], p_retry interval[],
  p_limits integer[], p_daily integer[], p_units numeric[])
RETURNS bigint[] LANGUAGE plpgsql AS
$$
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
  v_late bigint[];
BEGIN
  PERFORM FROM reminder r WHERE r.id = ANY (p_ids) ORDER BY r.id FOR UPDATE;

  WITH said AS MATERIALIZED (
    SELECT DISTINCT ON (s.id, s.fence) s.id, s.fence, s.detail, s.suppress, s.retry, s.units, a.channel, a.contact_point_id,
           a.alternatives, a.invoice_id, a.state AS was,
           CASE WHEN s.kind = 'missed' AND s.missed_limit <= 1 + (
                  SELECT count(*) FROM attempt m WHERE m.reminder_id = s.id AND m.channel = a.channel
                     AND m.contact_point_id = a.contact_point_id AND m.state = 'missed')
                THEN 'undelivered' ELSE s.kind END AS kind,
           (SELECT m.at + interval '24 hours' FROM attempt m
             WHERE s.daily IS NOT NULL AND m.reminder_id = s.id AND m.channel = a.channel AND m.contact_point_id = a.contact_point_id
               AND (m.state = 'missed' OR m.fence = a.fence) ORDER BY m.fence DESC OFFSET s.daily - 1 LIMIT 1) AS not_before
      FROM unnest(p_ids, p_fences, p_kinds, p_details, p_suppress, p_retry, p_limits, p_daily, p_units)
           AS s (id, fence, kind, detail, suppress, retry, missed_limit, daily, units)
      JOIN attempt a ON a.reminder_id = s.id AND a.fence = s.fence
     ORDER BY s.id, s.fence, (s.kind = 'delivered') DESC
  ), kept AS (
    INSERT INTO receipt (reminder_id, fence, kind, detail) SELECT s.id, s.fence, s.kind, coalesce(s.detail, '') FROM said s
    ON CONFLICT DO NOTHING
  ), news AS (
    SELECT s.* FROM said s
     WHERE CASE s.kind WHEN 'delivered' THEN s.was IN ('started', 'accepted', 'unknown', 'expired', 'undelivered', 'resent')
                       ELSE s.was IN ('started', 'accepted', 'unknown', 'expired', 'resent') END
  ), written AS (
    UPDATE attempt a SET state = n.kind, detail = coalesce(n.detail, a.detail), cost = a.cost * coalesce(n.units, 1), receipt_due = NULL
      FROM news n WHERE a.reminder_id = n.id AND a.fence = n.fence AND a.state <> 'resent'
  ), barred AS (
    INSERT INTO suppression (contact_point_id, channel, reason, detail, created_at)
    SELECT DISTINCT ON (s.contact_point_id, s.channel) s.contact_point_id, s.channel, s.suppress, s.detail, v_now
      FROM said s WHERE s.suppress IS NOT NULL
    ON CONFLICT DO NOTHING
  ), moved AS (
    UPDATE reminder r
       SET state = CASE WHEN n.kind = 'delivered' THEN 'delivered'
                        WHEN n.kind = 'undelivered' AND n.alternatives = 0 THEN 'failed' ELSE 'pending' END,
           reason = CASE WHEN n.kind = 'delivered' THEN 'receipt'
                         WHEN n.kind = 'undelivered' AND n.alternatives = 0 THEN 'no_channel_left' END,
           due_at = CASE n.kind WHEN 'delivered' THEN r.due_at WHEN 'missed' THEN greatest(v_now + n.retry, n.not_before) ELSE v_now END,
           lease = NULL, queued_at = NULL
      FROM news n
     WHERE r.id = n.id
       AND CASE WHEN n.kind = 'delivered' THEN r.state NOT IN ('cancelled', 'skipped', 'delivered')
                ELSE r.fence = n.fence AND r.state IN ('sending', 'uncertain', 'accepted') END
  ), log AS (
    INSERT INTO event (at, invoice_id, reminder_id, kind, data)
    SELECT v_now, n.invoice_id, n.id, 'attempt.' || said.kind,
           jsonb_strip_nulls(jsonb_build_object('channel', n.channel, 'fence', n.fence, 'detail', said.detail,
                                                'suppressed', said.suppress))
      FROM news n, LATERAL (VALUES (1, 'accepted', NULL, NULL), (2, n.kind, n.detail, n.suppress)) AS said (nth, kind, detail, suppress)
     WHERE said.nth = 2 OR n.was = 'started'
     ORDER BY n.id, n.fence, said.nth
  )
  SELECT array_agg(DISTINCT n.invoice_id) INTO v_late
    FROM news n JOIN reminder r ON r.id = n.id
   WHERE n.kind <> 'delivered' AND r.state = 'cancelled';
  IF v_late IS NOT NULL THEN INSERT INTO replan_wanted (invoice_id) SELECT unnest(v_late); END IF;

  PERFORM follow(p_ids, v_now);
  RETURN coalesce(v_late, '{}');
END
$$;

-- In a transaction of its own, after record() or receive(): a failure learnt for a cancelled reminder of an invoice that is open
-- again must be planned again. What only wishes for it stands in replan_wanted until this was done, so that a worker may die between.
CREATE OR REPLACE FUNCTION request_replan(p_invoices bigint[], p_now timestamptz) RETURNS void LANGUAGE plpgsql AS
$$
BEGIN
  PERFORM FROM invoice i WHERE i.id = ANY (p_invoices) ORDER BY i.id FOR NO KEY UPDATE;
  UPDATE invoice i SET replan_at = coalesce(i.replan_at, p_now, business_now())
   WHERE i.id = ANY (p_invoices) AND i.closed_as IS NULL AND i.settled_at IS NULL;
  DELETE FROM replan_wanted w WHERE w.invoice_id = ANY (p_invoices);
END
$$;

-- Those whose worker died before its request_replan. Answers how many.
CREATE OR REPLACE FUNCTION sweep_replans(p_older interval, p_limit integer, p_now timestamptz) RETURNS integer LANGUAGE plpgsql AS
$$
DECLARE
  v_invoices bigint[] := ARRAY(SELECT DISTINCT w.invoice_id FROM replan_wanted w WHERE w.at < clock_timestamp() - p_older LIMIT p_limit);
BEGIN
  IF v_invoices <> '{}' THEN PERFORM request_replan(v_invoices, p_now); END IF;
  RETURN cardinality(v_invoices);
END
$$;

-- === SETTLE and PAYMENT ==========================================================================================================

-- The hand-off barrier: how long (seconds) until every attempt of an invoice that has started is past its hand-off window. A set, like
-- hold_on(); an invoice without such an attempt is not in it.
CREATE OR REPLACE FUNCTION barriers(p_invoices bigint[], p_window interval)
RETURNS TABLE (invoice_id bigint, wait double precision) LANGUAGE sql STABLE AS
$$
  SELECT a.invoice_id, greatest(0, extract(epoch FROM max(a.started) + p_window - clock_timestamp()))::double precision
    FROM attempt a WHERE a.state = 'started' AND a.invoice_id = ANY (p_invoices) GROUP BY 1
$$;

-- That of all of them.
CREATE OR REPLACE FUNCTION barrier(p_invoices bigint[], p_window interval) RETURNS double precision LANGUAGE sql AS
$$ SELECT coalesce(max(b.wait), 0) FROM barriers(p_invoices, p_window) b $$;

-- What was claimed and may still be handed over, or has been and its provider has not answered: how many attempts, and the seconds
-- until none of them can begin any more.
CREATE OR REPLACE FUNCTION in_flight(p_window interval, OUT attempts bigint, OUT wait double precision) LANGUAGE sql AS
$$
  SELECT count(*), greatest(0, coalesce(extract(epoch FROM max(a.started) + p_window - clock_timestamp()), 0))::double precision
    FROM attempt a WHERE a.state = 'started' AND a.started > clock_timestamp() - p_window
$$;

-- What a bank kept of the money for these invoices, as far as the sources of their payments let it (`fees` in source.config: currency,
-- most, percent, creditors): an installment that money came for and that lacks no more than one of them allows is paid, the rest written
-- off, `most` an invoice in all. A function of what is owed and allocated, reckoned anew after each change: no order of events, and no reversal, leaves a trace.
-- Under the invoices' locks, before settle() looks. Its owner's rights: the scheduler changes amounts, and may not read a source.
CREATE OR REPLACE FUNCTION write_off_fees(p_invoices bigint[], p_now timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan AS
$$
BEGIN
  IF NOT EXISTS (SELECT FROM installment n WHERE n.invoice_id = ANY (p_invoices)
                    AND (n.written_off > 0 OR (n.allocated > 0 AND n.open_amount > 0))) THEN
    RETURN;
  END IF;
  WITH part AS MATERIALIZED (
    SELECT n.*, sum(n.lacks) OVER (PARTITION BY n.invoice_id ORDER BY n.due_date, n.no) AS so_far FROM (
      SELECT n.id, n.invoice_id, i.currency, n.due_date, n.no, n.written_off, n.amount - n.credited AS due,
             CASE WHEN n.allocated > 0 THEN n.amount - n.credited - n.allocated ELSE 0 END AS lacks
        FROM installment n JOIN invoice i ON i.id = n.invoice_id WHERE n.invoice_id = ANY (p_invoices) AND i.closed_as IS NULL) n
  ), bound AS (
    SELECT DISTINCT n.invoice_id, (f ->> 'most')::numeric AS most, (f ->> 'percent')::numeric AS percent
      FROM installment n JOIN invoice i ON i.id = n.invoice_id JOIN creditor c ON c.id = i.creditor_id
      JOIN allocation a ON a.installment_id = n.id JOIN payment y ON y.id = a.payment_id JOIN source s ON s.id = y.source_id
     CROSS JOIN LATERAL jsonb_array_elements(s.config -> 'fees') f
     WHERE n.invoice_id = ANY (p_invoices) AND f ->> 'currency' = i.currency
       AND (f -> 'creditors' = '[]' OR f -> 'creditors' ? c.ref)
  ), kept AS MATERIALIZED (
    SELECT p.id, p.invoice_id, p.currency, p.written_off AS before,
           CASE WHEN EXISTS (SELECT FROM bound b WHERE b.invoice_id = p.invoice_id
                                AND p.lacks <= p.due * b.percent / 100 AND p.so_far <= b.most)
                THEN p.lacks ELSE 0 END AS after
      FROM part p
  ), moved AS (
    UPDATE installment n SET written_off = k.after FROM kept k WHERE n.id = k.id AND k.after <> k.before
  ), again AS (
    UPDATE invoice i SET replan_at = coalesce(i.replan_at, p_now) WHERE i.id IN (SELECT k.invoice_id FROM kept k WHERE k.after < k.before)
  )
  INSERT INTO event (at, invoice_id, kind, data)
  SELECT p_now, t.invoice_id, CASE WHEN t.after > 0 THEN 'fees.written_off' ELSE 'fees.taken_back' END,
         jsonb_build_object('amount', CASE WHEN t.after > 0 THEN t.after ELSE t.before END::text, 'currency', t.currency)
    FROM (SELECT k.invoice_id, k.currency, sum(k.before) AS before, sum(k.after) AS after FROM kept k GROUP BY 1, 2) t
   WHERE t.after <> t.before;
END
$$;

-- After any change to what is owed, under the invoices' locks: what is settled stops, what waited for the settlement goes, what is
-- open again is planned anew. The thank-you's occurrence is the settlement's number, so it goes once for each.
CREATE OR REPLACE FUNCTION settle(p_invoices bigint[], p_now timestamptz) RETURNS void
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan  -- else planned at every call: four times the cost of running it
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off  -- else a small table is read whole for one invoice
AS
$$
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
  v_cancelled bigint[];
  v_ended bigint[];
  v_until timestamptz[];
BEGIN
  PERFORM write_off_fees(p_invoices, v_now);
  WITH owed AS (
    SELECT n.invoice_id, sum(n.open_amount) AS open_amount FROM installment n WHERE n.invoice_id = ANY (p_invoices) GROUP BY 1
  ), changed AS (
    UPDATE invoice i
       SET settled_n = i.settled_n + (o.open_amount = 0)::int,
           settled_at = CASE WHEN o.open_amount = 0 THEN v_now END,
           replan_at = CASE WHEN o.open_amount = 0 THEN i.replan_at ELSE coalesce(i.replan_at, v_now) END
      FROM owed o WHERE i.id = o.invoice_id AND (o.open_amount = 0) <> (i.settled_at IS NOT NULL) AND i.closed_as IS NULL
    RETURNING i.id, i.settled_at
  ), promises AS (
    UPDATE hold h SET released_at = v_now FROM changed c
     WHERE h.invoice_id = c.id AND c.settled_at IS NOT NULL AND h.kind IN ('promise', 'in_flight', 'said_paid') AND h.released_at IS NULL
    RETURNING h.invoice_id, h.until
  ), log AS (
    INSERT INTO event (at, invoice_id, kind, data)
    SELECT v_now, c.id, CASE WHEN c.settled_at IS NULL THEN 'invoice.reopened' ELSE 'invoice.paid' END, '{}' FROM changed c
  )
  SELECT array_agg(e.invoice_id), array_agg(e.until) INTO v_ended, v_until FROM promises e WHERE e.until > v_now;

  WITH facts AS (
    SELECT r.id, r.requires_open, r.anchor, r.state, r.occurrence, i.settled_at IS NOT NULL AS paid, i.settled_n,
           coalesce(n.open_amount = 0, i.settled_at IS NOT NULL) AS settled,
           (SELECT bool_or(x.allocated > 0) FROM installment x WHERE x.invoice_id = i.id) AS by_money  -- EXISTS would be hashed
      FROM reminder r JOIN invoice i ON i.id = r.invoice_id LEFT JOIN installment n ON n.id = r.installment_id
     WHERE r.invoice_id = ANY (p_invoices) AND r.state IN ('waiting', 'pending', 'queued') AND i.closed_as IS NULL
     ORDER BY r.id FOR UPDATE OF r
  ), verdict AS (
    SELECT f.id, CASE
             WHEN f.requires_open AND f.settled THEN 'cancelled'
             WHEN f.anchor = 'payment' AND f.paid AND f.state = 'waiting' AND f.occurrence = f.settled_n
               THEN CASE WHEN f.by_money THEN 'pending' ELSE 'cancelled' END
             WHEN f.anchor = 'payment' AND NOT f.paid AND f.state <> 'waiting' THEN 'cancelled'
           END AS state
      FROM facts f
  ), moved AS (
    UPDATE reminder r
       SET state = v.state,
           reason = CASE WHEN v.state = 'cancelled' THEN
                      CASE WHEN r.requires_open THEN 'paid' WHEN r.state = 'waiting' THEN 'settled_by_credit' ELSE 'reopened' END END,
           due_at = CASE WHEN v.state = 'pending' THEN v_now ELSE r.due_at END,
           queued_at = NULL
      FROM verdict v WHERE r.id = v.id AND v.state IS NOT NULL
    RETURNING r.id, r.invoice_id, r.step, r.state, r.reason, r.followed
  ), log AS (
    INSERT INTO event (at, invoice_id, reminder_id, kind, data)
    SELECT v_now, m.invoice_id, m.id, 'reminder.cancelled', jsonb_build_object('step', m.step, 'reason', m.reason)
      FROM moved m WHERE m.state = 'cancelled'
  )
  SELECT array_agg(m.id) INTO v_cancelled FROM moved m WHERE m.state = 'cancelled' AND m.followed;
  IF v_cancelled IS NOT NULL THEN PERFORM follow(v_cancelled, v_now); END IF;

  IF v_ended IS NOT NULL THEN  -- last: by now their rows are locked, by id
    UPDATE reminder r SET due_at = v_now FROM unnest(v_ended, v_until) AS e (invoice_id, until)
     WHERE r.invoice_id = e.invoice_id AND r.state = 'pending' AND NOT r.requires_open AND r.due_at = e.until;
  END IF;
END
$$;

-- Gives a payment's money to what it pays: less than before is taken back from the youngest due date, more fills the oldest first.
-- The rest of a payment that a person has allocated (by_hand) or that was for several invoices (split) is a person's. An installment that is open again is planned anew.
-- The caller holds the locks of the payment and of every invoice that it touches.
CREATE OR REPLACE FUNCTION apply_payment(p_payment bigint, p_now timestamptz) RETURNS bigint[] LANGUAGE plpgsql AS
$$
DECLARE
  v_payment payment;
  v_invoice invoice;
  v_reason text;
  v_rest numeric;
  v_part numeric;
  v_row record;
  v_touched bigint[] := '{}';
  v_reopened bigint[] := '{}';
BEGIN
  SELECT * INTO v_payment FROM payment WHERE id = p_payment;
  SELECT * INTO v_invoice FROM invoice WHERE id = v_payment.invoice_id;
  SELECT v_payment.amount - coalesce(sum(a.amount), 0) INTO v_rest FROM allocation a WHERE a.payment_id = p_payment;

  IF v_rest < 0 THEN
    FOR v_row IN SELECT a.installment_id, a.amount, n.invoice_id, n.open_amount
                   FROM allocation a JOIN installment n ON n.id = a.installment_id
                  WHERE a.payment_id = p_payment ORDER BY n.due_date DESC, n.no DESC LOOP
      EXIT WHEN v_rest >= 0;
      v_part := least(v_row.amount, -v_rest);
      UPDATE installment SET allocated = allocated - v_part WHERE id = v_row.installment_id;
      IF v_part = v_row.amount THEN
        DELETE FROM allocation WHERE payment_id = p_payment AND installment_id = v_row.installment_id;
      ELSE
        UPDATE allocation SET amount = amount - v_part WHERE payment_id = p_payment AND installment_id = v_row.installment_id;
      END IF;
      v_rest := v_rest + v_part;
      v_touched := v_touched || v_row.invoice_id;
      v_reopened := v_reopened || CASE WHEN v_row.open_amount = 0 THEN v_row.invoice_id END;
    END LOOP;
    UPDATE invoice SET replan_at = coalesce(replan_at, p_now) WHERE id = ANY (v_reopened) AND closed_as IS NULL;
  END IF;

  v_reason := CASE WHEN v_payment.unmatched_reason IN ('by_hand', 'split') THEN v_payment.unmatched_reason
                   WHEN v_invoice.id IS NULL THEN 'unknown_invoice'
                   WHEN v_payment.currency <> v_invoice.currency THEN 'other_currency'
                   WHEN v_invoice.closed_as IS NOT NULL THEN 'invoice_' || v_invoice.closed_as END;
  IF v_rest > 0 AND v_reason IS NULL THEN
    FOR v_row IN SELECT n.id, n.amount - n.credited - n.allocated AS room FROM installment n  -- what was written off makes way for money
                  WHERE n.invoice_id = v_invoice.id AND n.amount > n.credited + n.allocated
                    AND (v_payment.installment_no IS NULL OR n.no = v_payment.installment_no)
                  ORDER BY n.due_date, n.no LOOP
      EXIT WHEN v_rest <= 0;
      v_part := least(v_rest, v_row.room);
      UPDATE installment SET allocated = allocated + v_part WHERE id = v_row.id;
      INSERT INTO allocation (payment_id, installment_id, amount) VALUES (p_payment, v_row.id, v_part)
      ON CONFLICT (payment_id, installment_id) DO UPDATE SET amount = allocation.amount + v_part;
      v_rest := v_rest - v_part;
      v_touched := v_touched || v_invoice.id;
    END LOOP;
    v_reason := CASE WHEN v_rest > 0 THEN 'overpaid' END;
  END IF;

  UPDATE payment SET allocated = amount - v_rest,
                     unmatched_reason = CASE WHEN v_rest > 0 OR v_reason IN ('by_hand', 'split') THEN v_reason END
   WHERE id = p_payment;
  RETURN v_touched;
END
$$;

-- Gives the money of new payments to invoices, which the caller has locked: piece n is p_amounts[n] of payment p_from[n] (NULL: of one that is
-- not new), for invoice p_to[n], which gets as much of it as it owes. Each payment says then what was given, and why the rest was not.
CREATE OR REPLACE FUNCTION spend(p_payments bigint[], p_from bigint[], p_to bigint[], p_amounts numeric[]) RETURNS void LANGUAGE plpgsql AS
$$
BEGIN
  -- Both sides laid end to end, money by payment and debt by due date: where two stretches meet, the one pays the other.
  WITH piece AS (
    SELECT y.id AS payment_id, p.invoice, sum(p.amount) OVER w - p.amount AS starts, sum(p.amount) OVER w AS ends
      FROM unnest(p_from, p_to, p_amounts) AS p (payment, invoice, amount)
      JOIN payment y ON y.id = p.payment
      JOIN invoice i ON i.id = p.invoice AND i.closed_as IS NULL AND i.currency = y.currency  -- a payment that is not confirmed has none, and gives nothing
    WINDOW w AS (PARTITION BY p.invoice ORDER BY y.id)
  ), owed AS (
    SELECT n.id, n.invoice_id, sum(n.room) OVER w - n.room AS starts, sum(n.room) OVER w AS ends
      FROM (SELECT x.*, x.amount - x.credited - x.allocated AS room FROM installment x WHERE x.invoice_id = ANY (p_to)) n
     WHERE n.room > 0
    WINDOW w AS (PARTITION BY n.invoice_id ORDER BY n.due_date, n.no)
  ), part AS (
    SELECT p.payment_id, o.id AS installment_id, least(p.ends, o.ends) - greatest(p.starts, o.starts) AS amount
      FROM piece p JOIN owed o ON o.invoice_id = p.invoice AND o.starts < p.ends AND p.starts < o.ends
  ), booked AS (
    UPDATE installment n SET allocated = n.allocated + t.amount
      FROM (SELECT installment_id, sum(amount) AS amount FROM part GROUP BY 1) t WHERE n.id = t.installment_id
  ), kept AS (
    INSERT INTO allocation (payment_id, installment_id, amount) SELECT payment_id, installment_id, amount FROM part
  ), paid AS (
    SELECT payment_id, sum(amount) AS amount FROM part GROUP BY 1
  ), split AS (
    SELECT payment_id FROM unnest(p_from) AS p (payment_id) GROUP BY 1 HAVING count(*) > 1
  )
  UPDATE payment y
     SET allocated = coalesce(d.amount, 0),
         unmatched_reason = CASE WHEN y.amount = 0 THEN NULL WHEN s.payment_id IS NOT NULL THEN 'split'
                                 WHEN coalesce(d.amount, 0) = y.amount THEN NULL WHEN i.id IS NULL THEN 'unknown_invoice'
                                 WHEN y.currency <> i.currency THEN 'other_currency'
                                 WHEN i.closed_as IS NOT NULL THEN 'invoice_' || i.closed_as ELSE 'overpaid' END
    FROM payment x LEFT JOIN invoice i ON i.id = x.invoice_id
    LEFT JOIN paid d ON d.payment_id = x.id LEFT JOIN split s ON s.payment_id = x.id
   WHERE x.id = ANY (p_payments) AND y.id = x.id;
END
$$;

-- Deals the money of these invoices' payments out anew: first to the installments that payments name, then to the oldest due date.
-- Called when money was freed or is over while something is open, so that what is owed never depends on the order of events.
-- Last come polled sources, which say what was paid of an invoice in all: theirs is what no other payment explains, so the same
-- money, heard of twice, counts once; one that is no more cannot be asked whether it still says so, and never pays more than it did.
-- What a person has allocated stays. The caller holds the invoices' locks, and settles.
CREATE OR REPLACE FUNCTION refill(p_invoices bigint[], p_now timestamptz) RETURNS void LANGUAGE plpgsql AS
$$
DECLARE
  v_invoices bigint[] := ARRAY(SELECT i.id FROM invoice i WHERE i.id = ANY (p_invoices) AND i.closed_as IS NULL);
  v_settled bigint[] := ARRAY(SELECT n.id FROM installment n WHERE n.invoice_id = ANY (v_invoices) AND n.open_amount = 0);
  v_payments bigint[];
  v_row record;
BEGIN
  SELECT array_agg(l.id) INTO v_payments FROM (
    SELECT y.id FROM payment y WHERE y.invoice_id = ANY (v_invoices) AND coalesce(y.unmatched_reason, '') NOT IN ('by_hand', 'split')
     ORDER BY y.id FOR UPDATE) l;
  WITH freed AS (
    DELETE FROM allocation a WHERE a.payment_id = ANY (v_payments) RETURNING a.installment_id, a.amount
  )
  UPDATE installment n SET allocated = n.allocated - f.amount
    FROM (SELECT installment_id, sum(amount) AS amount FROM freed GROUP BY 1) f WHERE n.id = f.installment_id;
  FOR v_row IN SELECT y.id, y.invoice_id, y.says_paid FROM payment y WHERE y.id = ANY (v_payments)
                ORDER BY y.says_paid IS NOT NULL, y.installment_no IS NULL, y.id LOOP
    IF v_row.says_paid IS NOT NULL THEN
      UPDATE payment y
         SET amount = greatest(0, least(v_row.says_paid - o.allocated, o.room,
                                        CASE WHEN NOT EXISTS (SELECT FROM source s WHERE s.id = y.source_id AND s.kind = 'http_poll')
                                             THEN y.amount END)),
             allocated = 0
        FROM (SELECT sum(n.allocated) AS allocated, sum(n.amount - n.credited - n.allocated) AS room FROM installment n
               WHERE n.invoice_id = v_row.invoice_id) o WHERE y.id = v_row.id;
    END IF;
    PERFORM apply_payment(v_row.id, p_now);
  END LOOP;
  UPDATE invoice i SET replan_at = coalesce(i.replan_at, p_now)
   WHERE i.id IN (SELECT n.invoice_id FROM installment n WHERE n.id = ANY (v_settled) AND n.open_amount > 0);
END
$$;

-- Of these invoices, those that have money over although something is open: an amount was raised, a payment reversed.
CREATE OR REPLACE FUNCTION refillable(p_invoices bigint[]) RETURNS bigint[] LANGUAGE sql STABLE AS
$$
  SELECT coalesce(array_agg(DISTINCT y.invoice_id), '{}') FROM payment y JOIN invoice i ON i.id = y.invoice_id
   WHERE y.invoice_id = ANY (p_invoices) AND y.allocated < y.amount AND y.unmatched_reason = 'overpaid' AND i.closed_as IS NULL
     AND y.installment_no IS NULL AND EXISTS (SELECT FROM installment n WHERE n.invoice_id = i.id AND n.amount > n.credited + n.allocated)
$$;

-- The invoice a payment speaks of: by the ERP's id, else by the payment reference, if that names just one.
CREATE OR REPLACE FUNCTION invoice_of(p_ref text, p_reference text) RETURNS bigint LANGUAGE sql STABLE AS
$$
  SELECT coalesce((SELECT i.id FROM invoice i WHERE i.ref = p_ref),
                  (SELECT min(i.id) FROM invoice i WHERE p_ref IS NULL AND i.payment_reference = p_reference HAVING count(*) = 1))
$$;

-- Money under way stops the reminders of its invoice until it comes, fails or took too long: one hold for all such payments of an
-- invoice, moved or ended as they change. The caller holds the invoices' locks.
CREATE OR REPLACE FUNCTION keep_in_flight(p_invoices bigint[], p_now timestamptz) RETURNS void LANGUAGE plpgsql AS
$$
DECLARE
  v_ended bigint[];
BEGIN
  WITH wanted AS (
    SELECT i AS invoice_id, (SELECT max(y.in_flight_until) FROM payment y WHERE y.invoice_id = i AND y.in_flight_until > p_now) AS until
      FROM (SELECT DISTINCT unnest(p_invoices) AS i) u
  ), moved AS (
    UPDATE hold h SET until = w.until FROM wanted w
     WHERE h.invoice_id = w.invoice_id AND h.kind = 'in_flight' AND h.released_at IS NULL AND h.until > p_now AND w.until IS NOT NULL
    RETURNING h.invoice_id
  ), placed AS (
    INSERT INTO hold (kind, invoice_id, reason, starts_at, until)
    SELECT 'in_flight', w.invoice_id, 'a payment is under way', p_now, w.until FROM wanted w JOIN invoice i ON i.id = w.invoice_id
     WHERE w.until IS NOT NULL AND i.settled_at IS NULL AND i.closed_as IS NULL AND w.invoice_id NOT IN (SELECT m.invoice_id FROM moved m)
    RETURNING invoice_id, until
  ), log AS (
    INSERT INTO event (at, invoice_id, kind, data)
    SELECT p_now, p.invoice_id, 'hold.placed',
           jsonb_build_object('hold', 'in_flight', 'reason', 'a payment is under way', 'until', p.until) FROM placed p
  )
  SELECT array_agg(h.id) INTO v_ended FROM hold h JOIN wanted w ON w.invoice_id = h.invoice_id
   WHERE h.kind = 'in_flight' AND h.released_at IS NULL AND w.until IS NULL;
  IF v_ended IS NOT NULL THEN PERFORM release_holds(v_ended, p_now); END IF;
END
$$;

-- Right after record_payment() of a pending payment, in its transaction: holds the reminders for p_for from its first word on.
CREATE OR REPLACE FUNCTION hold_in_flight(p_payment bigint, p_for interval, p_now timestamptz) RETURNS void LANGUAGE plpgsql AS
$$
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
  v_invoice bigint;
BEGIN
  UPDATE payment y SET in_flight_until = coalesce(y.in_flight_until, y.created_at + p_for)
   WHERE y.id = p_payment AND p_for > interval '0' AND (
     SELECT bool_and(e.kind IN ('pending', 'failed')) AND sum(CASE e.kind WHEN 'pending' THEN 1 ELSE -1 END) > 0
       FROM payment_event e WHERE e.source_id = y.source_id AND e.payment_ref = y.payment_ref)
  RETURNING y.invoice_id INTO v_invoice;
  IF v_invoice IS NOT NULL THEN PERFORM keep_in_flight(ARRAY[v_invoice], v_now); END IF;
END
$$;

-- What a source says about a payment: stored, folded, allocated and settled in one transaction. `fresh` false: heard before.
-- `wait` is the hand-off barrier in seconds that the caller sits out before it acknowledges, a repeated event too.
-- Raises 40001 when another event of the same payment got in between: call again.
CREATE OR REPLACE FUNCTION record_payment(
  p_source bigint, p_payment_ref text, p_kind text, p_event_ref text, p_amount numeric, p_currency text, p_invoice_ref text,
  p_installment_no integer, p_reference text, p_paid_at timestamptz, p_payer jsonb, p_body bytea, p_window interval, p_now timestamptz)
RETURNS TABLE (fresh boolean, payment_id bigint, invoice_id bigint, unmatched_reason text, unallocated numeric, wait double precision)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan  -- for all that it calls
SET enable_seqscan = off  -- a plan made while a table is still empty would read it whole until somebody analyzes it
AS
$$
#variable_conflict use_column
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
  v_target bigint := invoice_of(p_invoice_ref, p_reference);
  v_locked bigint[];
  v_known record;
  v_payment record;
  v_was_in_flight boolean;
  v_fresh boolean;
BEGIN
  -- By key, one table at a time: an OR or a join here would read whole tables, and a plan once made stays.
  SELECT y.id, y.invoice_id INTO v_known FROM payment y WHERE y.source_id = p_source AND y.payment_ref = p_payment_ref;
  v_locked := array_remove(ARRAY[v_target], NULL);
  IF v_known.id IS NOT NULL THEN
    v_locked := ARRAY(
      SELECT l FROM unnest(v_locked || v_known.invoice_id) l WHERE l IS NOT NULL
      UNION SELECT n.invoice_id FROM allocation a JOIN installment n ON n.id = a.installment_id WHERE a.payment_id = v_known.id);
  END IF;
  PERFORM FROM invoice i WHERE i.id = ANY (v_locked) ORDER BY i.id FOR NO KEY UPDATE;

  -- As the fold of this one event: for nearly every payment the only one.
  INSERT INTO payment (source_id, payment_ref, amount, currency, invoice_ref, installment_no, reference, paid_at, payer, invoice_id)
  VALUES (p_source, p_payment_ref, CASE p_kind WHEN 'confirmed' THEN p_amount ELSE 0 END,
          CASE p_kind WHEN 'confirmed' THEN p_currency END, p_invoice_ref, p_installment_no, p_reference, p_paid_at, p_payer, v_target)
  ON CONFLICT (source_id, payment_ref) DO UPDATE SET payment_ref = excluded.payment_ref
  RETURNING *, xmax = 0 AS is_new INTO v_payment;
  IF NOT v_payment.is_new AND (
       (v_payment.invoice_id IS NOT NULL AND v_payment.invoice_id <> ALL (v_locked))  -- NULL <> ALL ('{}') is true
    OR EXISTS (SELECT FROM allocation a JOIN installment n ON n.id = a.installment_id
                WHERE a.payment_id = v_payment.id AND n.invoice_id <> ALL (v_locked))) THEN
    RAISE EXCEPTION 'payment % moved meanwhile', p_payment_ref USING ERRCODE = '40001';
  END IF;

  INSERT INTO payment_event (source_id, payment_ref, kind, event_ref, amount, currency, invoice_ref, installment_no, reference, paid_at,
                             payer, body)
  VALUES (p_source, p_payment_ref, p_kind, p_event_ref, p_amount, p_currency, p_invoice_ref, p_installment_no, p_reference, p_paid_at,
          p_payer, p_body)
  ON CONFLICT DO NOTHING;
  v_fresh := FOUND;

  IF v_fresh THEN
    IF NOT v_payment.is_new THEN
      v_was_in_flight := v_payment.in_flight_until IS NOT NULL;
      WITH fold AS (
        SELECT coalesce(max(e.amount) FILTER (WHERE e.kind = 'confirmed'), 0) AS confirmed,
               bool_or(e.kind = 'reversed' AND e.amount IS NULL) AS wholly,
               coalesce(sum(e.amount) FILTER (WHERE e.kind = 'reversed'), 0) AS reversed,
               max(e.currency) FILTER (WHERE e.kind = 'confirmed') AS currency, max(e.invoice_ref) AS invoice_ref,
               max(e.installment_no) AS installment_no, max(e.reference) AS reference, max(e.paid_at) AS paid_at,
               bool_and(e.kind IN ('pending', 'failed')) AND sum(CASE e.kind WHEN 'pending' THEN 1 ELSE -1 END) > 0 AS in_flight
          FROM payment_event e WHERE e.source_id = p_source AND e.payment_ref = p_payment_ref
      )
      UPDATE payment y
         SET amount = CASE WHEN f.wholly THEN 0 ELSE greatest(0, f.confirmed - f.reversed) END,
             allocated = least(y.allocated, CASE WHEN f.wholly THEN 0 ELSE greatest(0, f.confirmed - f.reversed) END),
             currency = f.currency, invoice_ref = f.invoice_ref, installment_no = f.installment_no, reference = f.reference,
             paid_at = f.paid_at, payer = coalesce(p_payer, y.payer), invoice_id = coalesce(y.invoice_id, v_target),
             in_flight_until = CASE WHEN f.in_flight THEN y.in_flight_until END
        FROM fold f WHERE y.id = v_payment.id
      RETURNING y.* INTO v_payment;
      IF v_was_in_flight AND v_payment.in_flight_until IS NULL THEN PERFORM keep_in_flight(v_locked, v_now); END IF;
    END IF;
    PERFORM apply_payment(v_payment.id, v_now);
    IF p_kind = 'reversed' OR v_payment.installment_no IS NOT NULL
       OR EXISTS (SELECT FROM payment y WHERE y.invoice_id = ANY (v_locked) AND y.says_paid IS NOT NULL) THEN
      PERFORM refill(v_locked, v_now);
    END IF;
    INSERT INTO event (at, invoice_id, kind, data)
    SELECT v_now, l, 'payment.' || p_kind,
           jsonb_strip_nulls(jsonb_build_object('payment_id', p_payment_ref, 'amount', p_amount::text, 'currency', p_currency))
      FROM unnest(v_locked) l;
    PERFORM settle(v_locked, v_now);
  END IF;

  RETURN QUERY SELECT v_fresh, y.id, y.invoice_id,
                      CASE WHEN p_kind = 'reversed' AND y.currency IS NULL THEN 'unknown_payment' ELSE y.unmatched_reason END,
                      y.amount - y.allocated, barrier(v_locked, p_window)
                 FROM payment y WHERE y.id = v_payment.id;
END
$$;

-- Confirmed payments that come at once, each for an invoice: as record_payment() one at a time, in a few statements. Only those whose payment
-- was never heard of and whose invoice nobody has locked, claims included, are stored and answered, of one that comes twice the first; the
-- rest is for record_payment(), which waits.
CREATE OR REPLACE FUNCTION record_payments(
  p_sources bigint[], p_refs text[], p_event_refs text[], p_amounts numeric[], p_currencies text[], p_invoice_refs text[],
  p_references text[], p_paid_at timestamptz[], p_payers jsonb[], p_bodies bytea[], p_window interval, p_now timestamptz)
RETURNS TABLE (nth bigint, payment_id bigint, invoice_id bigint, unmatched_reason text, unallocated numeric, wait double precision)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS
$$
#variable_conflict use_column
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
  v_targets bigint[] := ARRAY(SELECT invoice_of(e.invoice_ref, e.reference)
                                FROM unnest(p_invoice_refs, p_references) WITH ORDINALITY AS e (invoice_ref, reference, nth) ORDER BY e.nth);
  v_invoices bigint[];
  v_polled bigint[];
  v_taken bigint[];  -- the places in the lists of those that are stored here, and the payments that they became
  v_ids bigint[];
BEGIN
  SELECT array_agg(l.id) INTO v_invoices FROM (
    SELECT i.id FROM invoice i WHERE i.id = ANY (v_targets) ORDER BY i.id FOR NO KEY UPDATE SKIP LOCKED) l;
  IF v_invoices IS NULL THEN RETURN; END IF;

  WITH said AS (
    SELECT DISTINCT ON (e.source, e.ref) e.*
      FROM unnest(p_sources, p_refs, p_event_refs, p_amounts, p_currencies, p_invoice_refs, p_references, p_paid_at, p_payers, p_bodies,
                  v_targets) WITH ORDINALITY
           AS e (source, ref, event_ref, amount, currency, invoice_ref, reference, paid_at, payer, body, target, nth)
     WHERE e.target = ANY (v_invoices) ORDER BY e.source, e.ref, e.nth
  ), made AS (
    INSERT INTO payment (source_id, payment_ref, amount, currency, invoice_ref, reference, paid_at, payer, invoice_id)
    SELECT s.source, s.ref, s.amount, s.currency, s.invoice_ref, s.reference, s.paid_at, s.payer, s.target
      FROM said s ORDER BY s.source, s.ref
    ON CONFLICT DO NOTHING RETURNING id, source_id, payment_ref
  ), heard AS (
    INSERT INTO payment_event (source_id, payment_ref, kind, event_ref, amount, currency, invoice_ref, reference, paid_at, payer, body)
    SELECT s.source, s.ref, 'confirmed', s.event_ref, s.amount, s.currency, s.invoice_ref, s.reference, s.paid_at, s.payer, s.body
      FROM said s JOIN made m ON m.source_id = s.source AND m.payment_ref = s.ref
  )
  SELECT array_agg(s.nth ORDER BY m.id), array_agg(m.id ORDER BY m.id) INTO v_taken, v_ids
    FROM said s JOIN made m ON m.source_id = s.source AND m.payment_ref = s.ref;
  IF v_taken IS NULL THEN RETURN; END IF;

  v_invoices := ARRAY(SELECT v_targets[t] FROM unnest(v_taken) WITH ORDINALITY AS t (t, nth) ORDER BY t.nth);
  PERFORM spend(v_ids, v_ids, v_invoices, ARRAY(SELECT p_amounts[t] FROM unnest(v_taken) WITH ORDINALITY AS t (t, nth) ORDER BY t.nth));
  v_polled := ARRAY(SELECT DISTINCT y.invoice_id FROM payment y WHERE y.invoice_id = ANY (v_invoices) AND y.says_paid IS NOT NULL);
  IF v_polled <> '{}' THEN PERFORM refill(v_polled, v_now); END IF;
  INSERT INTO event (at, invoice_id, kind, data)
  SELECT v_now, v_targets[t], 'payment.confirmed',
         jsonb_build_object('payment_id', p_refs[t], 'amount', p_amounts[t]::text, 'currency', p_currencies[t]) FROM unnest(v_taken) t;
  PERFORM settle(v_invoices, v_now);

  RETURN QUERY SELECT u.nth, y.id, y.invoice_id, y.unmatched_reason, y.amount - y.allocated, coalesce(b.wait, 0)
                 FROM unnest(v_taken, v_ids) AS u (nth, id) JOIN payment y ON y.id = u.id
                 LEFT JOIN barriers(v_invoices, p_window) b ON b.invoice_id = y.invoice_id;
END
$$;

-- The entries of a statement that were never heard of: confirmed or pending, as record_payment() would take them one at a time, but a
-- batch in a few statements. p_piece_*: what each (by its place in the arrays, from 1) goes to, decided by the matching; money of an
-- entry without a piece waits, and so does what is over. Several pieces are `split`: their shares stay, the rest is a person's.
-- Whoever was first with an entry has stored it: `fresh` false. The caller sits out barrier() of the invoices before it answers.
CREATE OR REPLACE FUNCTION book_entries(
  p_source bigint, p_refs text[], p_kinds text[], p_event_refs text[], p_amounts numeric[], p_currencies text[], p_references text[],
  p_remittances text[], p_paid_at timestamptz[], p_payers jsonb[], p_bodies bytea[],
  p_piece_entries integer[], p_piece_invoices bigint[], p_piece_amounts numeric[], p_hold interval, p_now timestamptz)
RETURNS TABLE (entry integer, fresh boolean, invoice_id bigint, unmatched_reason text, unallocated numeric)
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS
$$
#variable_conflict use_column
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
  v_invoices bigint[];
  v_entries integer[];
  v_ids bigint[];
BEGIN
  SELECT array_agg(l.id) INTO v_invoices FROM (
    SELECT i.id FROM invoice i WHERE i.id = ANY (p_piece_invoices) ORDER BY i.id FOR NO KEY UPDATE) l;

  WITH said AS (
    SELECT e.*, f.target FROM unnest(p_refs, p_kinds, p_amounts, p_currencies, p_references, p_remittances, p_paid_at, p_payers)
           WITH ORDINALITY AS e (ref, kind, amount, currency, reference, remittance, paid_at, payer, nth)
      LEFT JOIN (SELECT DISTINCT ON (p.entry) p.entry, p.invoice AS target
                   FROM unnest(p_piece_entries, p_piece_invoices) WITH ORDINALITY AS p (entry, invoice, nth)
                  ORDER BY p.entry, p.nth) f ON f.entry = e.nth
  ), made AS (
    INSERT INTO payment (source_id, payment_ref, amount, currency, reference, remittance, paid_at, payer, invoice_id, in_flight_until)
    SELECT p_source, s.ref, CASE s.kind WHEN 'confirmed' THEN s.amount ELSE 0 END, CASE s.kind WHEN 'confirmed' THEN s.currency END,
           s.reference, s.remittance, s.paid_at, s.payer, s.target,
           CASE WHEN s.kind = 'pending' AND p_hold > interval '0' THEN v_now + p_hold END
      FROM said s ORDER BY s.ref
    ON CONFLICT DO NOTHING RETURNING id, payment_ref
  ), heard AS (
    INSERT INTO payment_event (source_id, payment_ref, kind, event_ref, amount, currency, reference, paid_at, payer, body)
    SELECT p_source, e.ref, e.kind, e.event_ref, e.amount, e.currency, e.reference, e.paid_at, e.payer, e.body
      FROM unnest(p_refs, p_kinds, p_event_refs, p_amounts, p_currencies, p_references, p_paid_at, p_payers, p_bodies)
           AS e (ref, kind, event_ref, amount, currency, reference, paid_at, payer, body)
      JOIN made m ON m.payment_ref = e.ref
    ON CONFLICT DO NOTHING
  )
  SELECT array_agg(s.nth::integer ORDER BY m.id), array_agg(m.id ORDER BY m.id) INTO v_entries, v_ids
    FROM made m JOIN said s ON s.ref = m.payment_ref;

  PERFORM spend(v_ids, ARRAY(SELECT u.id FROM unnest(p_piece_entries) WITH ORDINALITY AS p (entry, nth)
                               LEFT JOIN unnest(v_entries, v_ids) AS u (entry, id) ON u.entry = p.entry ORDER BY p.nth),
                p_piece_invoices, p_piece_amounts);

  INSERT INTO event (at, invoice_id, kind, data)
  SELECT v_now, p.invoice, 'payment.' || p_kinds[p.entry],
         jsonb_build_object('payment_id', p_refs[p.entry], 'amount', p.amount::text, 'currency', p_currencies[p.entry])
    FROM unnest(p_piece_entries, p_piece_invoices, p_piece_amounts) AS p (entry, invoice, amount) WHERE p.entry = ANY (v_entries);
  IF EXISTS (SELECT FROM payment y WHERE y.invoice_id = ANY (v_invoices) AND y.says_paid IS NOT NULL) THEN
    PERFORM refill(v_invoices, v_now);
  END IF;
  PERFORM settle(v_invoices, v_now);
  IF 'pending' = ANY (p_kinds) THEN PERFORM keep_in_flight(v_invoices, v_now); END IF;

  RETURN QUERY SELECT e.nth::integer, u.id IS NOT NULL, y.invoice_id, y.unmatched_reason, coalesce(y.amount - y.allocated, 0)
                 FROM unnest(p_refs) WITH ORDINALITY AS e (ref, nth)
                 LEFT JOIN unnest(v_entries, v_ids) AS u (entry, id) ON u.entry = e.nth LEFT JOIN payment y ON y.id = u.id;
END
$$;

-- What a polled source says is open of these invoices (NULL: they are not paid, and it does not say how much), asked at p_asked, business
-- time. Books what no other payment explains, takes back what it no longer says, and marks them as checked. An answer that is older than
-- what is known is left out. `changed`: it moved money; `wait` as in record_payment.
CREATE OR REPLACE FUNCTION record_poll(
  p_source bigint, p_invoices bigint[], p_open numeric[], p_asked timestamptz, p_window interval, p_now timestamptz)
RETURNS TABLE (invoice_id bigint, changed boolean, wait double precision) LANGUAGE plpgsql AS
$$
#variable_conflict use_column
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
  v_heard bigint[];
  v_changed bigint[];
BEGIN
  PERFORM FROM invoice i WHERE i.id = ANY (p_invoices) ORDER BY i.id FOR NO KEY UPDATE;
  v_heard := ARRAY(SELECT i FROM unnest(p_invoices) i
                    WHERE NOT EXISTS (SELECT FROM installment n WHERE n.invoice_id = i AND n.checked_at > p_asked AND n.checked_at <= v_now));
  WITH said AS (
    SELECT a.invoice, greatest(0, o.due - coalesce(a.open, o.due)) AS paid, o.allocated
      FROM unnest(p_invoices, p_open) AS a (invoice, open)
      CROSS JOIN LATERAL (SELECT sum(n.amount - n.credited) AS due, sum(n.allocated) AS allocated FROM installment n
                           WHERE n.invoice_id = a.invoice) o
     WHERE a.invoice = ANY (v_heard)
  ), news AS (
    SELECT s.invoice, s.paid, i.ref, i.currency, y.id IS NOT NULL OR s.paid > s.allocated AS moves FROM said s JOIN invoice i ON i.id = s.invoice
      LEFT JOIN payment y ON y.source_id = p_source AND y.payment_ref = i.ref
     WHERE i.closed_as IS NULL AND CASE WHEN y.id IS NULL THEN s.paid > 0 ELSE y.says_paid IS DISTINCT FROM s.paid END
  ), kept AS (
    INSERT INTO payment_event (source_id, payment_ref, kind, event_ref, amount, currency, invoice_ref, paid_at)
    SELECT p_source, n.ref, CASE WHEN n.paid > 0 THEN 'confirmed' ELSE 'reversed' END, 'asked:' || p_asked, nullif(n.paid, 0), n.currency,
           n.ref, p_asked FROM news n
    ON CONFLICT DO NOTHING
  ), known AS (
    INSERT INTO payment (source_id, payment_ref, amount, currency, invoice_ref, paid_at, invoice_id, says_paid)
    SELECT p_source, n.ref, 0, n.currency, n.ref, p_asked, n.invoice, n.paid FROM news n
    ON CONFLICT (source_id, payment_ref) DO UPDATE SET says_paid = excluded.says_paid, paid_at = excluded.paid_at
    RETURNING payment.invoice_id
  )
  SELECT coalesce(array_agg(k.invoice_id) FILTER (WHERE n.moves), '{}') INTO v_changed FROM known k JOIN news n ON n.invoice = k.invoice_id;

  IF v_changed <> '{}' THEN
    PERFORM book_polled(p_source, v_changed, v_now);
  END IF;
  UPDATE installment n SET checked_at = p_asked, waived_at = NULL, unknown_at = NULL WHERE n.invoice_id = ANY (v_heard);
  RETURN QUERY SELECT h, h = ANY (v_changed), barrier(v_changed, p_window) FROM unnest(v_heard) h;
END
$$;

-- The part of record_poll that moves money: deals it out anew and says on the timeline what that changed. Under the invoices' locks.
CREATE OR REPLACE FUNCTION book_polled(p_source bigint, p_invoices bigint[], p_now timestamptz) RETURNS void LANGUAGE plpgsql AS
$$
DECLARE
  v_before jsonb := (SELECT jsonb_object_agg(y.id, y.amount) FROM payment y
                      WHERE y.source_id = p_source AND y.invoice_id = ANY (p_invoices) AND y.says_paid IS NOT NULL);
BEGIN
  PERFORM refill(p_invoices, p_now);
  INSERT INTO event (at, invoice_id, kind, data)
  SELECT p_now, y.invoice_id, CASE WHEN y.amount > b.amount THEN 'payment.confirmed' ELSE 'payment.reversed' END,
         jsonb_build_object('payment_id', y.payment_ref, 'amount', abs(y.amount - b.amount)::text, 'currency', y.currency, 'polled', true)
    FROM payment y CROSS JOIN LATERAL (SELECT (v_before ->> y.id::text)::numeric AS amount) b
   WHERE y.source_id = p_source AND y.invoice_id = ANY (p_invoices) AND y.says_paid IS NOT NULL AND y.amount <> b.amount
   ORDER BY y.id;
  PERFORM settle(p_invoices, p_now);
END
$$;

-- Payments that came before their invoice, or at the same time: called by both sides after their commit (one of the two sees the
-- other), and by the reconciler for what a crash left between. Answers the invoices that it settled something of.
CREATE OR REPLACE FUNCTION match_waiting(p_invoices bigint[], p_now timestamptz) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS
$$
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
  v_row record;
  v_touched bigint[] := '{}';
BEGIN
  IF NOT EXISTS (SELECT FROM invoice i JOIN payment y ON y.invoice_ref = i.ref
                  WHERE i.id = ANY (p_invoices) AND y.invoice_id IS NULL)
     AND NOT EXISTS (SELECT FROM invoice i JOIN payment y ON y.reference = i.payment_reference
                      WHERE i.id = ANY (p_invoices) AND y.invoice_id IS NULL AND y.invoice_ref IS NULL)
     AND refillable(p_invoices) = '{}' THEN
    RETURN v_touched;
  END IF;
  PERFORM FROM invoice i WHERE i.id = ANY (p_invoices) ORDER BY i.id FOR NO KEY UPDATE;
  FOR v_row IN
    SELECT y.id, invoice_of(y.invoice_ref, y.reference) AS target FROM payment y
     WHERE y.invoice_id IS NULL AND (y.invoice_ref IN (SELECT ref FROM invoice WHERE id = ANY (p_invoices))
        OR (y.invoice_ref IS NULL AND y.reference IN (SELECT payment_reference FROM invoice WHERE id = ANY (p_invoices))))
     ORDER BY y.id FOR UPDATE OF y LOOP
    CONTINUE WHEN v_row.target IS NULL OR v_row.target <> ALL (p_invoices);
    UPDATE payment SET invoice_id = v_row.target WHERE id = v_row.id AND invoice_id IS NULL;
    v_touched := v_touched || v_row.target || apply_payment(v_row.id, v_now);
    INSERT INTO event (at, invoice_id, kind, data)
    SELECT v_now, v_row.target, 'payment.matched', jsonb_build_object('payment_id', y.payment_ref, 'amount', y.amount::text)
      FROM payment y WHERE y.id = v_row.id;
  END LOOP;
  v_touched := v_touched || refillable(p_invoices);
  PERFORM refill(v_touched, v_now);
  PERFORM settle(v_touched, v_now);
  IF EXISTS (SELECT FROM payment y WHERE y.invoice_id = ANY (v_touched) AND y.in_flight_until IS NOT NULL) THEN
    PERFORM keep_in_flight(v_touched, v_now);
  END IF;
  RETURN v_touched;
END
$$;

-- What the reconciler asks: invoices for which money waits although both are there.
CREATE OR REPLACE FUNCTION missed_matches(p_limit integer) RETURNS bigint[] LANGUAGE sql STABLE AS
$$
  WITH waiting AS MATERIALIZED (
    SELECT y.id, y.invoice_id, y.invoice_ref, y.reference, y.unmatched_reason FROM payment y WHERE y.allocated < y.amount
  ), missed AS (
    SELECT i.id FROM waiting y JOIN invoice i ON i.ref = y.invoice_ref WHERE y.invoice_id IS NULL
    UNION SELECT invoice_of(NULL, y.reference) FROM waiting y
           WHERE y.invoice_id IS NULL AND y.invoice_ref IS NULL AND y.reference IS NOT NULL
    UNION SELECT unnest(refillable(ARRAY(SELECT y.invoice_id FROM waiting y WHERE y.unmatched_reason = 'overpaid')))
  )
  SELECT coalesce(array_agg(m.id), '{}') FROM (SELECT id FROM missed WHERE id IS NOT NULL ORDER BY id LIMIT p_limit) m
$$;

-- Invoices with p_after < id <= p_upto whose money does not add up: an installment or a payment that counts other than its
-- allocations, or an invoice that is settled although something is open, or the other way round.
CREATE OR REPLACE FUNCTION money_differences(p_after bigint, p_upto bigint) RETURNS bigint[] LANGUAGE sql STABLE AS
$$
  WITH part AS (
    SELECT n.id, n.invoice_id, n.allocated, n.open_amount, coalesce(sum(a.amount), 0) AS booked,
           coalesce(bool_or(y.allocated <> (SELECT sum(x.amount) FROM allocation x WHERE x.payment_id = y.id)), false) AS payment_differs
      FROM installment n LEFT JOIN allocation a ON a.installment_id = n.id LEFT JOIN payment y ON y.id = a.payment_id
     WHERE n.invoice_id > p_after AND n.invoice_id <= p_upto GROUP BY n.id
  ), whole AS (
    SELECT p.invoice_id, bool_or(p.allocated <> p.booked OR p.payment_differs) AS differs, sum(p.open_amount) AS open_amount
      FROM part p GROUP BY 1
  ), hollow AS (  -- says that it was given away, and nobody has it
    SELECT DISTINCT y.invoice_id FROM payment y
     WHERE y.invoice_id > p_after AND y.invoice_id <= p_upto
       AND y.allocated <> coalesce((SELECT sum(a.amount) FROM allocation a WHERE a.payment_id = y.id), 0)
  )
  SELECT coalesce(array_agg(i.id ORDER BY i.id), '{}') FROM whole w JOIN invoice i ON i.id = w.invoice_id
   WHERE w.differs OR i.id IN (SELECT h.invoice_id FROM hollow h) OR (i.closed_as IS NULL AND (w.open_amount = 0) <> (i.settled_at IS NOT NULL))
$$;

-- What the reconciler does about one such invoice: the allocations that persons made and shares of several invoices are the truth, everything else is dealt out anew.
-- Looks again under the lock. Answers whether something was wrong.
CREATE OR REPLACE FUNCTION repair_money(p_invoice bigint, p_now timestamptz) RETURNS boolean LANGUAGE plpgsql AS
$$
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
  v_payments bigint[];
BEGIN
  PERFORM FROM invoice i WHERE i.id = p_invoice FOR NO KEY UPDATE;
  IF money_differences(p_invoice - 1, p_invoice) = '{}' THEN RETURN false; END IF;
  v_payments := ARRAY(SELECT y.id FROM payment y
                       WHERE y.invoice_id = p_invoice OR y.id IN (SELECT a.payment_id FROM allocation a JOIN installment n ON n.id = a.installment_id
                                                                   WHERE n.invoice_id = p_invoice) ORDER BY y.id FOR UPDATE);
  DELETE FROM allocation a USING payment y, installment n
   WHERE y.id = a.payment_id AND y.id = ANY (v_payments) AND y.invoice_id = p_invoice
     AND coalesce(y.unmatched_reason, '') NOT IN ('by_hand', 'split')
     AND n.id = a.installment_id AND n.invoice_id = p_invoice;
  UPDATE installment n SET allocated = coalesce((SELECT sum(a.amount) FROM allocation a WHERE a.installment_id = n.id), 0)
   WHERE n.invoice_id = p_invoice;
  UPDATE payment y SET allocated = coalesce((SELECT sum(a.amount) FROM allocation a WHERE a.payment_id = y.id), 0)
   WHERE y.id = ANY (v_payments);
  PERFORM refill(ARRAY[p_invoice], v_now);
  INSERT INTO event (at, invoice_id, kind, data) VALUES (v_now, p_invoice, 'payment.repaired', '{}');
  PERFORM settle(ARRAY[p_invoice], v_now);
  RETURN true;
END
$$;

-- A person gives a payment's money to an invoice, the oldest due date first or to one installment; p_amount NULL: as much as fits.
-- `refused` says why nothing was done. From now on the rest of this payment is for persons to decide.
CREATE OR REPLACE FUNCTION allocate_payment(
  p_payment bigint, p_invoice bigint, p_installment_no integer, p_amount numeric, p_window interval, p_now timestamptz,
  OUT refused text, OUT given numeric, OUT wait double precision) LANGUAGE plpgsql AS
$$
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
  v_payment payment;
  v_invoice invoice;
  v_rest numeric;
  v_open numeric;
BEGIN
  SELECT * INTO v_invoice FROM invoice i WHERE i.id = p_invoice FOR NO KEY UPDATE;
  SELECT * INTO v_payment FROM payment y WHERE y.id = p_payment FOR UPDATE;
  v_rest := v_payment.amount - v_payment.allocated;
  SELECT coalesce(sum(n.amount - n.credited - n.allocated), 0) INTO v_open FROM installment n
   WHERE n.invoice_id = p_invoice AND (p_installment_no IS NULL OR n.no = p_installment_no);
  given := coalesce(p_amount, least(v_rest, v_open));
  refused := CASE WHEN v_rest = 0 THEN 'nothing_left' WHEN v_payment.currency <> v_invoice.currency THEN 'other_currency'
                  WHEN v_invoice.closed_as IS NOT NULL THEN 'invoice_' || v_invoice.closed_as WHEN v_open = 0 THEN 'nothing_owed'
                  WHEN given > v_rest THEN 'more_than_left' WHEN given > v_open THEN 'more_than_owed' END;
  wait := 0;
  IF refused IS NOT NULL THEN RETURN; END IF;

  WITH owed AS (
    SELECT n.id, n.room, sum(n.room) OVER (ORDER BY n.due_date, n.no) - n.room AS before
      FROM (SELECT x.*, x.amount - x.credited - x.allocated AS room FROM installment x WHERE x.invoice_id = p_invoice) n
     WHERE n.room > 0 AND (p_installment_no IS NULL OR n.no = p_installment_no)
  ), part AS (
    SELECT o.id, least(o.room, given - o.before) AS amount FROM owed o WHERE o.before < given
  ), booked AS (
    UPDATE installment n SET allocated = n.allocated + p.amount FROM part p WHERE n.id = p.id
  )
  INSERT INTO allocation (payment_id, installment_id, amount) SELECT p_payment, p.id, p.amount FROM part p
  ON CONFLICT (payment_id, installment_id) DO UPDATE SET amount = allocation.amount + excluded.amount;
  UPDATE payment SET allocated = allocated + given, invoice_id = coalesce(invoice_id, p_invoice), unmatched_reason = 'by_hand'
   WHERE id = p_payment;
  INSERT INTO event (at, invoice_id, kind, data)
  VALUES (v_now, p_invoice, 'payment.allocated', jsonb_build_object('payment_id', v_payment.payment_ref, 'amount', given::text));
  PERFORM settle(ARRAY[p_invoice], v_now);
  wait := barrier(ARRAY[p_invoice], p_window);
END
$$;

-- A person takes a payment's money back from an invoice (NULL: from all). Answers how much. It stays free until a person decides.
CREATE OR REPLACE FUNCTION undo_allocation(p_payment bigint, p_invoice bigint, p_installment_no integer, p_now timestamptz)
RETURNS numeric LANGUAGE plpgsql AS
$$
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
  v_locked bigint[];
  v_freed numeric;
  v_touched bigint[];
  v_reopened bigint[];
BEGIN
  SELECT array_agg(l.id) INTO v_locked FROM (
    SELECT i.id FROM invoice i WHERE (p_invoice IS NULL OR i.id = p_invoice) AND i.id IN (
       SELECT n.invoice_id FROM allocation a JOIN installment n ON n.id = a.installment_id WHERE a.payment_id = p_payment)
     ORDER BY i.id FOR NO KEY UPDATE) l;
  PERFORM FROM payment y WHERE y.id = p_payment FOR UPDATE;
  WITH gone AS (
    DELETE FROM allocation a USING installment n
     WHERE a.payment_id = p_payment AND n.id = a.installment_id AND n.invoice_id = ANY (v_locked)
       AND (p_installment_no IS NULL OR n.no = p_installment_no)
    RETURNING a.installment_id, a.amount, n.invoice_id, n.open_amount
  ), back AS (
    UPDATE installment n SET allocated = n.allocated - g.amount FROM gone g WHERE n.id = g.installment_id
  )
  SELECT coalesce(sum(g.amount), 0), array_agg(g.invoice_id), array_agg(g.invoice_id) FILTER (WHERE g.open_amount = 0)
    INTO v_freed, v_touched, v_reopened FROM gone g;
  IF v_freed = 0 THEN RETURN v_freed; END IF;

  UPDATE payment SET allocated = allocated - v_freed, unmatched_reason = 'by_hand' WHERE id = p_payment;
  UPDATE invoice SET replan_at = coalesce(replan_at, v_now) WHERE id = ANY (v_reopened) AND closed_as IS NULL;
  INSERT INTO event (at, invoice_id, kind, data)
  SELECT DISTINCT v_now, t, 'payment.unallocated', jsonb_build_object('payment_id', y.payment_ref)
    FROM unnest(v_touched) t, payment y WHERE y.id = p_payment;
  PERFORM refill(v_touched, v_now);
  PERFORM settle(v_touched, v_now);
  RETURN v_freed;
END
$$;

-- === people ======================================================================================================================

-- Void or uncollectible: everything that has not gone is cancelled, what waits too.
CREATE OR REPLACE FUNCTION close_invoice(p_invoice bigint, p_as text, p_window interval, p_now timestamptz)
RETURNS double precision LANGUAGE plpgsql AS
$$
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
BEGIN
  PERFORM FROM invoice i WHERE i.id = p_invoice FOR NO KEY UPDATE;
  PERFORM FROM reminder r WHERE r.invoice_id = p_invoice ORDER BY r.id FOR UPDATE;
  UPDATE invoice SET closed_as = p_as, closed_at = v_now, replan_at = NULL WHERE id = p_invoice AND closed_as IS NULL;
  IF FOUND THEN
    UPDATE reminder r SET state = 'cancelled', reason = p_as, queued_at = NULL
     WHERE r.invoice_id = p_invoice AND r.state IN ('waiting', 'pending', 'queued');
    INSERT INTO event (at, invoice_id, kind, data) VALUES (v_now, p_invoice, 'invoice.' || p_as, '{}');
  END IF;
  RETURN barrier(ARRAY[p_invoice], p_window);
END
$$;

-- A dated stop. Idempotent: the same kind on the same scope is moved, not doubled; what had waited for an end that comes earlier now
-- comes earlier too. p_note: the customer's own words, never on the timeline. Answers the hold's id and the barrier. A hold on a
-- customer locks no invoice: the whole window. A hold on everything waits for the claims that are being made and lets none begin until
-- it has committed: nothing is claimed after it, and what was claimed before is counted by in_flight().
CREATE OR REPLACE FUNCTION place_stop(
  p_kind text, p_invoice bigint, p_customer bigint, p_reason text, p_note text, p_by text, p_amount numeric, p_until timestamptz,
  p_window interval, p_now timestamptz, OUT hold_id bigint, OUT wait double precision) LANGUAGE plpgsql AS
$$
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
BEGIN
  IF p_invoice IS NULL AND p_customer IS NULL THEN
    PERFORM pg_advisory_xact_lock(hashtextextended('stop everything', 0));
  END IF;
  PERFORM FROM invoice i WHERE i.id = p_invoice FOR NO KEY UPDATE;
  WITH was AS MATERIALIZED (
    SELECT h.id, h.until FROM hold h
     WHERE h.kind = p_kind AND h.invoice_id IS NOT DISTINCT FROM p_invoice AND h.customer_id IS NOT DISTINCT FROM p_customer
       AND h.released_at IS NULL AND h.until > v_now ORDER BY h.id FOR UPDATE
  ), moved AS (
    UPDATE hold h SET reason = p_reason, note = p_note, said_by = p_by, until = p_until, amount = p_amount
      FROM was w WHERE h.id = w.id
  ), waiting AS (
    SELECT r.id FROM was w JOIN reminder r ON r.due_at = w.until JOIN invoice i ON i.id = r.invoice_id
     WHERE p_until < w.until AND r.sought = 'pending' AND NOT r.requires_open
       AND (p_invoice = i.id OR p_customer = i.customer_id OR (p_invoice IS NULL AND p_customer IS NULL))
     ORDER BY r.id FOR UPDATE OF r
  ), earlier AS (
    UPDATE reminder r SET due_at = p_until FROM waiting x WHERE r.id = x.id
  )
  SELECT max(w.id) INTO hold_id FROM was w;
  IF hold_id IS NULL THEN
    INSERT INTO hold (kind, invoice_id, customer_id, reason, note, said_by, amount, starts_at, until)
    VALUES (p_kind, p_invoice, p_customer, p_reason, p_note, p_by, p_amount, v_now, p_until) RETURNING id INTO hold_id;
  END IF;
  INSERT INTO event (at, invoice_id, customer_id, kind, data)
  VALUES (v_now, p_invoice, p_customer, 'hold.placed',
          jsonb_build_object('hold', p_kind, 'reason', p_reason, 'until', p_until)
          || CASE WHEN p_by = 'clerk' THEN '{}' ELSE jsonb_build_object('by', p_by) END);
  wait := CASE WHEN p_invoice IS NOT NULL THEN barrier(ARRAY[p_invoice], p_window)
               WHEN p_customer IS NOT NULL THEN extract(epoch FROM p_window) ELSE (SELECT f.wait FROM in_flight(p_window) f) END;
END
$$;

-- A promise to pay on one or several days (p_until ascending: the ends of those days); an amount left out means all that is open then.
-- It takes the place of an earlier one, and holds the invoice to its last day. p_reason, p_by: as place_stop.
CREATE OR REPLACE FUNCTION place_promise(
  p_invoice bigint, p_until timestamptz[], p_amounts numeric[], p_reason text, p_by text, p_window interval, p_now timestamptz,
  OUT hold_id bigint, OUT wait double precision) LANGUAGE plpgsql AS
$$
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
  v_open numeric;
BEGIN
  PERFORM FROM invoice i WHERE i.id = p_invoice FOR NO KEY UPDATE;
  SELECT sum(n.open_amount) INTO v_open FROM installment n WHERE n.invoice_id = p_invoice;
  UPDATE promise SET state = 'dropped' WHERE invoice_id = p_invoice AND state = 'open';
  INSERT INTO promise (invoice_id, until, amount, leaves, said_by, made_at)
  SELECT p_invoice, d.until, d.amount,
         CASE WHEN d.amount IS NULL THEN 0 ELSE greatest(0, v_open - sum(d.amount) OVER (ORDER BY d.nth)) END, p_by, v_now
    FROM unnest(p_until, p_amounts) WITH ORDINALITY AS d (until, amount, nth);
  SELECT s.hold_id, s.wait INTO hold_id, wait
    FROM place_stop('promise', p_invoice, NULL, p_reason, NULL, p_by,
                    CASE WHEN array_position(p_amounts, NULL) IS NULL THEN (SELECT sum(a) FROM unnest(p_amounts) a) END,
                    p_until[array_length(p_until, 1)], p_window, v_now) s;
END
$$;

-- A promise of these invoices, which the caller has locked, was broken: what waited for it goes, and its place takes a row that waits
-- for the next promise.
CREATE OR REPLACE FUNCTION answer_broken_promises(p_invoices bigint[], p_now timestamptz) RETURNS void LANGUAGE sql AS
$$
  WITH waited AS (
    SELECT r.id FROM reminder r JOIN invoice i ON i.id = r.invoice_id AND i.generation = r.generation
     WHERE i.id = ANY (p_invoices) AND r.anchor = 'broken_promise' AND r.state = 'waiting' ORDER BY r.id FOR UPDATE OF r
  ), moved AS (
    UPDATE reminder r SET state = 'pending', due_at = p_now FROM waited w WHERE r.id = w.id AND r.state = 'waiting' RETURNING r.*
  )
  INSERT INTO reminder (invoice_id, flow_version_id, generation, step, occurrence, leg, anchor, anchor_date, requires_open, urgent,
                        followed, state)
  SELECT n.invoice_id, n.flow_version_id, n.generation, n.step, n.occurrence + 1, n.leg, n.anchor, n.anchor_date, n.requires_open,
         n.urgent, n.followed, 'waiting'
    FROM (SELECT * FROM moved
          UNION ALL SELECT t.* FROM reminder t JOIN moved m ON t.invoice_id = m.invoice_id AND t.installment_id IS NULL
             AND t.generation = m.generation AND t.step = m.step AND t.occurrence = m.occurrence AND t.leg = 'then') n
  ON CONFLICT (invoice_id, installment_id, generation, step, occurrence, leg) DO NOTHING
$$;

-- Promises whose day is over: kept if no more is open than they leave, else broken. A broken one ends its hold, and what else was
-- promised for the invoice. Answers each invoice that it judged, once for every date.
CREATE OR REPLACE FUNCTION judge_promises(p_now timestamptz, p_limit integer)
RETURNS TABLE (invoice_id bigint, state text) LANGUAGE plpgsql AS
$$
#variable_conflict use_column
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
  v_ids bigint[];
  v_invoices bigint[];
BEGIN
  SELECT array_agg(c.id), array_agg(DISTINCT c.invoice_id) INTO v_ids, v_invoices
    FROM (SELECT p.id, p.invoice_id FROM promise p WHERE p.state = 'open' AND p.until <= v_now ORDER BY p.until, p.id LIMIT p_limit) c;
  IF v_ids IS NULL THEN RETURN; END IF;
  SELECT array_agg(l.id) INTO v_invoices
    FROM (SELECT i.id FROM invoice i WHERE i.id = ANY (v_invoices) ORDER BY i.id FOR NO KEY UPDATE SKIP LOCKED) l;
  v_ids := ARRAY(SELECT p.id FROM promise p WHERE p.id = ANY (v_ids) AND p.invoice_id = ANY (v_invoices) AND p.state = 'open');

  RETURN QUERY
  WITH judged AS MATERIALIZED (
    SELECT p.id, CASE WHEN i.closed_as IS NOT NULL THEN 'dropped' WHEN t.open_amount <= p.leaves THEN 'kept' ELSE 'broken' END AS verdict
      FROM promise p JOIN invoice i ON i.id = p.invoice_id
      CROSS JOIN LATERAL (SELECT sum(n.open_amount) AS open_amount FROM installment n WHERE n.invoice_id = i.id) t
     WHERE p.id = ANY (v_ids) AND p.invoice_id = ANY (v_invoices) AND p.state = 'open'
  ), broken AS (
    SELECT p.invoice_id, min(p.until) AS until FROM judged j JOIN promise p ON p.id = j.id WHERE j.verdict = 'broken' GROUP BY 1
  ), final AS (
    SELECT p.id, p.invoice_id, p.until, p.amount, CASE WHEN p.until > b.until THEN 'dropped' ELSE j.verdict END AS verdict
      FROM promise p LEFT JOIN judged j ON j.id = p.id LEFT JOIN broken b ON b.invoice_id = p.invoice_id
     WHERE p.invoice_id = ANY (v_invoices) AND p.state = 'open' AND (j.id IS NOT NULL OR p.until > b.until)
  ), told AS (
    UPDATE promise p SET state = f.verdict FROM final f WHERE p.id = f.id
  ), ended AS (
    UPDATE hold h SET released_at = least(h.until, v_now)
     WHERE h.invoice_id = ANY (v_invoices) AND h.kind = 'promise' AND h.released_at IS NULL
       AND (h.until <= v_now OR EXISTS (SELECT FROM broken b WHERE b.invoice_id = h.invoice_id)) RETURNING h.invoice_id, h.until
  ), waiting AS (
    SELECT r.id FROM ended e JOIN reminder r ON r.invoice_id = e.invoice_id
     WHERE r.state = 'pending' AND NOT r.requires_open AND r.due_at = e.until AND e.until > v_now ORDER BY r.id FOR UPDATE OF r
  ), back AS (
    UPDATE reminder r SET due_at = v_now FROM waiting w WHERE r.id = w.id
  ), log AS (
    INSERT INTO event (at, invoice_id, kind, data)
    SELECT f.until, f.invoice_id, 'promise.' || f.verdict,
           jsonb_strip_nulls(jsonb_build_object('promise_id', f.id, 'amount', f.amount::text, 'until', f.until,
             'currency', CASE WHEN f.amount IS NOT NULL THEN i.currency END))
      FROM final f JOIN invoice i ON i.id = f.invoice_id WHERE f.verdict <> 'dropped' ORDER BY f.id
  )
  SELECT f.invoice_id, f.verdict FROM final f;

  PERFORM answer_broken_promises(ARRAY(
    SELECT p.invoice_id FROM promise p WHERE p.id = ANY (v_ids) AND p.state = 'broken'), v_now);
END
$$;

-- Ends holds before their time; what had moved to a hold's end comes back now, and a promise whose hold a person ends is over.
CREATE OR REPLACE FUNCTION release_holds(p_holds bigint[], p_now timestamptz) RETURNS integer LANGUAGE plpgsql AS
$$
DECLARE
  v_now timestamptz := coalesce(p_now, business_now());
  v_count integer;
BEGIN
  PERFORM FROM invoice i WHERE i.id IN (SELECT h.invoice_id FROM hold h WHERE h.id = ANY (p_holds)) ORDER BY i.id FOR NO KEY UPDATE;
  PERFORM FROM hold h WHERE h.id = ANY (p_holds) ORDER BY h.id FOR UPDATE;
  WITH ended AS (
    UPDATE hold h SET released_at = v_now WHERE h.id = ANY (p_holds) AND h.released_at IS NULL RETURNING h.*
  ), dropped AS (
    UPDATE promise p SET state = 'dropped' FROM ended e WHERE e.kind = 'promise' AND p.invoice_id = e.invoice_id AND p.state = 'open'
  ), waiting AS (
    SELECT r.id FROM ended e JOIN reminder r ON r.due_at = e.until JOIN invoice i ON i.id = r.invoice_id
     WHERE r.sought = 'pending' AND NOT r.requires_open
       AND (e.invoice_id = i.id OR e.customer_id = i.customer_id OR (e.invoice_id IS NULL AND e.customer_id IS NULL))
     ORDER BY r.id FOR UPDATE OF r
  ), back AS (
    UPDATE reminder r SET due_at = v_now FROM waiting w WHERE r.id = w.id
  ), log AS (
    INSERT INTO event (at, invoice_id, customer_id, kind, data)
    SELECT v_now, e.invoice_id, e.customer_id, 'hold.released', jsonb_build_object('hold', e.kind) FROM ended e
  )
  SELECT count(*) INTO v_count FROM ended;
  RETURN v_count;
END
$$;

-- === for the clock that steps (the sandbox) ======================================================================================

-- The next instant after p_now at which something in the ledger would happen by itself.
CREATE OR REPLACE FUNCTION next_instant(p_now timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS
$$
  SELECT min(t) FROM (
    SELECT min(due_at) AS t FROM reminder WHERE sought = 'pending' AND due_at > p_now
    UNION ALL SELECT min(receipt_due) FROM attempt WHERE state = 'accepted' AND receipt_due > p_now
    UNION ALL SELECT min(a.at + interval '24 hours') FROM reminder r JOIN attempt a ON a.reminder_id = r.id AND a.fence = r.fence
               WHERE r.sought = 'uncertain' AND a.at + interval '24 hours' > p_now
    UNION ALL SELECT min(until) FROM promise WHERE state = 'open' AND until > p_now
    UNION ALL SELECT min(until) FROM hold WHERE released_at IS NULL AND until > p_now) i
$$;

-- What webhook endpoints are still to be told, or are being told for the first time. Nobody waits for one that failed.
CREATE OR REPLACE FUNCTION untold() RETURNS bigint LANGUAGE sql STABLE AS
$$
  WITH listening AS (
    SELECT p.id FROM webhook_endpoint p WHERE p.disabled_at IS NULL AND (p.retry_at IS NULL OR p.retry_at <= clock_timestamp())
  )
  SELECT (SELECT count(*) FROM outbound_cursor c WHERE EXISTS (SELECT FROM listening) AND c.read_to < (SELECT max(e.id) FROM event e))
       + (SELECT count(*) FROM listening p JOIN outbound_delivery d ON d.endpoint_id = p.id
           WHERE d.state = 'pending' AND d.log = '[]' AND NOT EXISTS (
             SELECT FROM outbound_delivery b WHERE b.endpoint_id = d.endpoint_id AND b.lane = d.lane AND b.state = 'pending'
                AND b.outbound_event_id < d.outbound_event_id AND b.log <> '[]'))
$$;

-- How many things are under way or overdue: 0 when the ledger is at rest at p_now. What is due within a minute and has to be asked about
-- is under way: queue_due() puts it off by a minute until a polled source was asked.
CREATE OR REPLACE FUNCTION unrest(p_now timestamptz) RETURNS bigint LANGUAGE sql STABLE AS
$$
  SELECT (SELECT count(*) FROM reminder WHERE sought = 'pending' AND due_at <= p_now)
       + (SELECT count(*) FROM reminder WHERE sought = 'queued') + (SELECT count(*) FROM attempt WHERE state = 'started')
       + (SELECT count(*) FROM invoice WHERE replan_at <= p_now)
       + (SELECT count(*) FROM promise WHERE state = 'open' AND until <= p_now)
       + (SELECT count(*) FROM attempt WHERE state = 'accepted' AND receipt_due <= p_now)
       + (SELECT count(*) FROM reminder r JOIN attempt a ON a.reminder_id = r.id AND a.fence = r.fence
           WHERE r.sought = 'uncertain' AND a.at + interval '24 hours' <= p_now)
       + (SELECT count(*) FROM payment_check c JOIN reminder r ON r.sought = 'pending' AND r.due_at <= p_now + interval '1 minute'
           WHERE c.fresh_for IS NOT NULL AND r.requires_open AND unchecked(r.invoice_id, r.installment_id, r.on_unknown, c.fresh_for, p_now))
       + untold()
$$;

-- === for processes of the version before =========================================================================================

-- What they still call while they end: a dispatcher that could not record would leave what it has sent uncertain. They go one version
-- later.

CREATE OR REPLACE FUNCTION record(
  p_now timestamptz, p_ids bigint[], p_fences integer[], p_outcomes text[], p_refs text[], p_details text[], p_retry interval[],
  p_suppress text[], p_receipt_within interval[], p_costs numeric[], p_missed_limit integer, p_deferred_limit integer,
  p_broken_limit integer)
RETURNS bigint[] LANGUAGE sql AS
$$
  SELECT record(p_now, p_ids, p_fences, p_outcomes, p_refs, p_details, p_retry, p_suppress, p_receipt_within, p_costs, NULL,
                p_missed_limit, p_deferred_limit, p_broken_limit)
$$;

CREATE OR REPLACE FUNCTION postpone_unchecked(p_invoices bigint[], p_for interval, p_now timestamptz) RETURNS void LANGUAGE sql AS
$$ SELECT nobody_knows(p_invoices, 'hold', p_for, p_now) $$;
