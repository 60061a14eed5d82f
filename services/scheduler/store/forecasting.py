"""Open invoices for the dry run, page by page: no snapshot is held over the whole of it, and no page is large.

What must stay true: the invoices of one customer come one after the other, in the order in which they were taken in.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache

import asyncpg

from services.scheduler.domain.alike import Counted, Reach, Used
from services.scheduler.domain.debts import Held
from services.scheduler.domain.planned import Installment, RowKey
from shared.flow import ConditionInputs
from shared.routing import ContactKind, ContactPoint

PAGE = 2000
BEGINNING = 6  # characters of a phone number that a price may depend on

# $4: conditions ask for attributes; they are large, so they are read only then. The page is cut before anything is looked up for it.
_PAGE = """
WITH chosen AS MATERIALIZED (
  SELECT * FROM invoice i
   WHERE (i.customer_id, i.id) > ($1, $6) AND i.closed_as IS NULL AND i.settled_at IS NULL
     AND ($3::text IS NULL OR i.flow_version_id IN (SELECT id FROM flow_version WHERE name = $3))
     AND EXISTS (SELECT FROM installment x WHERE x.invoice_id = i.id AND x.open_amount > 0)
   ORDER BY i.customer_id, i.id LIMIT $2
)
SELECT i.customer_id, i.id, i.creditor_id, k.last_at, k.day, k.day_n, k.week, k.week_n,
       i.issue_date, i.accepted_at, coalesce(u.timezone, c.timezone), coalesce(u.country, c.country),
       coalesce(u.locale, c.locale), i.currency, u.ref, CASE WHEN $4 THEN i.attributes END, CASE WHEN $4 THEN u.attributes END,
       n.nos, n.dues, n.open, n.amount, h.kind, h.until, p.points, u.preferred_channel, r.kept, b.n, b.at
  FROM chosen i JOIN customer u ON u.id = i.customer_id JOIN creditor c ON c.id = i.creditor_id
 CROSS JOIN LATERAL (SELECT array_agg(x.no ORDER BY x.no) AS nos, array_agg(x.due_date ORDER BY x.no) AS dues,
                            sum(x.open_amount) AS open, sum(x.amount) AS amount
                       FROM installment x WHERE x.invoice_id = i.id AND x.open_amount > 0) n
  LEFT JOIN customer_contact k ON k.customer_id = i.customer_id
  LEFT JOIN LATERAL hold_on(i.id, i.customer_id, business_now()) h ON true
 CROSS JOIN LATERAL (
       SELECT string_agg(concat_ws(' ', k.kind, k.priority, CASE k.kind WHEN 'phone' THEN left(k.address, $5) ELSE '-' END,
                                   coalesce(array_to_string(k.channels, ','), '-'),
                                   coalesce((SELECT string_agg(s.channel || '=' || s.reason, ',' ORDER BY s.channel)
                                               FROM suppression s WHERE s.contact_point_id = k.id), '-')),
                         '|' ORDER BY k.priority, k.id) AS points
         FROM contact_point k WHERE k.customer_id = u.id AND k.retired_at IS NULL) p
 CROSS JOIN LATERAL (
       SELECT string_agg(concat_ws(' ', y.step, y.occurrence, coalesce(x.no, 0), y.leg, coalesce(y.reason, '')), '|') AS kept
         FROM reminder y LEFT JOIN installment x ON x.id = y.installment_id
        WHERE y.invoice_id = i.id
          AND ((y.generation = i.generation AND y.fence > 0 AND y.state NOT IN ('cancelled', 'pending', 'queued'))
            OR (y.state = 'skipped' AND y.reason IN ('escalated', 'stopped') AND y.anchor_date = x.due_date))) r
 CROSS JOIN LATERAL (SELECT count(*) AS n, max(m.until) AS at FROM promise m WHERE m.invoice_id = i.id AND m.state = 'broken') b
 ORDER BY i.customer_id, i.id
"""


async def page(
    connection: asyncpg.Connection, after: tuple[int, int], following: str | None, *, attributes: bool
) -> Sequence[asyncpg.Record]:
    """Rows for `counted`; their first two columns are where the next page begins."""
    customer, invoice = after
    rows: Sequence[asyncpg.Record] = await connection.fetch(
        _PAGE, customer, PAGE, following, attributes, BEGINNING, invoice
    )
    return rows


def counted(rows: Sequence[asyncpg.Record]) -> Iterator[Counted]:
    for row in rows:
        (customer, _, creditor, last_at, day, day_n, week, week_n,
         issue, accepted, zone, country, locale, currency, ref, of_invoice, of_customer, nos, dues, owed, amount,
         held, until, points, preferred, kept, broken_n, broken_at) = row  # fmt: skip
        inputs = ConditionInputs(owed, amount, currency, 0, of_invoice or {}, of_customer or {}, ref, locale, zone, country or "",
                                 promises_broken=broken_n)  # fmt: skip
        rested = _kept(kept or "")
        yield Counted(
            issue,
            accepted,
            zone,
            country,
            tuple(Installment(no, due, Decimal(1)) for no, due in zip(nos, dues, strict=True)),
            rested[0],
            rested[1],
            _held(held, until),
            _reach(points or "", preferred),
            inputs,
            broken_n,
            broken_at,
            customer,
            creditor,
            Used(last_at, day, day_n, week, week_n) if day_n is not None else None,
        )


def _held(kind: str | None, until: datetime | None) -> Held | None:
    return Held(kind, until) if kind is not None and until is not None else None


@lru_cache(maxsize=20_000)
def _reach(points: str, preferred: str | None) -> Reach:
    found, suppressed = [], []
    for number, line in enumerate(points.split("|") if points else (), start=1):
        kind, priority, beginning, channels, barred = line.split(" ")
        named = () if channels == "-" else tuple(channels.split(","))
        found.append(ContactPoint(number, ContactKind(kind), beginning, named, int(priority)))
        for bar in () if barred == "-" else barred.split(","):
            channel, _, reason = bar.partition("=")
            suppressed.append(((number, channel), reason))
    return Reach(tuple(found), tuple(suppressed), preferred)


@lru_cache(maxsize=20_000)
def _kept(text: str) -> tuple[frozenset[RowKey], frozenset[int]]:
    """The rows that are not planned again, and the installments that a stop has ended."""
    keys, stopped = set(), set()
    for line in text.split("|") if text else ():
        step, occurrence, number, leg, reason = line.split(" ")
        keys.add((int(number) or None, step, int(occurrence), leg))
        if reason == "stopped":
            stopped.add(int(number))
    return frozenset(keys), frozenset(stopped)
