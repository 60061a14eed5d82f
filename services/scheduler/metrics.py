"""What the scheduler counts. An alarm hangs on `LOST` and on `DUE_LAG`."""

from prometheus_client import Counter, Gauge

QUEUED = Counter("dunnock_reminders_queued", "Reminders that became due and were queued")
REPUBLISHED = Counter("dunnock_reminders_republished", "Reminders that were queued too long and published again")
LOST = Counter("dunnock_attempts_lost", "Attempts whose worker never answered; nobody knows whether they went out")
ACCEPTED = Counter("dunnock_invoices_accepted", "Invoices taken in")
QUEUE_DEPTH = Gauge("dunnock_reminders_in_queue", "Reminders queued now")
UNCERTAIN = Gauge("dunnock_reminders_uncertain", "Reminders of which nobody knows whether they went out")
DUE_LAG = Gauge("dunnock_due_lag_seconds", "How long the oldest due reminder has waited to be queued")
