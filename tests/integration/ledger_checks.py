"""What must hold in the ledger after every single step, and what must hold when nothing is left to do."""

import asyncpg

from tests.integration.ledger_plan import STEPS
from tests.integration.ledger_workers import TAKEN

Truth = dict[tuple[int, int], str]  # (reminder, fence) -> what is true of its hand-off

ALWAYS = """
SELECT 'an installment differs from its allocations' AS broken, n.id FROM installment n
 WHERE n.allocated <> (SELECT coalesce(sum(a.amount), 0) FROM allocation a WHERE a.installment_id = n.id)
UNION ALL
SELECT 'a payment differs from its allocations', y.id FROM payment y
 WHERE y.allocated <> (SELECT coalesce(sum(a.amount), 0) FROM allocation a WHERE a.payment_id = y.id)
UNION ALL
SELECT 'what is written off is not what a bank may have kept', n.id FROM installment n JOIN invoice i ON i.id = n.invoice_id
 WHERE n.written_off > 0 AND i.closed_as IS NULL
   AND (n.allocated = 0 OR n.written_off <> n.amount - n.credited - n.allocated OR n.written_off > 5)
UNION ALL
SELECT 'a fee is open', n.id FROM installment n JOIN invoice i ON i.id = n.invoice_id
 WHERE n.allocated > 0 AND n.open_amount BETWEEN 0.01 AND (n.amount - n.credited) / 20 AND n.open_amount <= 5 AND i.closed_as IS NULL
   AND EXISTS (SELECT FROM allocation a JOIN payment y ON y.id = a.payment_id JOIN source s ON s.id = y.source_id
                WHERE a.installment_id = n.id AND s.config -> 'fees' -> 0 ->> 'most' = '5')
   AND (SELECT sum(x.written_off) FROM installment x WHERE x.invoice_id = n.invoice_id) = 0
UNION ALL
SELECT 'money is over although something is open', y.id FROM payment y JOIN invoice i ON i.id = y.invoice_id
 WHERE y.allocated < y.amount AND i.closed_as IS NULL AND y.installment_no IS NULL
   AND EXISTS (SELECT FROM installment n WHERE n.invoice_id = i.id AND n.open_amount > 0)
UNION ALL
SELECT 'settled_at disagrees with what is owed', i.id FROM invoice i
 WHERE i.closed_as IS NULL
   AND (i.settled_at IS NULL) <> EXISTS (SELECT FROM installment n WHERE n.invoice_id = i.id AND n.open_amount > 0)
UNION ALL
SELECT 'sending without a started attempt', r.id FROM reminder r
 WHERE r.state = 'sending'
   AND NOT EXISTS (SELECT FROM attempt a WHERE a.reminder_id = r.id AND a.fence = r.fence AND a.state = 'started')
UNION ALL
SELECT 'two live attempts at one address', a.reminder_id FROM attempt a WHERE a.state NOT IN ('rejected', 'notsent', 'missed', 'resent')
 GROUP BY a.reminder_id, a.channel, a.contact_point_id HAVING count(*) > 1
UNION ALL
SELECT 'the chain of repeats is broken', r.id FROM reminder r JOIN invoice i ON i.id = r.invoice_id AND i.generation = r.generation
  JOIN installment n ON n.id = r.installment_id
 WHERE r.repeats AND r.state NOT IN ('waiting', 'pending') AND i.closed_as IS NULL AND i.replan_at IS NULL AND n.open_amount > 0
   AND NOT EXISTS (SELECT FROM reminder x WHERE x.invoice_id = r.invoice_id AND x.installment_id = r.installment_id
                      AND x.generation = r.generation AND x.step = r.step AND x.leg = r.leg AND x.occurrence = r.occurrence + 1)
UNION ALL
SELECT 'something of a closed invoice still waits', r.id FROM reminder r JOIN invoice i ON i.id = r.invoice_id
 WHERE i.closed_as IS NOT NULL AND r.state = 'waiting'
UNION ALL
SELECT 'a released thank-you of an open invoice', r.id FROM reminder r JOIN invoice i ON i.id = r.invoice_id
 WHERE r.anchor = 'payment' AND i.settled_at IS NULL AND r.state IN ('pending', 'queued') AND r.fence = 0
"""

AT_REST = """
SELECT 'a reminder rests in ' || r.state AS broken, r.id FROM reminder r WHERE r.state IN ('pending', 'queued', 'sending', 'uncertain')
UNION ALL
SELECT 'a waiting reminder has no trigger to come', r.id FROM reminder r JOIN invoice i ON i.id = r.invoice_id
 WHERE r.state = 'waiting' AND NOT (r.anchor = 'payment' AND i.settled_at IS NULL AND i.closed_as IS NULL)
UNION ALL
SELECT 'an attempt stays started', a.reminder_id FROM attempt a WHERE a.state = 'started'
UNION ALL
SELECT 'a re-plan was asked for and never made', i.id FROM invoice i WHERE i.replan_at IS NOT NULL
"""

# For each step that an open invoice should have had: did anything of it go, or rest for a reason that is no mistake?
STEPS_OF_OPEN = """
SELECT s.step, s.occurrence, n.id AS installment,
       coalesce(bool_or(r.state <> 'cancelled' OR EXISTS (
         SELECT FROM attempt a WHERE a.reminder_id = r.id
            AND a.state NOT IN ('rejected', 'notsent', 'missed', 'undelivered'))), false) AS had
  FROM invoice i JOIN installment n ON n.invoice_id = i.id AND n.open_amount > 0
 CROSS JOIN unnest($1::text[], $2::int[]) AS s (step, occurrence)
  LEFT JOIN reminder r ON r.invoice_id = i.id AND r.installment_id = n.id AND r.step = s.step AND r.occurrence = s.occurrence
        AND r.leg = '' AND r.anchor_date = n.due_date
 WHERE i.closed_as IS NULL GROUP BY 1, 2, 3
"""

THANKS = """
SELECT i.id, array_agg(r.state) AS states FROM invoice i LEFT JOIN reminder r
    ON r.invoice_id = i.id AND r.anchor = 'payment' AND r.occurrence = i.settled_n
 WHERE i.closed_as IS NULL AND i.settled_at IS NOT NULL
   AND EXISTS (SELECT FROM installment n WHERE n.invoice_id = i.id AND n.allocated > 0) GROUP BY 1
"""

# Of a claim that has just been made: what would have had to stop it.
WRONG_CLAIM = """
SELECT CASE
         WHEN i.closed_as IS NOT NULL THEN 'of a closed invoice'
         WHEN r.generation <> i.generation THEN 'of an old generation'
         WHEN r.requires_open AND n.open_amount = 0 THEN 'of a settled installment'
         WHEN r.anchor = 'payment' AND (i.settled_at IS NULL OR r.occurrence <> i.settled_n) THEN 'a thank-you without its settlement'
         WHEN EXISTS (SELECT FROM hold h WHERE h.released_at IS NULL AND h.starts_at <= $3 AND h.until > $3
                         AND (h.invoice_id = i.id OR h.customer_id = i.customer_id OR (h.invoice_id IS NULL AND h.customer_id IS NULL)))
           THEN 'inside a hold'
         WHEN EXISTS (SELECT FROM suppression s WHERE s.contact_point_id = a.contact_point_id AND s.channel = a.channel)
           THEN 'to a suppressed address'
         WHEN EXISTS (SELECT FROM attempt o WHERE o.reminder_id = r.id AND o.fence < a.fence AND o.channel = a.channel
                         AND o.contact_point_id = a.contact_point_id AND o.state NOT IN ('notsent', 'missed', 'resent'))
           THEN 'on a way that was tried before'
         WHEN EXISTS (
           SELECT FROM attempt o WHERE o.reminder_id = r.id AND o.fence < a.fence AND o.channel <> a.channel
              AND (o.state IN ('started', 'accepted', 'delivered') OR (o.state = 'unknown' AND r.step <> ALL ($4)))
              AND NOT EXISTS (SELECT FROM attempt l WHERE l.reminder_id = r.id AND l.channel = o.channel AND l.fence > o.fence))
           THEN 'on another channel while the first may have arrived'
         WHEN EXISTS (
           SELECT FROM attempt o JOIN reminder x ON x.id = o.reminder_id
            WHERE x.id <> r.id AND x.invoice_id = r.invoice_id AND x.installment_id IS NOT DISTINCT FROM r.installment_id
              AND x.step = r.step AND x.occurrence = r.occurrence AND x.leg = r.leg AND x.anchor_date IS NOT DISTINCT FROM r.anchor_date
              AND o.state NOT IN ('rejected', 'notsent', 'missed', 'undelivered'))
           THEN 'of a step that went out before for the same date'
       END AS broken
  FROM reminder r JOIN attempt a ON a.reminder_id = r.id AND a.fence = $2 JOIN invoice i ON i.id = r.invoice_id
  LEFT JOIN installment n ON n.id = r.installment_id WHERE r.id = $1
"""
ANY_OTHER_CHANNEL = [step.name for step in STEPS.values() if step.on_uncertain == "next_channel"]


async def check_always(db: asyncpg.Connection, truth: Truth) -> None:
    broken = await db.fetch(ALWAYS)
    assert not broken, [tuple(row) for row in broken]
    accepts: dict[tuple[int, str, int], int] = {}
    for row in await db.fetch("SELECT reminder_id, fence, channel, contact_point_id, state FROM attempt"):
        key, fence, channel, contact, state = row
        taken = truth.get((key, fence)) in TAKEN
        if state in ("accepted", "delivered", "undelivered", "missed", "expired"):
            assert taken, f"attempt {fence} of reminder {key} is {state}, but nobody took it"
        if state in ("rejected", "notsent"):
            assert not taken, f"attempt {fence} of reminder {key} is {state}, but it was taken"
        if taken and state not in ("missed", "resent"):
            accepts[key, channel, contact] = accepts.get((key, channel, contact), 0) + 1
    assert all(count == 1 for count in accepts.values()), f"handed over twice: {accepts}"


async def check_claim(db: asyncpg.Connection, reminder: int, fence: int, now: object) -> None:
    broken = await db.fetchval(WRONG_CLAIM, reminder, fence, now, ANY_OTHER_CHANNEL)
    assert broken is None, f"claimed: a reminder {broken} ({reminder}, attempt {fence})"


async def check_at_rest(db: asyncpg.Connection) -> None:
    broken = await db.fetch(AT_REST)
    assert not broken, [tuple(row) for row in broken]
    expected = [(step.name, n) for step in STEPS.values() if step.anchor == "due" for n in range(1, step.times + 1)]
    for row in await db.fetch(STEPS_OF_OPEN, [name for name, _ in expected], [n for _, n in expected]):
        assert row["had"], f"lost: step {row['step']} {row['occurrence']} of installment {row['installment']}"
    for row in await db.fetch(THANKS):
        assert {"accepted", "delivered", "failed"} & set(row["states"]), (
            f"no thank-you for this settlement: {row['states']}"
        )
