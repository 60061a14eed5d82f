"""Baseline: what a competent user writes with Celery. One task for each reminder, which loads it, renders it with templates that are
compiled once, builds an EmailMessage, sends it over a connection that its process keeps, and writes the state back.

BENCH_DATABASE, BENCH_AMQP and BENCH_SMTP_PORT say where. `python -m tests.bench.celery_app` is the one that feeds the workers: all
that is due for each line that it reads, and it answers each with one.
"""

import os
import smtplib
import sys
from email.message import EmailMessage
from functools import cache
from typing import Any

import psycopg
from celery import Celery
from psycopg.rows import dict_row

from shared.content import Catalog, MessageFacts

ORIGIN = "https://pay.example.com"
DUE = "SELECT id FROM reminder WHERE state = 'pending' AND due_at <= business_now() ORDER BY due_at, id"
ROW = """
SELECT r.id, c.name AS creditor_name, coalesce(c.email_from, 'billing@example.com') AS email_from, c.iban, u.name AS customer_name,
       coalesce(u.locale, c.locale) AS locale, i.ref, i.number, i.currency, i.issue_date, i.payment_reference, i.token, n.amount,
       n.open_amount, n.due_date, p.address, p.token AS contact_token, business_now() AS now
  FROM reminder r JOIN invoice i ON i.id = r.invoice_id JOIN customer u ON u.id = i.customer_id
  JOIN creditor c ON c.id = i.creditor_id JOIN installment n ON n.id = r.installment_id
  JOIN contact_point p ON p.customer_id = u.id AND p.kind = 'email'
 WHERE r.id = %s AND r.state = 'pending'
"""
SENT = "UPDATE reminder SET state = 'accepted', fence = 1 WHERE id = %s"

app = Celery("bench", broker=os.environ.get("BENCH_AMQP", ""))
app.conf.update(
    task_ignore_result=True,
    task_acks_late=False,
    worker_prefetch_multiplier=64,
    worker_send_task_events=False,
    worker_disable_rate_limits=True,
    task_default_delivery_mode="persistent",
)
catalog = Catalog()


@cache
def database() -> "psycopg.Connection[dict[str, Any]]":
    """This process's connection."""
    return psycopg.connect(os.environ["BENCH_DATABASE"], autocommit=True, row_factory=dict_row)


@cache
def relay() -> smtplib.SMTP:
    """This process's connection."""
    return smtplib.SMTP("127.0.0.1", int(os.environ["BENCH_SMTP_PORT"]), local_hostname="localhost")


def send_reminder(reminder_id: int) -> None:
    row = database().execute(ROW, (reminder_id,)).fetchone()
    if row is None:
        return
    relay().send_message(_mail(row))
    database().execute(SENT, (reminder_id,))


def _mail(row: dict[str, Any]) -> EmailMessage:
    opt_out = f"{ORIGIN}/u/{row['contact_token']}"
    rendered = catalog.render("upcoming", "email", _facts(row, opt_out))
    mail = EmailMessage()
    mail["From"] = f"{row['creditor_name']} <{row['email_from']}>"
    mail["To"] = f"{row['customer_name']} <{row['address']}>"
    mail["Subject"] = rendered.subject
    mail["Message-ID"] = f"<r{row['id']}@mail.example.com>"
    mail["List-Unsubscribe"] = f"<{opt_out}>"
    mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(rendered.text)
    mail.add_alternative(rendered.html or "", subtype="html")
    return mail


def _facts(row: dict[str, Any], opt_out: str) -> MessageFacts:
    return MessageFacts(
        creditor_name=row["creditor_name"],
        email_from=row["email_from"],
        iban=row["iban"],
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
        opt_out_url=opt_out,
    )


send_task = app.task(name="send_reminder")(send_reminder)


def feed() -> None:
    """All that is due, on one channel that is kept."""
    with app.producer_pool.acquire(block=True) as producer:
        for row in database().execute(DUE).fetchall():
            send_task.apply_async((row["id"],), producer=producer)


if __name__ == "__main__":
    for _ in sys.stdin:
        feed()
        print("fed", flush=True)
