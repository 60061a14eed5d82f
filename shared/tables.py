"""The data model on one page.

True here: every state a row can be in is named, and what must never be (a due date without its time, two live attempts
at one address, money that is not a number) is refused by the database itself, whoever writes. The tables are declared,
never served: the API has schemas of its own. Who may write what stands in `db/grants.sql`; what moves a reminder
stands in `ledger/ledger.sql`.

Amounts are NUMERIC(19,4) beside their ISO 4217 currency. Times are aware UTC. `ref` is the caller's own id of a thing,
`id` ours.
"""

from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from shared.states import AttemptState, ClosedAs, HoldKind, PromiseState, ReminderState, SaidBy, SuppressionReason

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
SQLModel.metadata.naming_convention = NAMING

# 122 random bits, 22 characters: what links carry. Made by the database so that an import of many rows needs no round
# trip for them.
TOKEN = text("rtrim(translate(encode(uuid_send(gen_random_uuid()), 'base64'), '+/', '-_'), '=')")
NOW = text("clock_timestamp()")
STILL_OPEN = "greatest(0, amount - credited - allocated - written_off)"
BUSINESS_NOW = text("business_now()")
SOUGHT = "CASE WHEN state IN ('pending', 'queued', 'uncertain') THEN state END"
MONEY = Numeric(19, 4)
TIME = DateTime(timezone=True)


def one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def key() -> Column[int]:
    return Column(BigInteger, Identity(always=True), primary_key=True)


def link(target: str, *, null: bool = False, index: bool = False) -> Column[int]:
    return Column(BigInteger, ForeignKey(target), nullable=null, index=index)


def string(*, null: bool = False, unique: bool = False, default: str | None = None) -> Column[str]:
    return Column(Text, nullable=null, unique=unique, server_default=default)


def moment(*, null: bool = False, default: Any = None) -> Column[datetime]:
    return Column(TIME, nullable=null, server_default=default)


def whole(*, default: str | None = "0", null: bool = False) -> Column[int]:
    return Column(Integer, nullable=null, server_default=default)


def number(*, null: bool = False, default: str | None = None) -> Column[float]:
    """For estimates and rates; never for money."""
    return Column(Double, nullable=null, server_default=default)


def money(*, null: bool = False, default: str | None = None) -> Column[Decimal]:
    return Column(MONEY, nullable=null, server_default=default)


def flag(default: str) -> Column[bool]:
    return Column(Boolean, nullable=False, server_default=text(default))


def document(*, null: bool = False) -> Column[Any]:
    return Column(JSONB, nullable=null, server_default=None if null else text("'{}'::jsonb"))


def plain(column: str) -> Any:
    """A text as payment matching compares it: letters and digits only, in capitals (see domain/matching.py)."""
    return text(f"upper(regexp_replace({column}, '[^A-Za-z0-9]', '', 'g'))")


def row_lock() -> Column[int]:
    """Nobody writes it. UPDATE on it is what lets a role lock rows that it may not change."""
    return Column(SmallInteger, nullable=False, server_default="0")


# --- who and what (written by the scheduler)
# -----------------------------------------------------------------------------------


class Creditor(SQLModel, table=True):
    __tablename__ = "creditor"
    id: int | None = Field(default=None, sa_column=key())
    ref: str = Field(sa_column=string(unique=True))
    name: str = Field(sa_column=string())
    email_from: str | None = Field(default=None, sa_column=string(null=True))
    reply_to: str | None = Field(default=None, sa_column=string(null=True))
    sms_from: str | None = Field(default=None, sa_column=string(null=True))
    voice_from: str | None = Field(default=None, sa_column=string(null=True))
    iban: str | None = Field(default=None, sa_column=string(null=True))
    bic: str | None = Field(default=None, sa_column=string(null=True))
    logo_url: str | None = Field(default=None, sa_column=string(null=True))
    locale: str = Field(sa_column=string(default="en"))
    timezone: str = Field(sa_column=string(default="UTC"))
    country: str | None = Field(default=None, sa_column=string(null=True))
    created_at: datetime | None = Field(default=None, sa_column=moment(default=NOW))
    logo: str | None = Field(default=None, sa_column=string(null=True))


class Customer(SQLModel, table=True):
    __tablename__ = "customer"
    __table_args__ = (Index("ix_customer_plain_name", plain("name")),)
    id: int | None = Field(default=None, sa_column=key())
    ref: str = Field(sa_column=string(unique=True))
    name: str = Field(sa_column=string())
    locale: str | None = Field(default=None, sa_column=string(null=True))
    timezone: str | None = Field(default=None, sa_column=string(null=True))
    country: str | None = Field(default=None, sa_column=string(null=True))
    preferred_channel: str | None = Field(default=None, sa_column=string(null=True))
    attributes: dict[str, Any] = Field(default_factory=dict, sa_column=document())
    created_at: datetime | None = Field(default=None, sa_column=moment(default=NOW))


class ContactPoint(SQLModel, table=True):
    """One address. Never deleted while attempts name it: `retired_at` takes it out of use. `token` is its opt-out
    link."""

    __tablename__ = "contact_point"
    __table_args__ = (
        UniqueConstraint("customer_id", "kind", "address"),
        CheckConstraint("kind IN ('email', 'phone', 'push', 'url')", name="kind"),
        Index("ix_contact_point_phone", "address", postgresql_where=text("kind = 'phone'")),
    )
    id: int | None = Field(default=None, sa_column=key())
    customer_id: int = Field(sa_column=link("customer.id"))
    kind: str = Field(sa_column=string())
    address: str = Field(sa_column=string())
    channels: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text), nullable=True))
    priority: int = Field(default=0, sa_column=whole())
    token: str | None = Field(default=None, sa_column=Column(Text, nullable=False, unique=True, server_default=TOKEN))
    retired_at: datetime | None = Field(default=None, sa_column=moment(null=True))


class FlowVersion(SQLModel, table=True):
    """An immutable version of a flow. A running invoice stays on its version."""

    __tablename__ = "flow_version"
    __table_args__ = (UniqueConstraint("name", "version"),)
    id: int | None = Field(default=None, sa_column=key())
    name: str = Field(sa_column=string())
    version: int = Field(sa_column=whole(default=None))
    spec: dict[str, Any] = Field(sa_column=document())
    created_at: datetime | None = Field(default=None, sa_column=moment(default=NOW))


class Invoice(SQLModel, table=True):
    """`settled_at` is set while nothing is owed; `settled_n` counts how often that came true. `token` is the pay
    page's link, to `token_until` if that is set."""

    __tablename__ = "invoice"
    __table_args__ = (
        one_of("closed_as", ClosedAs),
        CheckConstraint("(closed_as IS NULL) = (closed_at IS NULL)", name="closed"),
        Index("ix_invoice_replan", "replan_at", postgresql_where=text("replan_at IS NOT NULL")),
        Index("ix_invoice_reference", "payment_reference"),
        Index("ix_invoice_plain_reference", plain("payment_reference")),
        Index("ix_invoice_plain_number", plain("number")),
    )
    id: int | None = Field(default=None, sa_column=key())
    ref: str = Field(sa_column=string(unique=True))
    number: str = Field(sa_column=string())
    creditor_id: int = Field(sa_column=link("creditor.id"))
    customer_id: int = Field(sa_column=link("customer.id", index=True))
    flow_version_id: int = Field(sa_column=link("flow_version.id"))
    issue_date: date = Field(sa_column=Column(Date, nullable=False))
    currency: str = Field(sa_column=string())
    payment_url: str | None = Field(default=None, sa_column=string(null=True))
    payment_reference: str = Field(sa_column=string())
    document_key: str | None = Field(default=None, sa_column=string(null=True))
    document_name: str | None = Field(default=None, sa_column=string(null=True))
    document_type: str | None = Field(default=None, sa_column=string(null=True))
    document_size: int | None = Field(default=None, sa_column=whole(default=None, null=True))
    attributes: dict[str, Any] = Field(default_factory=dict, sa_column=document())
    content_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    token: str | None = Field(default=None, sa_column=Column(Text, nullable=False, unique=True, server_default=TOKEN))
    token_until: datetime | None = Field(default=None, sa_column=moment(null=True))
    accepted_at: datetime | None = Field(default=None, sa_column=moment(default=BUSINESS_NOW))
    generation: int = Field(default=0, sa_column=whole())
    settled_n: int = Field(default=0, sa_column=whole())
    settled_at: datetime | None = Field(default=None, sa_column=moment(null=True))
    replan_at: datetime | None = Field(default=None, sa_column=moment(null=True))
    closed_as: str | None = Field(default=None, sa_column=string(null=True))
    closed_at: datetime | None = Field(default=None, sa_column=moment(null=True))
    row_lock: int = Field(default=0, sa_column=row_lock())


class Installment(SQLModel, table=True):
    """One due date's part of an invoice. Scheduler writes amount and credited, payments allocated; the database
    subtracts. `written_off`: what a bank kept of the money, see write_off_fees() in ledger.sql.
    `checked_at`: when a polled source last said what is owed; `unknown_at`: when it was asked in vain since; `waived_at`:
    the same, where its `on_unknown` says to send all the same."""

    __tablename__ = "installment"
    __table_args__ = (
        UniqueConstraint("invoice_id", "no"),
        CheckConstraint("amount > 0 AND amount <> 'NaN'", name="amount"),
        CheckConstraint("credited >= 0 AND credited <> 'NaN'", name="credited"),
        CheckConstraint("allocated >= 0 AND allocated <> 'NaN'", name="allocated"),
        CheckConstraint("written_off >= 0 AND written_off <> 'NaN'", name="written_off"),
        CheckConstraint("credited + allocated <= amount", name="not_over"),
        Index("ix_installment_open", "open_amount", postgresql_where=text("open_amount > 0")),
    )
    id: int | None = Field(default=None, sa_column=key())
    invoice_id: int = Field(sa_column=link("invoice.id"))
    no: int = Field(sa_column=whole(default="1"))
    due_date: date = Field(sa_column=Column(Date, nullable=False))
    amount: Decimal = Field(sa_column=money())
    credited: Decimal = Field(default=Decimal(0), sa_column=money(default="0"))
    allocated: Decimal = Field(default=Decimal(0), sa_column=money(default="0"))
    written_off: Decimal = Field(default=Decimal(0), sa_column=money(default="0"))
    open_amount: Decimal | None = Field(
        default=None, sa_column=Column(MONEY, Computed(STILL_OPEN, persisted=True), nullable=False)
    )
    checked_at: datetime | None = Field(default=None, sa_column=moment(null=True))
    waived_at: datetime | None = Field(default=None, sa_column=moment(null=True))
    unknown_at: datetime | None = Field(default=None, sa_column=moment(null=True))


class Hold(SQLModel, table=True):
    """A dated stop with a reason, on an invoice, a customer or (both NULL) everything. Ends by itself at `until`.
    `note`: the customer's own words, which stand nowhere else."""

    __tablename__ = "hold"
    __table_args__ = (
        one_of("kind", HoldKind),
        one_of("said_by", SaidBy),
        CheckConstraint("invoice_id IS NULL OR customer_id IS NULL", name="one_scope"),
        CheckConstraint("until > starts_at", name="dated"),
        CheckConstraint("amount IS NULL OR (amount > 0 AND amount <> 'NaN')", name="amount"),
        Index("ix_hold_invoice", "invoice_id", postgresql_where=text("released_at IS NULL")),
        Index("ix_hold_customer", "customer_id", postgresql_where=text("released_at IS NULL")),
        Index(
            "ix_hold_global",
            "until",
            postgresql_where=text("released_at IS NULL AND invoice_id IS NULL AND customer_id IS NULL"),
        ),
    )
    id: int | None = Field(default=None, sa_column=key())
    kind: str = Field(sa_column=string())
    invoice_id: int | None = Field(default=None, sa_column=link("invoice.id", null=True))
    customer_id: int | None = Field(default=None, sa_column=link("customer.id", null=True))
    reason: str = Field(sa_column=string())
    amount: Decimal | None = Field(default=None, sa_column=money(null=True))
    starts_at: datetime | None = Field(default=None, sa_column=moment(default=BUSINESS_NOW))
    until: datetime = Field(sa_column=moment())
    released_at: datetime | None = Field(default=None, sa_column=moment(null=True))
    note: str | None = Field(default=None, sa_column=string(null=True))
    said_by: str = Field(default=SaidBy.CLERK, sa_column=string(default=SaidBy.CLERK))


class Promise(SQLModel, table=True):
    """One date of a promise to pay. It is kept if no more than `leaves` is open when `until`, the end of its day,
    has come."""

    __tablename__ = "promise"
    __table_args__ = (
        one_of("state", PromiseState),
        one_of("said_by", SaidBy),
        CheckConstraint("amount IS NULL OR (amount > 0 AND amount <> 'NaN')", name="amount"),
        CheckConstraint("leaves >= 0 AND leaves <> 'NaN'", name="leaves"),
        Index("ix_promise_open", "until", postgresql_where=text("state = 'open'")),
        Index("ix_promise_invoice", "invoice_id"),
    )
    id: int | None = Field(default=None, sa_column=key())
    invoice_id: int = Field(sa_column=link("invoice.id"))
    until: datetime = Field(sa_column=moment())
    amount: Decimal | None = Field(default=None, sa_column=money(null=True))
    leaves: Decimal = Field(sa_column=money())
    state: str = Field(default=PromiseState.OPEN, sa_column=string(default=PromiseState.OPEN))
    said_by: str = Field(default=SaidBy.CLERK, sa_column=string(default=SaidBy.CLERK))
    made_at: datetime | None = Field(default=None, sa_column=moment(default=BUSINESS_NOW))


# --- the ledger
# ----------------------------------------------------------------------------------------------------------------


class Reminder(SQLModel, table=True):
    """One step (and occurrence) planned for one installment: the unit of the ledger.

    `repeats`: occurrence n + 1 is planned when this one leaves pending. `followed`: a `then` waits for it.
    `sought`: the state while a loop looks for rows in it, else NULL; indexed in place of `state`, see ledger.sql.
    `due_at` NULL: its trigger has not happened. `send_until` NULL: triggered, its time not yet found by the calendar.
    `on_unknown`: what its step says for when nobody can say whether it is paid; NULL: as the polled source says.
    """

    __tablename__ = "reminder"
    __table_args__ = (
        UniqueConstraint(
            "invoice_id",
            "installment_id",
            "generation",
            "step",
            "occurrence",
            "leg",
            name="uq_reminder_plan",
            postgresql_nulls_not_distinct=True,
        ),
        one_of("state", ReminderState),
        CheckConstraint("anchor IN ('issue', 'due', 'payment', 'broken_promise', 'parent')", name="anchor"),
        CheckConstraint("occurrence >= 1", name="occurrence"),
        CheckConstraint("on_unknown IN ('hold', 'send')", name="on_unknown"),
        CheckConstraint("state IN ('waiting', 'cancelled', 'skipped') OR due_at IS NOT NULL", name="has_time"),
        CheckConstraint("state <> 'waiting' OR due_at IS NULL", name="waits_for_its_trigger"),
        CheckConstraint("state <> 'queued' OR (queued_at IS NOT NULL AND send_until IS NOT NULL)", name="queued"),
        CheckConstraint("(state = 'sending') = (lease IS NOT NULL)", name="lease_while_sending"),
        CheckConstraint(
            "(reason IS NOT NULL) = (state IN ('delivered', 'failed', 'uncertain', 'cancelled', 'skipped'))",
            name="reason",
        ),
        CheckConstraint(
            "state NOT IN ('sending', 'accepted', 'delivered', 'uncertain') OR fence > 0", name="was_claimed"
        ),
        Index("ix_reminder_due", "due_at", "id", postgresql_where=text("sought = 'pending'")),
        Index("ix_reminder_queued", "queued_at", postgresql_where=text("sought = 'queued'")),
        Index("ix_reminder_uncertain", "id", postgresql_where=text("sought = 'uncertain'")),
        {"postgresql_with": {"fillfactor": 70}},
    )
    id: int | None = Field(default=None, sa_column=key())
    invoice_id: int = Field(sa_column=link("invoice.id"))
    installment_id: int | None = Field(default=None, sa_column=link("installment.id", null=True))
    flow_version_id: int = Field(sa_column=link("flow_version.id"))
    generation: int = Field(sa_column=whole(default=None))
    step: str = Field(sa_column=string())
    occurrence: int = Field(default=1, sa_column=whole(default="1"))
    leg: str = Field(default="", sa_column=string(default=""))
    anchor: str = Field(sa_column=string())
    anchor_date: date | None = Field(default=None, sa_column=Column(Date, nullable=True))
    requires_open: bool = Field(sa_column=flag("true"))
    urgent: bool = Field(default=False, sa_column=flag("false"))
    repeats: bool = Field(default=False, sa_column=flag("false"))
    followed: bool = Field(default=False, sa_column=flag("false"))
    state: str = Field(sa_column=string())
    sought: str | None = Field(default=None, sa_column=Column(Text, Computed(SOUGHT, persisted=True), nullable=True))
    reason: str | None = Field(default=None, sa_column=string(null=True))
    due_at: datetime | None = Field(default=None, sa_column=moment(null=True))
    send_until: datetime | None = Field(default=None, sa_column=moment(null=True))
    queued_at: datetime | None = Field(default=None, sa_column=moment(null=True))
    fence: int = Field(default=0, sa_column=whole())
    lease: datetime | None = Field(default=None, sa_column=moment(null=True))
    tries: int = Field(default=0, sa_column=whole())
    on_unknown: str | None = Field(default=None, sa_column=string(null=True))


class Attempt(SQLModel, table=True):
    """One try of a reminder on one channel at one address. The partial unique index is the promise of no duplicate.
    `wording`: the text and version that the message was made of, such as 'overdue/email/pt@3'."""

    __tablename__ = "attempt"
    __table_args__ = (
        one_of("state", AttemptState),
        CheckConstraint("cost >= 0 AND cost <> 'NaN'", name="cost"),
        Index(
            "uq_attempt_live",
            "reminder_id",
            "channel",
            "contact_point_id",
            unique=True,
            postgresql_where=text("state NOT IN ('rejected', 'notsent', 'missed', 'resent')"),
        ),
        Index("ix_attempt_started", "started", postgresql_where=text("state = 'started'")),
        Index(
            "ix_attempt_receipt_due",
            "receipt_due",
            postgresql_where=text("state = 'accepted' AND receipt_due IS NOT NULL"),
        ),
        Index("ix_attempt_at", "at", postgresql_using="brin"),
        Index("ix_attempt_carried", "carried_by", "carried_fence", postgresql_where=text("carried_by IS NOT NULL")),
    )
    # No foreign keys: reminders and contact points are never deleted, and a check would look each one up for each mail.
    reminder_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    fence: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    invoice_id: int = Field(sa_column=Column(BigInteger, nullable=False, index=False))
    channel: str = Field(sa_column=string())
    contact_point_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    provider: str = Field(sa_column=string())
    provider_ref: str | None = Field(default=None, sa_column=string(null=True))
    state: str = Field(sa_column=string())
    detail: str | None = Field(default=None, sa_column=string(null=True))
    cost: Decimal = Field(default=Decimal(0), sa_column=money(default="0"))
    alternatives: int = Field(default=0, sa_column=whole())
    why: str | None = Field(default=None, sa_column=string(null=True))
    worker: str = Field(default="", sa_column=string(default=""))
    started: datetime | None = Field(default=None, sa_column=moment(default=NOW))
    at: datetime | None = Field(default=None, sa_column=moment(default=BUSINESS_NOW))
    lease: datetime = Field(sa_column=moment())
    receipt_due: datetime | None = Field(default=None, sa_column=moment(null=True))
    carried_by: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    carried_fence: int | None = Field(default=None, sa_column=Column(Integer, nullable=True))
    wording: str | None = Field(default=None, sa_column=string(null=True))


class Receipt(SQLModel, table=True):
    """A provider's later word about an attempt, as it came; what it changed is in the attempt."""

    __tablename__ = "receipt"
    __table_args__ = (UniqueConstraint("reminder_id", "fence", "kind", "detail"),)
    id: int | None = Field(default=None, sa_column=key())
    reminder_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    fence: int = Field(sa_column=whole(default=None))
    kind: str = Field(sa_column=string())
    detail: str = Field(default="", sa_column=string(default=""))
    received_at: datetime | None = Field(default=None, sa_column=moment(default=NOW))


class Suppression(SQLModel, table=True):
    """(contact point, channel) that must not be used, and why."""

    __tablename__ = "suppression"
    __table_args__ = (one_of("reason", SuppressionReason), UniqueConstraint("contact_point_id", "channel"))
    id: int | None = Field(default=None, sa_column=key())
    contact_point_id: int = Field(sa_column=link("contact_point.id"))
    channel: str = Field(sa_column=string())
    reason: str = Field(sa_column=string())
    detail: str | None = Field(default=None, sa_column=string(null=True))
    created_at: datetime | None = Field(default=None, sa_column=moment(default=BUSINESS_NOW))


class CustomerContact(SQLModel, table=True):
    """How often a customer was written to: caps and minimum delays are counted here, under this row's lock."""

    __tablename__ = "customer_contact"
    customer_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("customer.id"), primary_key=True, autoincrement=False)
    )
    last_at: datetime = Field(sa_column=moment())
    day: date = Field(sa_column=Column(Date, nullable=False))
    day_n: int = Field(sa_column=whole())
    week: date = Field(sa_column=Column(Date, nullable=False))
    week_n: int = Field(sa_column=whole())


class ChannelRow(SQLModel, table=True):
    """A channel that some dispatcher has an adapter for. `fallback_after`: without a receipt by then the next channel
    goes, unless the step says otherwise; NULL: never."""

    __tablename__ = "channel"
    __table_args__ = (CheckConstraint("reaches IN ('email', 'phone', 'push', 'url')", name="reaches"),)
    name: str = Field(sa_column=Column(Text, primary_key=True))
    reaches: str = Field(sa_column=string())
    only_where_named: bool = Field(default=False, sa_column=flag("false"))
    discreet: bool = Field(default=False, sa_column=flag("false"))
    promises_receipts: bool = Field(default=False, sa_column=flag("false"))
    fallback_after: timedelta | None = Field(default=None, sa_column=Column(Interval, nullable=True))


class Provider(SQLModel, table=True):
    """Who carries a channel's messages, in failover order, at what price and how fast. NULL: as the dispatcher's settings
    say. `prices`: [beginning of the address, price] where it differs; `seen_at`: when a dispatcher last had it;
    `browsers`: a customer's browser can subscribe to it."""

    __tablename__ = "provider"
    __table_args__ = (
        CheckConstraint("concurrency > 0 AND rate > 0 AND timeout > 0 AND max_per_day > 0", name="limits"),
        CheckConstraint("price >= 0 AND price <> 'NaN'", name="price"),
    )
    channel: str = Field(sa_column=Column(Text, ForeignKey("channel.name"), primary_key=True))
    name: str = Field(sa_column=Column(Text, primary_key=True))
    position: int = Field(default=100, sa_column=whole(default="100"))
    own_price: Decimal = Field(sa_column=money())
    price: Decimal | None = Field(default=None, sa_column=money(null=True))
    prices: list[Any] | None = Field(default=None, sa_column=document(null=True))
    browsers: bool = Field(default=False, sa_column=flag("false"))
    concurrency: int | None = Field(default=None, sa_column=whole(default=None, null=True))
    rate: float | None = Field(default=None, sa_column=number(null=True))
    timeout: float | None = Field(default=None, sa_column=number(null=True))
    max_per_day: int | None = Field(default=None, sa_column=whole(default=None, null=True))
    seen_at: datetime | None = Field(default=None, sa_column=moment(default=NOW))


class ProviderState(SQLModel, table=True):
    """How a provider stands, for the whole deployment: its breaker, and what its limits leave. `open_until` NULL: it
    works. `probed_until`: one process tries whether it works again."""

    __tablename__ = "provider_state"
    channel: str = Field(sa_column=Column(Text, primary_key=True))
    name: str = Field(sa_column=Column(Text, primary_key=True))
    open_until: datetime | None = Field(default=None, sa_column=moment(null=True))
    cause: str | None = Field(default=None, sa_column=string(null=True))
    detail: str | None = Field(default=None, sa_column=string(null=True))
    openings: int = Field(default=0, sa_column=whole())
    probed_until: datetime | None = Field(default=None, sa_column=moment(null=True))
    tokens: float = Field(default=0.0, sa_column=number(default="0"))
    filled_at: datetime | None = Field(default=None, sa_column=moment(default=NOW))
    day: date | None = Field(default=None, sa_column=Column(Date, nullable=True))
    day_n: int = Field(default=0, sa_column=whole())


class ChannelStat(SQLModel, table=True):
    """A customer's own experience with a channel, contacts of long ago weighing less. `contacts`: how many there were."""

    __tablename__ = "channel_stat"
    customer_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("customer.id"), primary_key=True, autoincrement=False)
    )
    channel: str = Field(sa_column=Column(Text, primary_key=True))
    contacts: int = Field(sa_column=whole())
    tried: float = Field(sa_column=number())
    reached: float = Field(sa_column=number())
    asked: float = Field(sa_column=number())
    moved: float = Field(sa_column=number())


class ChannelGroup(SQLModel, table=True):
    """Everybody's experience with a channel in a country ('' where none is known): the prior of each customer's own."""

    __tablename__ = "channel_group"
    country: str = Field(sa_column=Column(Text, primary_key=True))
    channel: str = Field(sa_column=Column(Text, primary_key=True))
    tried: float = Field(sa_column=number())
    reached: float = Field(sa_column=number())
    asked: float = Field(sa_column=number())
    moved: float = Field(sa_column=number())


class ChannelFold(SQLModel, table=True):
    """The one row that says up to which attempts the experience is counted."""

    __tablename__ = "channel_fold"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)
    id: int = Field(default=1, sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    upto: datetime | None = Field(default=None, sa_column=moment(null=True))


class HttpApi(SQLModel, table=True):
    """A provider of the channel http, as an operator described it; `config` holds its secrets."""

    __tablename__ = "http_api"
    name: str = Field(sa_column=Column(Text, primary_key=True))
    config: dict[str, Any] = Field(default_factory=dict, sa_column=document())
    updated_at: datetime | None = Field(default=None, sa_column=moment(default=NOW))


class Reply(SQLModel, table=True):
    """What a customer answered. Its words are kept here and not on the timeline, so that a person can be erased."""

    __tablename__ = "reply"
    __table_args__ = (UniqueConstraint("provider", "provider_ref", "contact_point_id"),)
    id: int | None = Field(default=None, sa_column=key())
    customer_id: int = Field(sa_column=link("customer.id", index=True))
    contact_point_id: int = Field(sa_column=link("contact_point.id"))
    channel: str = Field(sa_column=string())
    provider: str = Field(sa_column=string())
    provider_ref: str = Field(sa_column=string())
    body: str = Field(sa_column=string())
    received_at: datetime | None = Field(default=None, sa_column=moment(default=BUSINESS_NOW))


class ReplanWanted(SQLModel, table=True):
    """A failure that was learnt for a cancelled reminder of this invoice: written with the failure itself, gone when
    the invoice was told. No foreign key, whose check would lock the invoice after the reminder."""

    __tablename__ = "replan_wanted"
    id: int | None = Field(default=None, sa_column=key())
    invoice_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    at: datetime | None = Field(default=None, sa_column=moment(default=NOW))


class BounceMail(SQLModel, table=True):
    """A mail that came back and that nobody understands: kept and shown, never lost, never answered. `recipient` names the
    attempt that it came back for, else the address that it came to."""

    __tablename__ = "bounce_mail"
    id: int | None = Field(default=None, sa_column=key())
    recipient: str = Field(sa_column=string())
    detail: str = Field(sa_column=string())
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    received_at: datetime | None = Field(default=None, sa_column=moment(default=NOW))


class TemplateVersion(SQLModel, table=True):
    """An immutable version of an operator's text for a message on a channel in a language. `html` is ready to be
    filled, `source` what was written where that differs (MJML, a style sheet). `withdrawn`: from this version on there
    is none; it repeats the last one's words, for processes that do not know the word."""

    __tablename__ = "template_version"
    __table_args__ = (UniqueConstraint("name", "channel", "locale", "version"),)
    id: int | None = Field(default=None, sa_column=key())
    name: str = Field(sa_column=string())
    channel: str = Field(sa_column=string())
    locale: str = Field(sa_column=string())
    version: int = Field(sa_column=whole(default=None))
    subject: str = Field(sa_column=string())
    body: str = Field(sa_column=string())
    html: str | None = Field(default=None, sa_column=string(null=True))
    source: dict[str, Any] = Field(default_factory=dict, sa_column=document())
    created_at: datetime | None = Field(default=None, sa_column=moment(default=NOW))
    withdrawn: bool = Field(default=False, sa_column=flag("false"))


class PictureVersion(SQLModel, table=True):
    """An immutable version of a picture that mails carry: `digest` is the SHA-256 of `content`. `withdrawn`: from this
    version on there is none; it repeats the last one's content. `creditor.logo` names one."""

    __tablename__ = "picture_version"
    __table_args__ = (
        UniqueConstraint("name", "version"),
        CheckConstraint("media_type IN ('image/png', 'image/jpeg', 'image/gif')", name="media_type"),
        CheckConstraint("octet_length(content) BETWEEN 1 AND 262144", name="size"),
    )
    id: int | None = Field(default=None, sa_column=key())
    name: str = Field(sa_column=string())
    version: int = Field(sa_column=whole(default=None))
    media_type: str = Field(sa_column=string())
    width: int = Field(sa_column=whole(default=None))
    height: int = Field(sa_column=whole(default=None))
    digest: str = Field(sa_column=string())
    content: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: datetime | None = Field(default=None, sa_column=moment(default=NOW))
    withdrawn: bool = Field(default=False, sa_column=flag("false"))


# --- money (written by payments)
# -----------------------------------------------------------------------------------------------


class Source(SQLModel, table=True):
    """How a payment source speaks. `config` holds its secrets: readable by payments alone."""

    __tablename__ = "source"
    id: int | None = Field(default=None, sa_column=key())
    ref: str = Field(sa_column=string(unique=True))
    kind: str = Field(sa_column=string())
    config: dict[str, Any] = Field(default_factory=dict, sa_column=document())
    updated_at: datetime | None = Field(default=None, sa_column=moment(default=NOW))


class StatementFile(SQLModel, table=True):
    """A file that waits in a folder or a bucket (see payments' store/statement_files.py). `due_at`: not read before; while
    one reads it, when it may be another's; `ended`, `said`: what became of it. One that was moved away has no row."""

    __tablename__ = "statement_file"
    __table_args__ = (
        UniqueConstraint("source_id", "place", "name", "version"),
        CheckConstraint("place IN ('folder', 'bucket')", name="place"),
        CheckConstraint("ended IN ('booked', 'refused')", name="ended"),
        CheckConstraint("(done_at IS NULL) = (ended IS NULL)", name="done"),
        Index("ix_statement_file_due", "source_id", "place", "due_at", postgresql_where=text("done_at IS NULL")),
    )
    id: int | None = Field(default=None, sa_column=key())
    source_id: int = Field(sa_column=Column(BigInteger, ForeignKey("source.id", ondelete="CASCADE"), nullable=False))
    place: str = Field(sa_column=string())
    name: str = Field(sa_column=string())
    version: str = Field(sa_column=string())
    tries: int = Field(default=0, sa_column=whole())
    seen_at: datetime | None = Field(default=None, sa_column=moment(default=NOW))
    due_at: datetime | None = Field(default=None, sa_column=moment(default=NOW))
    done_at: datetime | None = Field(default=None, sa_column=moment(null=True))
    ended: str | None = Field(default=None, sa_column=string(null=True))
    said: str | None = Field(default=None, sa_column=string(null=True))


class Checkout(SQLModel, table=True):
    """A page at a provider that may still take `amount` for an invoice. One that cannot any more has no row."""

    __tablename__ = "checkout"
    session: str = Field(sa_column=Column(Text, primary_key=True))
    source_id: int = Field(sa_column=Column(BigInteger, ForeignKey("source.id", ondelete="CASCADE"), nullable=False))
    invoice_id: int = Field(sa_column=link("invoice.id"))
    amount: Decimal = Field(sa_column=money())
    opened_at: datetime | None = Field(default=None, sa_column=moment(default=NOW))


class PaymentEvent(SQLModel, table=True):
    """What a source said about a payment, once. A payment is the fold over its events, whatever their order."""

    __tablename__ = "payment_event"
    __table_args__ = (
        UniqueConstraint("source_id", "payment_ref", "kind", "event_ref"),
        CheckConstraint("kind IN ('confirmed', 'pending', 'failed', 'reversed')", name="kind"),
        CheckConstraint("amount IS NULL OR (amount > 0 AND amount <> 'NaN')", name="amount"),
        Index("ix_payment_event_evidence", "received_at", postgresql_where=text("body IS NOT NULL")),
        Index("ix_payment_event_reversed", "received_at", postgresql_where=text("kind = 'reversed'")),
    )
    id: int | None = Field(default=None, sa_column=key())
    source_id: int = Field(sa_column=link("source.id"))
    payment_ref: str = Field(sa_column=string())
    kind: str = Field(sa_column=string())
    event_ref: str = Field(sa_column=string())
    amount: Decimal | None = Field(default=None, sa_column=money(null=True))
    currency: str | None = Field(default=None, sa_column=string(null=True))
    invoice_ref: str | None = Field(default=None, sa_column=string(null=True))
    installment_no: int | None = Field(default=None, sa_column=whole(default=None, null=True))
    reference: str | None = Field(default=None, sa_column=string(null=True))
    paid_at: datetime | None = Field(default=None, sa_column=moment(null=True))
    payer: dict[str, Any] | None = Field(default=None, sa_column=document(null=True))
    body: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    received_at: datetime | None = Field(default=None, sa_column=moment(default=NOW))


class Payment(SQLModel, table=True):
    """Money that came. `amount` is what counts of it now: confirmed less reversed, never below 0. `in_flight_until`:
    announced only, and until when reminders wait for it. `remittance`: what the payer wrote."""

    __tablename__ = "payment"
    __table_args__ = (
        UniqueConstraint("source_id", "payment_ref"),
        CheckConstraint("amount >= 0 AND amount <> 'NaN'", name="amount"),
        CheckConstraint("allocated >= 0 AND allocated <= amount", name="allocated"),
        Index("ix_payment_invoice_ref", "invoice_ref"),
        Index("ix_payment_reference", "reference", postgresql_where=text("invoice_id IS NULL")),
        Index("ix_payment_unmatched", "id", postgresql_where=text("allocated < amount")),
        Index("ix_payment_invoice", "invoice_id"),
        Index("ix_payment_polled", "invoice_id", postgresql_where=text("says_paid IS NOT NULL")),
        Index(
            "ix_payment_payer_iban",
            text("(payer ->> 'iban')"),
            postgresql_where=text("invoice_id IS NOT NULL AND payer ? 'iban'"),
        ),
        Index("ix_payment_end_to_end", text("(payer ->> 'end_to_end')"), postgresql_where=text("payer ? 'end_to_end'")),
    )
    id: int | None = Field(default=None, sa_column=key())
    source_id: int = Field(sa_column=link("source.id"))
    payment_ref: str = Field(sa_column=string())
    amount: Decimal = Field(sa_column=money())
    allocated: Decimal = Field(default=Decimal(0), sa_column=money(default="0"))
    currency: str | None = Field(default=None, sa_column=string(null=True))
    invoice_id: int | None = Field(default=None, sa_column=link("invoice.id", null=True))
    invoice_ref: str | None = Field(default=None, sa_column=string(null=True))
    installment_no: int | None = Field(default=None, sa_column=whole(default=None, null=True))
    reference: str | None = Field(default=None, sa_column=string(null=True))
    unmatched_reason: str | None = Field(default=None, sa_column=string(null=True))
    paid_at: datetime | None = Field(default=None, sa_column=moment(null=True))
    payer: dict[str, Any] | None = Field(default=None, sa_column=document(null=True))
    created_at: datetime | None = Field(default=None, sa_column=moment(default=BUSINESS_NOW))
    remittance: str | None = Field(default=None, sa_column=string(null=True))
    in_flight_until: datetime | None = Field(default=None, sa_column=moment(null=True))
    # Of a polled source: all that it says was paid of the invoice; `amount` is what no other payment explains.
    says_paid: Decimal | None = Field(default=None, sa_column=money(null=True))


class Allocation(SQLModel, table=True):
    """The part of a payment that is matched to an installment."""

    __tablename__ = "allocation"
    __table_args__ = (
        CheckConstraint("amount > 0 AND amount <> 'NaN'", name="amount"),
        Index("ix_allocation_installment", "installment_id"),
    )
    payment_id: int = Field(sa_column=Column(BigInteger, ForeignKey("payment.id"), primary_key=True))
    installment_id: int = Field(sa_column=Column(BigInteger, ForeignKey("installment.id"), primary_key=True))
    amount: Decimal = Field(sa_column=money())


class PaymentCheck(SQLModel, table=True):
    """The one row that says how fresh the word of a polled source has to be before a reminder goes (NULL: nobody can be
    asked), and which process asks ahead."""

    __tablename__ = "payment_check"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)
    id: int = Field(default=1, sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    fresh_for: timedelta | None = Field(default=None, sa_column=Column(Interval, nullable=True))
    asker: str | None = Field(default=None, sa_column=string(null=True))
    asks_until: datetime | None = Field(default=None, sa_column=moment(null=True))


# --- what the ERP is told (written by payments)
# --------------------------------------------------------------------------------


class WebhookEndpoint(SQLModel, table=True):
    """Where events go. `secrets`: [{secret, until}], the current one first; readable by payments alone. `failing_since`:
    the first failure after the last success; `failures` in a row since then."""

    __tablename__ = "webhook_endpoint"
    id: int | None = Field(default=None, sa_column=key())
    url: str = Field(sa_column=string())
    events: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text), nullable=True))
    description: str | None = Field(default=None, sa_column=string(null=True))
    secrets: list[Any] = Field(sa_column=Column(JSONB, nullable=False))
    created_at: datetime | None = Field(default=None, sa_column=moment(default=NOW))
    disabled_at: datetime | None = Field(default=None, sa_column=moment(null=True))
    disabled_reason: str | None = Field(default=None, sa_column=string(null=True))
    failing_since: datetime | None = Field(default=None, sa_column=moment(null=True))
    failures: int = Field(default=0, sa_column=whole())
    retry_at: datetime | None = Field(default=None, sa_column=moment(null=True))


class OutboundEvent(SQLModel, table=True):
    """What is announced, derived once from an `event` (none: a test). `lane`: what it is ordered within, an invoice's id
    or a customer's below zero; NULL: nothing. Refs, codes and amounts; no names, no addresses."""

    __tablename__ = "outbound_event"
    __table_args__ = (
        UniqueConstraint("event_id", "type"),
        Index("ix_outbound_event_created", "created_at"),
    )
    id: int | None = Field(default=None, sa_column=key())
    event_id: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    type: str = Field(sa_column=string())
    at: datetime = Field(sa_column=moment())
    lane: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    data: dict[str, Any] = Field(default_factory=dict, sa_column=document())
    created_at: datetime | None = Field(default=None, sa_column=moment(default=NOW))


class OutboundDelivery(SQLModel, table=True):
    """An event on its way to an endpoint. While one is pending, later ones of its lane wait. `due_at` is also the lease
    of whoever sends it now; `log`: the last tries."""

    __tablename__ = "outbound_delivery"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'delivered', 'failed')", name="state"),
        CheckConstraint("(state = 'pending') = (ended_at IS NULL)", name="ended"),
        Index("ix_outbound_delivery_due", "endpoint_id", "due_at", postgresql_where=text("state = 'pending'")),
        Index(
            "ix_outbound_delivery_lane",
            "endpoint_id",
            "lane",
            "outbound_event_id",
            postgresql_where=text("state = 'pending'"),
        ),
    )
    endpoint_id: int = Field(
        sa_column=Column(
            BigInteger, ForeignKey("webhook_endpoint.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
        )
    )
    outbound_event_id: int = Field(
        sa_column=Column(
            BigInteger, ForeignKey("outbound_event.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
        )
    )
    lane: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    state: str = Field(default="pending", sa_column=string(default="pending"))
    due_at: datetime | None = Field(default=None, sa_column=moment(default=NOW))
    first_at: datetime | None = Field(default=None, sa_column=moment(null=True))
    ended_at: datetime | None = Field(default=None, sa_column=moment(null=True))
    tries: int = Field(default=0, sa_column=whole())
    log: list[Any] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False, server_default="[]"))


class OutboundCursor(SQLModel, table=True):
    """The one row that says how far the timeline was read: every `event` up to `read_to` was announced if it is to be.
    `mark` becomes the next `read_to` once the transactions `writers`, which wrote when it was set, have ended."""

    __tablename__ = "outbound_cursor"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)
    id: int = Field(default=1, sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    read_to: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    mark: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    writers: list[str] = Field(
        default_factory=list, sa_column=Column(ARRAY(Text), nullable=False, server_default=text("'{}'"))
    )


# --- all services
# --------------------------------------------------------------------------------------------------------------


class Event(SQLModel, table=True):
    """The timeline and the audit trail: append only. Kind + ids, codes, amounts; no names, no addresses. Text is made
    when read."""

    __tablename__ = "event"
    __table_args__ = (
        Index("ix_event_invoice", "invoice_id", "id"),
        Index("ix_event_customer", "customer_id", "id", postgresql_where=text("customer_id IS NOT NULL")),
    )
    id: int | None = Field(default=None, sa_column=key())
    at: datetime | None = Field(default=None, sa_column=moment(default=BUSINESS_NOW))
    invoice_id: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    customer_id: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    reminder_id: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    kind: str = Field(sa_column=string())
    data: dict[str, Any] = Field(default_factory=dict, sa_column=document())


class ApiKey(SQLModel, table=True):
    """A key's SHA-256, never the key."""

    __tablename__ = "api_key"
    id: int | None = Field(default=None, sa_column=key())
    name: str = Field(sa_column=string())
    key_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False, unique=True))
    scopes: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    created_at: datetime | None = Field(default=None, sa_column=moment(default=NOW))
    revoked_at: datetime | None = Field(default=None, sa_column=moment(null=True))


class Idempotency(SQLModel, table=True):
    """The answer given to an Idempotency-Key, stored in the effect's own transaction."""

    __tablename__ = "idempotency"
    owner: str = Field(sa_column=Column(Text, primary_key=True))
    key: str = Field(sa_column=Column(Text, primary_key=True))
    route: str = Field(sa_column=string())
    body_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    status: int | None = Field(default=None, sa_column=whole(default=None, null=True))
    response: dict[str, Any] | None = Field(default=None, sa_column=document(null=True))
    created_at: datetime | None = Field(default=None, sa_column=moment(default=NOW))


class BusinessClock(SQLModel, table=True):
    """The one row that shifts business time: 0 in production; the sandbox moves it, for all processes, over
    restarts."""

    __tablename__ = "business_clock"
    __table_args__ = (
        CheckConstraint("id = 1", name="one_row"),
        CheckConstraint("ahead >= interval '0'", name="forward"),
    )
    id: int = Field(default=1, sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    ahead: timedelta = Field(sa_column=Column(Interval, nullable=False, server_default=text("'0'")))
