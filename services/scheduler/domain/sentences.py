"""The timeline in sentences that a clerk understands.

What must stay true: every kind of event has a sentence, and one that nobody has written yet is still readable. Texts
are made when they are read, never stored; addresses come in masked.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from shared.content.catalog import SHIPPED
from shared.kernel.money import amount_text

REASONS: Mapping[str, str] = {
    "paid": "it is paid",
    "void": "the invoice is void",
    "uncollectible": "the invoice is uncollectible",
    "planned_anew": "a new plan took its place",
    "reopened": "the invoice is open again",
    "settled_by_credit": "the invoice was settled by a credit, without a payment",
    "parent_did_not_go": "the message that it follows did not go out",
    "hold": "the reminders are on hold",
    "promise": "the customer promised to pay",
    "dispute": "the invoice is disputed",
    "said_paid": "the customer says that it is paid",
    "in_flight": "a payment is under way",
    "backlog": "the invoice came long after its due date and waits for a decision",
    "condition": "its condition does not hold",
    "missed": "its day had passed, and the flow does not catch up",
    "too_late": "its day had passed too long ago",
    "superseded": "a later step speaks instead",
    "before_issue": "its day lies before the issue date",
    "no_usable_contact": "there is no address that can be used",
    "no_provider": "no provider is configured for its channels",
    "receipt": "the provider says so",
    "no_channel_left": "no channel is left to try",
    "cannot_be_made": "the message could not be made",
    "worker_lost": "the process that sent it was lost",
    "no_answer": "the provider did not answer",
    "never_opens": "the flow's contact window never opens",
    "not_issued_today": "the flow starts only with invoices issued on the day they come in",
    "opted_out": "the customer opted out",
    "escalated": "it was handed to a person instead",
    "stopped": "the flow ends the follow-up here",
    "window": "the contact window was closed",
}
CHANNELS: Mapping[str, str] = {
    "email": "email",
    "sms": "SMS",
    "rcs": "RCS",
    "whatsapp": "WhatsApp",
    "voice": "call",
    "push": "push",
    "http": "HTTP",
}
HOLDS: Mapping[str, str] = {
    "hold": "A hold", "promise": "A promise to pay", "dispute": "A dispute", "backlog": "A hold for the backlog",
    "said_paid": "The customer's word that it is paid", "in_flight": "A payment under way",
}  # fmt: skip
RULED = frozenset(
    [
        "attempt.accepted",
        *(f"reminder.{what}" for what in ("skipped", "failed", "capped", "moved", "grouped", "unknown")),
    ]
)  # by the flow's rules
ACTIONS: Mapping[str, str] = {
    "assume_sent": "it counts as sent",
    "resend": "it is sent again",
    "next_channel": "the next channel is tried",
}
KEYS: Mapping[str, str] = {
    "pay_link": "The customer pressed a key in the call and gets the payment link at once",
    "person": "The customer pressed a key in the call to speak with a person",
}
CHANGES: Mapping[str, str] = {
    "due_date": "due date {}",
    "amount": "amount {}",
    "flow": "flow '{}'",
    "contact": "contact points",
    "payment_url": "payment link",
}


@dataclass(frozen=True, slots=True)
class Said:
    """What a sentence is made of. `address` is masked; `step` is the reminder's, with `.then` where it follows one; `words`
    are a customer's own; `why` is the decision behind an attempt, where it was not plainly the cheapest way; `flow`
    the version that decided, such as "flow 'standard', version 2"; `wording` the text and the pictures that a message was
    made of, such as 'overdue/email/pt@3 banner@2'."""

    data: Mapping[str, Any]
    step: str | None = None
    address: str | None = None
    provider: str | None = None
    words: str | None = None
    why: str | None = None
    flow: str | None = None
    wording: str | None = None

    @property
    def versions(self) -> str:
        """ " [flow 'standard', version 2; text 'overdue' in pt, version 3]", as far as they are known."""
        known = [self.flow] if self.flow else []
        if self.wording:
            text, *pictures = self.wording.split(" ")
            path, _, version = text.rpartition("@")
            message, _, locale = path.split("/")
            worded = "as shipped" if version.startswith(SHIPPED) else f"version {version}"
            known.append(f"text '{message}' in {locale}, {worded}")
            known += ["picture '{}', version {}".format(*picture.split("@")) for picture in pictures]
        return f" [{'; '.join(known)}]" if known else ""

    @property
    def name(self) -> str:
        return f"'{self.step or self.data.get('step', '?')}'"

    @property
    def because(self) -> str:
        reason = self.data.get("reason")
        text = f": {REASONS.get(reason, reason)}" if reason else ""
        text += f" (until {_moment(self.data['until'])})" if reason and self.data.get("until") else ""
        return f"{text} ({self.data['detail']})" if self.data.get("detail") else text

    @property
    def way(self) -> str:
        """'email to a***@example.com'"""
        channel = CHANNELS.get(self.data.get("channel", ""), self.data.get("channel", "?"))
        return f"{channel} to {self.address}" if self.address else channel

    @property
    def barred(self) -> str:
        return f"; the address is no longer used: {self.data['suppressed']}" if self.data.get("suppressed") else ""

    @property
    def channels(self) -> str:
        named = self.data.get("channels") or ["?"]
        return ", ".join(CHANNELS.get(channel, channel) for channel in named)

    @property
    def detail(self) -> str:
        detail = f" ({self.data['detail']})" if self.data.get("detail") else ""
        return f"{detail}{self.barred}"

    @property
    def money(self) -> str:
        return f"{self.data.get('amount') or 'all of it'} {self.data.get('currency') or ''}".strip()


def sentence(kind: str, said: Said) -> str:
    made = SENTENCES.get(kind)
    text = made(said) if made else f"{kind}{said.because}"
    return f"{text}{said.versions if kind in RULED else ''}."


def _accepted(said: Said) -> str:
    return f"The invoice was accepted and {_plan(said)}"


def _plan(said: Said) -> str:
    if nothing := said.data.get("nothing"):
        return f"no reminder was planned: {REASONS.get(nothing, nothing)}"
    left = said.data.get("skipped") or {}
    out = "; ".join(f"'{step}' is left out: {REASONS.get(reason, reason)}" for step, reason in left.items())
    return f"{said.data.get('planned', 0)} messages were planned{'; ' + out if out else ''}"


def _changed(said: Said) -> str:
    changes = [text.format(said.data[name]) for name, text in CHANGES.items() if name in said.data]
    return f"The invoice was changed: {', '.join(changes)}"


def _placed(said: Said) -> str:
    reason = said.data.get("reason") or ""
    text = f" ({REASONS.get(reason, reason)})" if reason else ""
    text += ", said by the customer" if said.data.get("by") == "customer" else ""
    return f"{HOLDS.get(said.data.get('hold', ''), 'A hold')} stops the reminders until {said.data.get('until')}{text}"


def _of_amount(said: Said) -> str:
    amount, currency = said.data.get("amount"), said.data.get("currency")
    return f" of {amount_text(Decimal(amount), currency)} {currency}" if amount and currency else ""


def _chosen(said: Said) -> str:
    chosen = [f"the language {said.data['locale']}"] if said.data.get("locale") else []
    if said.data.get("channel"):
        chosen.append(CHANNELS.get(said.data["channel"], said.data["channel"]))
    return " and ".join(chosen) or "nothing"


def _capped(said: Said) -> str:
    """Which cap, and how far it is used up."""
    data = said.data
    used = [f"{data.get(now, 0)} of {data[most]} {when}"
            for now, most, when in (("today", "per_day", "today"), ("this_week", "per_week", "this week")) if most in data]  # fmt: skip
    used += [f"at least {data['gap']} seconds between two"] if data.get("gap") else []
    text = f"{said.name} waits: the customer was written to often enough for now"
    return f"{text} ({', '.join(used)})" if used else text


def _moment(value: Any) -> str:
    """'2026-12-24 08:00 UTC' of an instant as JSON has it."""
    try:
        return datetime.fromisoformat(str(value)).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return str(value)


def _grouped(said: Said) -> str:
    text = f"{said.name} rides with others: one message for {said.data.get('invoices', 'several')} open invoices"
    carrier, says = said.data.get("carried_by"), said.data.get("says", said.data.get("step", "?"))
    return f"{text}, in the words of '{says}'" + (f", sent with that of invoice {carrier}" if carrier else "")


def _unknown(said: Said) -> str:
    """What happens while a payment check cannot be answered, and who said so."""
    who = "its flow says" if said.data.get("says") == "flow" else "the payment source says"
    sends = said.data.get("on_unknown") == "send"
    text = f"{said.name} {'goes all the same' if sends else 'waits'}: nobody could say whether the invoice is paid"
    return f"{text} ({who} on_unknown: {'send' if sends else 'hold'})"


SENTENCES: Mapping[str, Callable[[Said], str]] = {
    "invoice.accepted": _accepted,
    "invoice.planned": lambda said: f"The plan was made anew: {_plan(said)}",
    "invoice.changed": _changed,
    "invoice.document": lambda _: "A document was attached",
    "invoice.paid": lambda _: "The invoice is paid; what reminded of it is cancelled",
    "invoice.reopened": lambda _: "The invoice is open again",
    "invoice.void": lambda _: "The invoice was declared void; everything that had not gone out is cancelled",
    "invoice.uncollectible": lambda _: "The invoice was given up; everything that had not gone out is cancelled",
    "invoice.escalated": lambda said: (
        f"{said.name} hands the invoice to {said.data.get('to', 'a person')}"
        + (f": {said.data['note']}" if said.data.get("note") else "")
    ),
    "invoice.stopped": lambda said: f"{said.name} ended the follow-up; nothing more goes out by itself",
    "invoice.migrated": lambda said: (
        f"The invoice follows version {said.data.get('to')} of flow '{said.data.get('flow')}' now; "
        f"until then it was version {said.data.get('from')}"
    ),
    "reminder.skipped": lambda said: f"{said.name} was not sent{said.because}",
    "reminder.cancelled": lambda said: f"{said.name} was cancelled{said.because}",
    "reminder.failed": lambda said: f"{said.name} reached nobody{said.because}",
    "reminder.capped": _capped,
    "reminder.moved": lambda said: f"{said.name} goes later{said.because}",
    "reminder.grouped": _grouped,
    "reminder.unknown": _unknown,
    "reminder.uncertain_resolved": lambda said: (
        f"Nobody knows whether {said.name} went out; {ACTIONS.get(said.data.get('action', ''), 'decided')}"
    ),
    "attempt.accepted": lambda said: f"{said.name} went out by {said.way}{f': {said.why}' if said.why else ''}",
    "attempt.delivered": lambda said: f"{said.name} arrived by {said.way}{said.barred}",
    "attempt.undelivered": lambda said: f"{said.name} did not arrive by {said.way}{said.detail}",
    "attempt.rejected": lambda said: f"{said.name} was refused by {said.way}{said.detail}",
    "attempt.missed": lambda said: f"{said.name} found nobody by {said.way}{said.detail}",
    "attempt.notsent": lambda said: (
        f"{said.name} could not be handed over for {said.way}{said.detail}: nothing went out"
    ),
    "attempt.unknown": lambda said: f"Nobody knows whether {said.name} went out by {said.way}{said.detail}",
    "attempt.expired": lambda said: f"No receipt came for {said.name} by {said.way}; the next channel is tried",
    "attempt.opened": lambda said: f"{said.name} was opened by {said.way}",
    "attempt.clicked": lambda said: f"The link in {said.name} was followed, by {said.way}",
    "attempt.answered": lambda said: f"A person answered {said.name} by {said.way}",
    "call.key": lambda said: KEYS.get(said.data.get("key", ""), "The customer pressed a key in the call"),
    "reply.received": lambda said: f"The customer answered by {said.way}: '{said.words or '(no longer kept)'}'",
    "mail.delayed": lambda said: f"The mail {said.name} is delayed{said.detail}",
    "mail.out_of_office": lambda said: f"An automatic answer came to the mail {said.name}{said.detail}",
    "mail.challenge": lambda said: (
        f"A filter asks who sent the mail {said.name}; it is kept for a person to answer{said.detail}"
    ),
    "mail.unknown": lambda said: f"A mail that nobody understands came back for {said.name}{said.detail}",
    "payment.confirmed": lambda said: f"A payment of {said.money} came in",
    "payment.pending": lambda said: f"A payment of {said.money} is on its way",
    "payment.failed": lambda said: f"A payment of {said.money} that was on its way does not come",
    "payment.reversed": lambda said: f"A payment was taken back: {said.money}",
    "payment.matched": lambda said: f"A payment of {said.money} that had come before was found",
    "payment.repaired": lambda _: "What was paid did not add up and was dealt out anew",
    "payment.allocated": lambda said: f"A payment was matched by hand, {said.money}",
    "payment.unallocated": lambda _: "A match of a payment to the invoice was taken back by hand",
    "fees.written_off": lambda said: f"A bank kept {said.money} of the money; that is written off",
    "fees.taken_back": lambda said: f"Nothing is written off as a bank's fee any more: {said.money} was",
    "checkout.opened": lambda said: f"The customer opened a page to pay {said.money}",
    "contact.opted_out": lambda said: f"The customer opted out of {said.channels}",
    "contact.subscribed": lambda said: (
        "The customer asked for notifications on a device"
        + (f", by the link to invoice {said.data['link_of']}" if said.data.get("link_of") else "")
    ),
    "contact.restored": lambda said: f"An address of the customer may be used again for {said.channels}",
    "hold.placed": _placed,
    "hold.released": lambda said: (
        f"{HOLDS.get(said.data.get('hold', ''), 'A hold')} ended and stops no reminders any more"
    ),
    "promise.kept": lambda said: f"The customer kept the promise{_of_amount(said)}",
    "promise.broken": lambda said: (
        f"The promised day passed without the payment{_of_amount(said)}; the promise is broken"
    ),
    "customer.preferences": lambda said: f"The customer chose {_chosen(said)}",
    "invoice.link_renewed": lambda _: "The pay page got a new link; the old one does not work any more",
}
