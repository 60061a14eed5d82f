"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """`celery_mails` may be fewer than `mails`: what is compared is a rate."""

    mails: int = 10_000
    repeats: int = 3
    celery_mails: int = 2_000
    celery_repeats: int = 2
    few_pending: int = 10_000
    many_pending: int = 1_000_000
    due_repeats: int = 5
    webhooks: int = 2_000
    webhook_repeats: int = 3
    import_lines: int = 50_000
    statement_entries: int = 5_000
    statement_repeats: int = 3
    few_invoices: int = 10_000
    many_invoices: int = 1_000_000
    dry_run_invoices: int = 100_000
    longest: int = 900  # seconds until something must hang; an idle machine needs a third


SMALL = Sizes()
FULL = Sizes(
    repeats=5,
    celery_mails=10_000,
    celery_repeats=2,
    many_pending=5_000_000,
    webhooks=5_000,
    webhook_repeats=5,
    import_lines=500_000,
    statement_entries=25_000,
    longest=3600,
)
