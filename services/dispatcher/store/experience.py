"""What channels did for customers, counted from what happened: attempts that are 72 hours old, with what followed them.

True here: each attempt is counted once, by one process, in one transaction with the watermark; never while a mail waits.
A contact that asked for money moved the customer if money, an answer or a click came within 72 hours. A customer's old
contacts fade: each new one on the channel makes the earlier ones weigh a tenth less.
"""

from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from shared.routing import NOTHING, Evidence

COUNTS_WITHIN = timedelta(hours=72)
FADES = 0.9
FOLD = """
WITH mark AS (
  SELECT f.id, coalesce(f.upto, (SELECT min(at) - interval '1 second' FROM attempt), n.now) AS since, n.now
    FROM channel_fold f CROSS JOIN (SELECT business_now() AS now) n WHERE f.id = 1 FOR UPDATE OF f SKIP LOCKED
), span AS (
  SELECT m.id, m.since, least(m.since + interval '1 day', m.now - $1::interval) AS upto, m.now FROM mark m
   WHERE m.since < m.now - $1::interval
), ended AS (
  SELECT i.customer_id, a.channel, coalesce(u.country, c.country, '') AS country, a.at, a.reminder_id,
         a.state IN ('accepted', 'delivered') AS reached, a.state IN ('accepted', 'delivered') AND r.requires_open AS asked,
         a.state IN ('accepted', 'delivered') AND r.requires_open AND (
           EXISTS (SELECT FROM installment n JOIN allocation l ON l.installment_id = n.id JOIN payment y ON y.id = l.payment_id
                    CROSS JOIN LATERAL (SELECT CASE WHEN y.paid_at >= i.accepted_at THEN y.paid_at ELSE y.created_at END AS came) w
                    WHERE n.invoice_id = a.invoice_id AND w.came >= date_trunc('day', a.at) AND w.came <= a.at + $1::interval)
           OR EXISTS (SELECT FROM receipt p WHERE p.reminder_id = a.reminder_id AND p.fence = a.fence AND p.kind IN ('clicked', 'answered'))
           OR EXISTS (SELECT FROM reply p WHERE p.customer_id = i.customer_id AND p.channel = a.channel
                         AND p.received_at >= a.at AND p.received_at <= a.at + $1::interval)) AS moved
    FROM span s JOIN attempt a ON a.at > s.since AND a.at <= s.upto
    JOIN reminder r ON r.id = a.reminder_id JOIN invoice i ON i.id = a.invoice_id JOIN customer u ON u.id = i.customer_id
    JOIN creditor c ON c.id = i.creditor_id
   WHERE a.state IN ('accepted', 'delivered', 'undelivered', 'missed', 'expired', 'rejected')
     AND a.carried_by IS NULL  -- one message is one contact, however many invoices it lists
), weighed AS (
  SELECT e.*, power($2::double precision, row_number() OVER latest_first - 1) AS weight FROM ended e
  WINDOW latest_first AS (PARTITION BY customer_id, channel ORDER BY at DESC, reminder_id DESC)
), own AS (
  INSERT INTO channel_stat AS k (customer_id, channel, contacts, tried, reached, asked, moved)
  SELECT customer_id, channel, count(*), sum(weight), coalesce(sum(weight) FILTER (WHERE reached), 0),
         coalesce(sum(weight) FILTER (WHERE asked), 0), coalesce(sum(weight) FILTER (WHERE moved), 0)
    FROM weighed GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (customer_id, channel) DO UPDATE
     SET contacts = k.contacts + excluded.contacts, tried = k.tried * power($2::double precision, excluded.contacts) + excluded.tried,
         reached = k.reached * power($2::double precision, excluded.contacts) + excluded.reached,
         asked = k.asked * power($2::double precision, excluded.contacts) + excluded.asked,
         moved = k.moved * power($2::double precision, excluded.contacts) + excluded.moved
), everybody AS (
  INSERT INTO channel_group AS g (country, channel, tried, reached, asked, moved)
  SELECT country, channel, count(*), count(*) FILTER (WHERE reached), count(*) FILTER (WHERE asked), count(*) FILTER (WHERE moved)
    FROM ended GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (country, channel) DO UPDATE
     SET tried = g.tried + excluded.tried, reached = g.reached + excluded.reached, asked = g.asked + excluded.asked,
         moved = g.moved + excluded.moved
), marked AS (
  UPDATE channel_fold f SET upto = s.upto FROM span s WHERE f.id = s.id
)
SELECT s.upto < s.now - $1::interval FROM span s
"""
GROUPS = "SELECT country, channel, tried, reached, asked, moved FROM channel_group"


@dataclass(frozen=True, slots=True)
class Experience:
    """Everybody's: by country and channel, and all of it."""

    groups: dict[str, dict[str, Evidence]]
    overall: Evidence

    def of(self, country: str | None) -> dict[str, Evidence]:
        return self.groups.get(country or "", {})


NO_EXPERIENCE = Experience({}, NOTHING)


async def fold(connection: asyncpg.Connection) -> bool:
    """Counts one more day of attempts, at most; whether there is more to count."""
    return bool(await connection.fetchval(FOLD, COUNTS_WITHIN, FADES))


async def experience(connection: asyncpg.Connection) -> Experience:
    groups: dict[str, dict[str, Evidence]] = {}
    for country, channel, *counts in await connection.fetch(GROUPS):
        groups.setdefault(country, {})[channel] = Evidence(*counts)
    every = [found for channels in groups.values() for found in channels.values()]
    return Experience(groups, Evidence(*map(sum, zip(*every, strict=True))) if every else NOTHING)
