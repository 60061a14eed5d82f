-- Who may write what: each service has a role, and this file is all that the roles may do. Applied at the end of every
-- `python -m services.migrate`; idempotent. Locking a row needs UPDATE on one column of it: `row_lock`, which nobody writes.
-- A login becomes a service by membership:  CREATE ROLE app LOGIN PASSWORD '...' IN ROLE dunnock_scheduler;

DO $$
DECLARE
  v_role text;
BEGIN
  FOREACH v_role IN ARRAY ARRAY['dunnock_scheduler', 'dunnock_dispatcher', 'dunnock_payments', 'dunnock_sandbox'] LOOP
    BEGIN
      EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
    END;
    IF NOT pg_has_role(current_user, v_role, 'MEMBER') THEN
      EXECUTE format('GRANT %I TO CURRENT_USER', v_role);
    END IF;
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', v_role);
    EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', v_role);
  END LOOP;
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO dunnock_scheduler, dunnock_dispatcher, dunnock_payments;
REVOKE EXECUTE ON FUNCTION match_waiting(bigint[], timestamptz), write_off_fees(bigint[], timestamptz) FROM dunnock_dispatcher;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM dunnock_sandbox;
GRANT EXECUTE ON FUNCTION business_now, next_instant, unrest, untold, unchecked TO dunnock_sandbox;

-- Everybody reads, except what holds secrets.
GRANT SELECT ON creditor, customer, contact_point, flow_version, template_version, invoice, installment, hold, promise, reminder,
                attempt, receipt, suppression, customer_contact, bounce_mail, reply, channel, provider, provider_state, channel_stat, channel_group, channel_fold, payment_event, payment, allocation, event, api_key, idempotency, business_clock,
                payment_check
   TO dunnock_scheduler, dunnock_dispatcher, dunnock_payments;
GRANT SELECT ON business_clock, reminder, attempt, invoice, hold, promise TO dunnock_sandbox;

-- All append to the timeline and keep the answers of their idempotent calls; nobody changes the timeline.
GRANT INSERT ON event TO dunnock_scheduler, dunnock_dispatcher, dunnock_payments;
GRANT INSERT, UPDATE, DELETE ON idempotency TO dunnock_scheduler, dunnock_dispatcher, dunnock_payments;

-- scheduler: who and what, and the plan. It inserts reminders; payments and dispatcher only move them.
GRANT INSERT, UPDATE ON creditor, customer, contact_point, hold, api_key TO dunnock_scheduler;
GRANT INSERT ON flow_version TO dunnock_scheduler;
GRANT INSERT, UPDATE (state) ON promise TO dunnock_scheduler;
GRANT INSERT, UPDATE ON invoice TO dunnock_scheduler;
GRANT INSERT (invoice_id, no, due_date, amount, credited), UPDATE (due_date, amount, credited), DELETE ON installment TO dunnock_scheduler;
GRANT INSERT ON reminder TO dunnock_scheduler;
GRANT UPDATE (state, reason, due_at, send_until, queued_at, lease, tries, generation) ON reminder TO dunnock_scheduler;
-- its sweeper ends attempts whose worker is lost, and those whose receipt never came
GRANT UPDATE (state, detail, receipt_due) ON attempt TO dunnock_scheduler;

-- dispatcher: moves a reminder from queued on, and owns what became of it.
GRANT UPDATE (state, reason, due_at, send_until, queued_at, fence, lease, tries) ON reminder TO dunnock_dispatcher;
GRANT INSERT, UPDATE ON attempt TO dunnock_dispatcher;
GRANT INSERT ON receipt, bounce_mail, reply TO dunnock_dispatcher;
GRANT INSERT, DELETE ON suppression TO dunnock_dispatcher;
GRANT DELETE ON bounce_mail TO dunnock_dispatcher;  -- 90 days after it came
GRANT INSERT, UPDATE ON customer_contact TO dunnock_dispatcher;
GRANT INSERT ON template_version, picture_version TO dunnock_dispatcher;
GRANT SELECT ON picture_version TO dunnock_dispatcher, dunnock_scheduler;  -- which shows them in previews
-- a browser that a customer subscribed on the pay page
GRANT INSERT (customer_id, kind, address), UPDATE (retired_at) ON contact_point TO dunnock_dispatcher;
GRANT SELECT, INSERT, UPDATE, DELETE ON http_api TO dunnock_dispatcher;  -- nobody else: it holds secrets
GRANT INSERT, UPDATE ON channel, provider, provider_state, channel_stat, channel_group TO dunnock_dispatcher;
GRANT UPDATE ON channel_fold TO dunnock_dispatcher;
GRANT UPDATE (row_lock, replan_at) ON invoice TO dunnock_dispatcher;
GRANT SELECT, INSERT, DELETE ON replan_wanted TO dunnock_dispatcher;
GRANT SELECT, DELETE ON replan_wanted TO dunnock_scheduler;  -- sweeps what a dispatcher that died left

-- payments: the money; cancels and releases reminders; settles invoices.
GRANT SELECT, INSERT, UPDATE, DELETE ON source, statement_file TO dunnock_payments;
GRANT SELECT, INSERT, DELETE ON checkout TO dunnock_payments;
GRANT INSERT, UPDATE (body) ON payment_event TO dunnock_payments;  -- what was said stays; the evidence is forgotten in time
GRANT INSERT, UPDATE ON payment TO dunnock_payments;
GRANT INSERT, UPDATE, DELETE ON allocation TO dunnock_payments;
GRANT UPDATE (allocated, checked_at, unknown_at, waived_at) ON installment TO dunnock_payments;
GRANT UPDATE ON payment_check TO dunnock_payments;
GRANT UPDATE (row_lock, settled_n, settled_at, replan_at) ON invoice TO dunnock_payments;
GRANT UPDATE (state, reason, due_at, queued_at) ON reminder TO dunnock_payments;
-- the pay page: what the customer says there, and the link to it
GRANT INSERT, UPDATE (reason, note, said_by, until, amount, released_at) ON hold TO dunnock_payments;
GRANT INSERT, UPDATE (state) ON promise TO dunnock_payments;
GRANT UPDATE (locale, preferred_channel) ON customer TO dunnock_payments;
GRANT UPDATE (token, token_until) ON invoice TO dunnock_payments;
-- what it announces to the ERP; endpoints hold secrets
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_endpoint, outbound_event, outbound_delivery TO dunnock_payments;
GRANT SELECT, UPDATE ON outbound_cursor TO dunnock_payments;

-- sandbox: moves the clock, and looks whether something is under way.
GRANT UPDATE ON business_clock TO dunnock_sandbox;
GRANT SELECT (id, invoice_id, open_amount, checked_at, unknown_at, waived_at) ON installment TO dunnock_sandbox;
GRANT SELECT ON payment_check, outbound_cursor TO dunnock_sandbox;
GRANT SELECT (id) ON event TO dunnock_sandbox;
GRANT SELECT (id, disabled_at, retry_at) ON webhook_endpoint TO dunnock_sandbox;
GRANT SELECT (endpoint_id, outbound_event_id, lane, state, log) ON outbound_delivery TO dunnock_sandbox;
