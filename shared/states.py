"""The states things can be in, each with what it means. Stored as text; the database refuses any other."""

from enum import StrEnum


class ReminderState(StrEnum):
    WAITING = "waiting"  # planned; its trigger (a payment, the end of its parent) has not happened
    PENDING = "pending"  # has a time, and is due when that comes
    QUEUED = "queued"  # published for the dispatchers
    SENDING = "sending"  # claimed by one dispatcher, under a lease
    ACCEPTED = "accepted"  # a provider took it
    DELIVERED = "delivered"  # a provider says that it arrived
    FAILED = "failed"  # no channel left
    UNCERTAIN = "uncertain"  # nobody knows whether it went: never queued again by itself
    CANCELLED = "cancelled"  # its cause is gone: paid, void, planned anew
    SKIPPED = "skipped"  # a rule decided: hold, condition, cap, lateness, opt-out


class AttemptState(StrEnum):
    STARTED = "started"  # claimed, its outcome not yet recorded
    ACCEPTED = "accepted"  # the provider took it
    DELIVERED = "delivered"  # the provider says that it arrived
    UNDELIVERED = "undelivered"  # the provider says that it did not arrive
    MISSED = "missed"  # busy, no answer, soft bounce: the same channel again later
    EXPIRED = "expired"  # no receipt in time, on a channel that promises one
    REJECTED = "rejected"  # definitely refused: nothing went
    UNKNOWN = "unknown"  # handed over, answer lost
    NOTSENT = "notsent"  # never handed over
    RESENT = "resent"  # was unknown, given up so that the same address may be tried again


class ClosedAs(StrEnum):
    VOID = "void"
    UNCOLLECTIBLE = "uncollectible"


class HoldKind(StrEnum):
    HOLD = "hold"
    PROMISE = "promise"
    DISPUTE = "dispute"
    BACKLOG = "backlog"  # imported long after its due date: a person decides whether it is chased
    IN_FLIGHT = "in_flight"  # a payment is under way: until it comes, fails, or took too long
    SAID_PAID = "said_paid"  # the customer says that the money is on its way: a few days for it to come


class PromiseState(StrEnum):
    OPEN = "open"  # its day has not passed
    KEPT = "kept"  # by the end of its day enough had come
    BROKEN = "broken"  # its day passed and more was open than it leaves
    DROPPED = "dropped"  # a newer one took its place, an earlier part of it broke, or the invoice was closed


class SaidBy(StrEnum):
    CLERK = "clerk"  # through the API
    CUSTOMER = "customer"  # on the pay page, in a reply, by a key of the telephone


class SuppressionReason(StrEnum):
    INVALID = "invalid"
    BOUNCED = "bounced"
    OPTED_OUT = "opted_out"
    COMPLAINED = "complained"
