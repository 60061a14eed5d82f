"""The settings of payments alone; what all services share is in shared/settings.py."""

from pydantic import Field

from shared.settings import Settings


class PaymentsSettings(Settings):
    """`DUNNOCK_RECONCILE_SECONDS`, `DUNNOCK_PENDING_HOLD_DAYS` and what else is below."""

    reconcile_seconds: float = Field(
        60.0, gt=0, le=3600, description="seconds between two looks for payments without their invoice"
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
    keep_evidence_days: int = Field(
        400, ge=1, le=3660, description="days for which the body of a webhook or statement entry is kept as evidence"
    )
