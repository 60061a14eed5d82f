"""Baseline: a loop that reads what is due, sends it and writes a state back. No queue, no claim, no attempt, no other process.

It uses the product's own renderer, message builder and SMTP connections. `python -m tests.bench.bare_loop DATABASE SMTP_PORT`
sends once for each line that it reads, and answers each with one.
"""

import asyncio
import sys
from collections.abc import Iterator
from time import monotonic

import asyncpg
import uvloop
from pydantic import SecretStr

from services.dispatcher.adapters.email_smtp import EmailSmtp, SmtpConfig
from services.dispatcher.domain.outcomes import Accepted
from services.dispatcher.domain.ports import Gate, Outgoing
from shared.content import Catalog, MessageFacts
from shared.db.engine import Database

ORIGIN = "https://pay.example.com"
WRITTEN_AT_ONCE = 200
DUE = """
SELECT r.id, r.step, r.leg, c.name AS creditor_name, coalesce(c.email_from, 'billing@example.com') AS email_from, c.reply_to, c.iban, c.bic,
       c.logo_url, u.name AS customer_name, coalesce(u.locale, c.locale) AS locale, i.ref, i.number, i.currency, i.issue_date,
       i.payment_reference, i.token, n.amount, n.open_amount, n.due_date, n.no, p.address, p.token AS contact_token,
       business_now() AS now
  FROM reminder r JOIN invoice i ON i.id = r.invoice_id JOIN customer u ON u.id = i.customer_id
  JOIN creditor c ON c.id = i.creditor_id JOIN installment n ON n.id = r.installment_id
  JOIN contact_point p ON p.customer_id = u.id AND p.kind = 'email'
 WHERE r.state = 'pending' AND r.due_at <= business_now() ORDER BY r.id
"""
SENT = "UPDATE reminder SET state = 'accepted', fence = 1 WHERE id = ANY ($1::bigint[])"


async def send_all(db: Database, channel: EmailSmtp, catalog: Catalog) -> None:
    async with db.connection() as connection:
        rows = iter(await connection.fetch(DUE))
    sent: list[int] = []
    await asyncio.gather(*(_send(db, channel, catalog, rows, sent) for _ in range(channel.concurrency)))
    await _write(db, sent)


async def _send(
    db: Database, channel: EmailSmtp, catalog: Catalog, rows: Iterator[asyncpg.Record], sent: list[int]
) -> None:
    always = Gate(monotonic(), float("inf"), 0)
    for row in rows:
        outcome = await channel.send(_outgoing(row, catalog), always)
        if not isinstance(outcome, Accepted):
            raise RuntimeError(f"reminder {row['id']}: {outcome}")
        sent.append(row["id"])
        if len(sent) >= WRITTEN_AT_ONCE:
            written, sent[:] = sent[:], []
            await _write(db, written)


async def _write(db: Database, sent: list[int]) -> None:
    async with db.connection() as connection:
        await connection.execute(SENT, sent)


def _outgoing(row: asyncpg.Record, catalog: Catalog) -> Outgoing:
    facts = MessageFacts(
        creditor_name=row["creditor_name"],
        email_from=row["email_from"],
        reply_to=row["reply_to"],
        iban=row["iban"],
        bic=row["bic"],
        logo_url=row["logo_url"],
        customer_name=row["customer_name"],
        locale=row["locale"],
        invoice_ref=row["ref"],
        invoice_number=row["number"],
        currency=row["currency"],
        amount=row["amount"],
        open_amount=row["open_amount"],
        issue_date=row["issue_date"],
        due_date=row["due_date"],
        days_past_due=(row["now"].date() - row["due_date"]).days,
        payment_reference=row["payment_reference"],
        pay_url=f"{ORIGIN}/pay/{row['token']}",
        opt_out_url=f"{ORIGIN}/u/{row['contact_token']}",
        installment_no=row["no"],
    )
    return Outgoing(
        attempt_id=str(row["id"]),
        message_id=f"<r{row['id']}@mail.example.com>",
        to_address=row["address"],
        facts=facts,
        rendered=catalog.render("upcoming", "email", facts),
        return_path="bounces@mail.example.com",
        callback_url="",
        sent_at=row["now"],
    )


def main(database: str, smtp_port: str) -> None:
    channel = EmailSmtp(SmtpConfig(url=SecretStr(f"smtp://127.0.0.1:{smtp_port}?tls=none")))
    db, catalog = Database(database, role="dunnock_dispatcher"), Catalog()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for _ in sys.stdin:
            runner.run(send_all(db, channel, catalog))
            print("sent", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
