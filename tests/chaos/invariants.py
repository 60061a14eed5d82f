"""What must be true after every kill, one promise a function; each answers what breaks it, so that nothing is good news."""

from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType

from tests.chaos.evidence import Evidence

HAPPENED = {"accepted", "delivered", "undelivered", "missed", "expired"}
NEVER_HAPPENED = {"rejected", "notsent"}


def doubled(found: Evidence) -> list[str]:
    """I1: a message is accepted once at most."""
    times = Counter(line.message_id for line in found.accepted)
    again = [f"{message} was accepted {count} times" for message, count in times.items() if count > 1]
    return again + [f"reminder {one} was accepted {count} times" for one, count in found.accepts.items() if count > 1]


def sent_after_paid(found: Evidence) -> list[str]:
    """I2: no hand-off of a reminder begins after the 2xx of the payment that settles it."""
    asks = {row["id"]: row["invoice_id"] for row in found.reminders if row["step"] == "overdue"}
    paid_at = {one: found.acknowledged[asks[one]] for one in asks if asks[one] in found.acknowledged}
    return [
        f"reminder {line.reminder_id} was handed over {line.at - paid_at[line.reminder_id]:.3f} s after its payment's 2xx"
        for line in found.begun
        if line.reminder_id in paid_at and line.at > paid_at[line.reminder_id]
    ]


def left_over(found: Evidence) -> list[str]:
    """I3: nothing is left on its way."""
    moving = [f"reminder {row['id']} is {row['state']}" for row in found.reminders if row["state"] in MOVING]
    return moving + [f"attempt {row['reminder_id']} is started" for row in found.attempts if row["state"] == "started"]


MOVING = {"pending", "queued", "sending"}


def attempts_that_lie(found: Evidence) -> list[str]:
    """I4: what an attempt says is what the provider saw."""
    seen = Counter((line.reminder_id, line.fence) for line in found.accepted)
    said = {(row["reminder_id"], row["fence"]): row["state"] for row in found.attempts}
    wrong = [f"{one} was accepted, and no attempt knows" for one in seen if one not in said]
    for one, state in said.items():
        right = {1} if state in HAPPENED else {0} if state in NEVER_HAPPENED else {0, 1}
        if seen[one] not in right:
            wrong.append(f"attempt {one} is {state} and was accepted {seen[one]} times")
    return wrong


def lost(found: Evidence) -> list[str]:
    """Every reminder went, or its cause is gone, or its worker died with it and nobody can know."""
    accepts = found.accepts
    wrong = []
    for row in found.reminders:
        asks, went, state = row["step"] == "overdue", accepts[row["id"]], row["state"]
        rests = went == 0 and state == (
            "cancelled" if asks and row["paid"] else "waiting" if not asks and not row["paid"] else ""
        )
        if (
            not rests
            and not (went == 1 and state in HAPPENED)
            and not (state == "uncertain" and found.uncertain(row["id"]))
        ):
            wrong.append(
                f"{row['step']} {row['id']} (paid: {row['paid']}) is {state} and was accepted {went} times: {found.last_attempt(row['id'])}"
            )
    return wrong


def payments_that_lie(found: Evidence) -> list[str]:
    """A payment counts once, however often the bank said it."""
    wrong = []
    for row in found.invoices:
        expected = (1, 100, 1) if row["id"] in found.acknowledged else (0, 0, 0)
        if (row["settled_n"], row["allocated"], row["payments"]) != expected:
            wrong.append(f"invoice {row['id']}: {dict(row)}, expected {expected}")
    return wrong


PROMISES: Mapping[str, Callable[[Evidence], list[str]]] = MappingProxyType(
    {
        "sent after paid": sent_after_paid,
        "doubled": doubled,
        "lost": lost,
        "left on the way": left_over,
        "attempts that differ from the provider's ledger": attempts_that_lie,
        "payments not counted once": payments_that_lie,
    }
)


def broken(found: Evidence) -> dict[str, list[str]]:
    """Empty when all is well."""
    return {name: wrong for name, promise in PROMISES.items() if (wrong := promise(found))}
