"""How much is measured, and how often."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """`celery_mails` may be fewer than `mails`, because what is compared is a rate, and Celery's is the same for both; `one_core_mails`
    too, of which only the CPU is compared. `joined_invoices`:
    of the dry run with one message for all: as many as of the dry run without, or a fifth."""

    mails: int = 10_000
    one_core_mails: int = 5_000
    repeats: int = 3
    celery_mails: int = 400
    mixed_mails: int = 2_500
    mixed_repeats: int = 5
    few_pending: int = 10_000
    many_pending: int = 1_000_000
    due_repeats: int = 5
    webhooks: int = 1_500
    webhook_repeats: int = 3
    import_lines: int = 50_000
    statement_entries: int = 2_000
    statement_repeats: int = 3
    few_invoices: int = 10_000
    many_invoices: int = 1_000_000
    dry_run_invoices: int = 100_000
    joined_invoices: int = 20_000
    longest: int = 1800  # seconds until something must hang; an idle machine needs a seventh


SMALL = Sizes()
FULL = Sizes(
    one_core_mails=10_000,
    repeats=5,
    celery_mails=3_000,
    mixed_mails=10_000,
    many_pending=5_000_000,
    webhooks=5_000,
    import_lines=500_000,
    statement_entries=10_000,
    joined_invoices=100_000,
    longest=7200,
)
SMOKE = Sizes(
    mails=200,
    one_core_mails=200,
    repeats=1,
    celery_mails=20,
    mixed_mails=100,
    mixed_repeats=1,
    few_pending=200,
    many_pending=2_000,
    due_repeats=1,
    webhooks=40,
    webhook_repeats=1,
    import_lines=500,
    statement_entries=100,
    statement_repeats=1,
    few_invoices=200,
    many_invoices=2_000,
    dry_run_invoices=500,
    joined_invoices=100,
)
