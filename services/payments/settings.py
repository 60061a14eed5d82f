"""The settings of payments alone; what all services share is in shared/settings.py."""

from pydantic import Field

from shared.settings import Settings


class PaymentsSettings(Settings):
    """`DUNNOCK_RECONCILE_SECONDS`, `DUNNOCK_KEEP_ANSWERS_DAYS`."""

    reconcile_seconds: float = Field(
        60.0, gt=0, le=3600, description="seconds between two looks for payments without their invoice"
    )
    keep_answers_days: int = Field(3, ge=1, le=365, description="days for which an Idempotency-Key is remembered")
