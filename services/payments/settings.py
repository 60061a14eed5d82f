"""The settings of payments alone; what all services share is in shared/settings.py."""

from decimal import Decimal

from pydantic import Field

from shared.settings import Settings


class PaymentsSettings(Settings):
    """`DUNNOCK_RECONCILE_SECONDS`, `DUNNOCK_PENDING_HOLD_DAYS` and what else is below."""

    reconcile_seconds: float = Field(
        60.0, gt=0, le=3600, description="seconds between two looks for payments without their invoice"
    )
    check_poll: float = Field(
        0.5, gt=0, le=60, description="seconds between two looks for reminders of which a polled source has to be asked"
    )
    announce_poll: float = Field(
        0.5, gt=0, le=60, description="seconds between two looks for what webhook endpoints have to be told"
    )
    announce_timeout: float = Field(10.0, gt=0, le=30, description="seconds that a webhook endpoint has for its answer")
    keep_announcements_days: int = Field(
        30, ge=6, le=365, description="days for which outgoing events can be replayed and their deliveries looked up"
    )
    keep_answers_days: int = Field(3, ge=1, le=365, description="days for which an Idempotency-Key is remembered")
    pending_hold_days: float = Field(
        5.0, ge=0, le=60, description="days for which a payment under way holds reminders at most; 0: not at all"
    )
    match_threshold: Decimal = Field(
        Decimal("0.90"), ge=Decimal("0.5"), le=1, description="confidence from which a transfer is matched by itself"
    )
    match_fees: Decimal = Field(
        Decimal("5.00"), ge=0, le=100, description="what a bank may keep of a transfer that still counts as the whole"
    )
    statements_folder: str = Field("", description="folder where statement files are put to be booked; empty: none")
    statements_poll: float = Field(
        10.0, gt=0, le=3600, description="seconds between two looks into that folder and the buckets of sources"
    )
    keep_evidence_days: int = Field(
        400, ge=1, le=3660, description="days for which the body of a webhook or statement entry is kept as evidence"
    )
    pay_link_days: int = Field(
        90, ge=1, le=3660, description="days for which a pay page can be opened after there is nothing more to pay"
    )
    said_paid_days: int = Field(
        5, ge=1, le=60, description="days without reminders after a customer says on the pay page: I have paid"
    )
    said_paid_times: int = Field(2, ge=0, le=100, description="times a customer may say so of an invoice")
    promise_days: int = Field(30, ge=1, le=366, description="days ahead that a customer may promise to pay on the page")
    promise_dates: int = Field(3, ge=1, le=4, description="dates that a promise on the pay page may name")
    promise_times: int = Field(2, ge=0, le=100, description="promises a customer may make of an invoice on the page")
    dispute_days: int = Field(30, ge=1, le=366, description="days that a dispute raised on the pay page lasts")
    dispute_times: int = Field(2, ge=0, le=100, description="disputes a customer may raise of an invoice on the page")
    page_actions: int = Field(20, ge=1, le=1000, description="things a customer may say of an invoice in 24 hours")
