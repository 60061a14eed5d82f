"""`make demo`: the main job once, visibly. An invoice goes out, bounces, falls back, is reminded, paid and thanked; another
is called about.

What must stay true: it prints the same words at every run (the README quotes them), checks what it shows, exits 0 only
if all of it was so, and leaves nothing behind.
"""

import base64
import json
import re
import secrets
import signal
import sys
from datetime import UTC, datetime

import httpx
from standardwebhooks import Webhook

from services.sandbox.demo_paper import invoice_pdf
from services.sandbox.demo_process import DemoFailed, dunnock
from services.sandbox.demo_stage import Stage, expect, failed, indented, say

LATE, PROMPT = "INV-1001", "INV-1002"
PRESSES_1 = "+15005550013"  # the sandbox's telephone whose owner does so


def main() -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is born ignoring it
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))
    say("Dunnock in one process, on an empty folder. Day 1 is a Monday; the sandbox's clock moves.")
    try:
        with dunnock() as client:
            play(Stage(client))
    except (DemoFailed, httpx.HTTPError) as error:
        return failed(error)
    except KeyboardInterrupt:
        return 130
    return 0


def play(stage: Stage) -> None:
    secret = prepare(stage)
    deliver(stage)
    remind(stage)
    pay(stage, secret)
    go_on(stage)
    call(stage)
    look_back(stage)


def prepare(stage: Stage) -> str:
    """The creditor and the bank's secret."""
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    stage.call("PUT", "/v1/creditors/default", {"name": "Acme Tools", "iban": "DE89370400440532013000"})
    stage.call("PUT", "/v1/sources/bank", {"kind": "standard_webhook", "secrets": [secret]})
    return secret


def deliver(stage: Stage) -> None:
    stage.clock(1, 12, "The ERP posts two invoices with their PDF, both due on day 15.")
    indented(f"{LATE}  1250.00 EUR  Bruno Costa, whose mailbox is gone")
    indented(f"{PROMPT}   480.50 EUR  Ana Silva")
    post(stage, LATE, "1250.00", "Bruno Costa", "bounce@costa.sandbox.test", "+4915112345678")
    post(stage, PROMPT, "480.50", "Ana Silva", "ana@silva.sandbox.test", PRESSES_1)
    stage.settle()
    stage.news(LATE, PROMPT)
    mail, text = stage.messages(LATE)
    expect((mail["channel"], text["channel"]) == ("email", "sms"), "the bounced mail did not become an SMS")
    expect("did not reach you" in text["text"], "the SMS does not say that the mail did not arrive")
    expect(text["text"].count("/pay/") == 2, "the SMS does not link the pay page and the invoice")


def post(stage: Stage, number: str, amount: str, name: str, email: str, phone: str) -> None:
    pdf = invoice_pdf(f"Acme Tools: invoice {number}", f"{name}, please pay {amount} EUR. Thank you.")
    file = {"filename": f"{number}.pdf", "media_type": "application/pdf"}
    points = [{"kind": "email", "address": email}, {"kind": "phone", "address": phone}]
    invoice = {
        "invoice_id": number,
        "number": number,
        "customer": {"customer_id": email.split("@")[1], "name": name, "timezone": "UTC", "contact_points": points},
        "issue_date": stage.date(1).isoformat(),
        "due_date": stage.date(15).isoformat(),
        "currency": "EUR",
        "amount": amount,
        "document": {**file, "content_base64": base64.b64encode(pdf).decode()},
    }
    stage.call("POST", "/v1/invoices", invoice)


def remind(stage: Stage) -> None:
    stage.clock(10, 12, "The reminder before the due date went out. Bruno's starts on SMS at once.")
    stage.news(LATE, PROMPT)
    expect([one["channel"] for one in stage.messages(LATE)[2:]] == ["sms"], "the reminder did not start on SMS")


def pay(stage: Stage, secret: str) -> None:
    stage.clock(12, 10, f"The bank's signed webhook says that {LATE} is paid.")
    body, headers = webhook(stage, secret)
    forged = {**headers, "webhook-signature": "v1," + base64.b64encode(b"forged" * 5 + b"!!").decode()}
    indented(f"a forged one: {stage.status('/v1/webhooks/bank', body, forged)}, nothing happens")
    first = stage.call("POST", "/v1/webhooks/bank", content=body, headers=headers)
    invoice = stage.call("GET", f"/v1/invoices/{LATE}")
    stopped = [one["step"] for one in invoice["reminders"] if one["state"] == "cancelled"]
    indented(f"the bank's: {first['result']}; {LATE} is {invoice['status']}, {invoice['open_amount']} EUR open")
    indented(f"cancelled before the bank got its answer: {', '.join(stopped)}")
    again = stage.call("POST", "/v1/webhooks/bank", content=body, headers=headers)
    indented(f"the same webhook again: {'known, no effect' if again['repeated'] else 'NOT KNOWN'}")
    stage.settle()
    stage.news(LATE)
    expect(invoice["status"] == "paid" and "overdue" in stopped, "the payment did not stop the reminders")


def webhook(stage: Stage, secret: str) -> tuple[bytes, dict[str, str]]:
    """As the bank sends it: Standard Webhooks."""
    paid = {"payment_id": "bank-77", "amount": "1250.00", "currency": "EUR", "invoice_id": LATE}
    now = datetime.now(UTC)
    event = {
        "type": "payment.confirmed",
        "timestamp": now.isoformat(),
        "data": {**paid, "paid_at": stage.moment(12, 9).isoformat()},
    }
    body = json.dumps(event)
    signed = Webhook(secret).sign("event-1", now, body)
    headers = {"webhook-id": "event-1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signed}
    return body.encode(), {**headers, "content-type": "application/json"}


def go_on(stage: Stage) -> None:
    stage.clock(19, 12, "Bruno has heard nothing more. Ana, who has not paid, was reminded on and after the due date.")
    stage.news(LATE, PROMPT)
    [link] = re.findall(r"http://\S+(/u/\S+)", stage.messages(PROMPT)[-1]["text"])
    done = stage.status(link, b"List-Unsubscribe=One-Click", {"content-type": "application/x-www-form-urlencoded"})
    expect(done == httpx.codes.OK, "the link to opt out does not work")
    indented("Ana wants no more of these mails and follows the link in it: from now on they are barred")


def call(stage: Stage) -> None:
    stage.clock(25, 12, f"{PROMPT} is still unpaid: an automated call. Ana presses 1, and has the link as a text.")
    stage.news(PROMPT)
    spoken, text = stage.messages(PROMPT)[-2:]
    expect((spoken["channel"], text["channel"]) == ("voice", "sms"), "the call did not bring the link as an SMS")
    expect(
        "480 euros and 50 cents" in spoken["text"] and "/pay/" in text["text"],
        "the call names no amount, or the SMS has no link",
    )


def look_back(stage: Stage) -> None:
    say(f"\nThe clerk's timeline of {LATE}")
    stage.timeline(LATE)
    steps = [one["step"] for one in stage.messages(LATE)]
    expect(steps == ["deliver-invoice", "deliver-invoice", "upcoming", "thank-you"], f"{LATE} got {', '.join(steps)}")
    say("\nWhat the channels did, and cost (GET /v1/channels)")
    shares = stage.channels()
    expect(0 < shares["email"] < 1 and shares["sms"] == shares["voice"] == 1, f"the channels' shares are {shares}")
    say("\nDelivered, reminded, called, paid, thanked. Messages about money after the payment: 0.")


if __name__ == "__main__":
    sys.exit(main())
