"""Fewer and narrower indices on what every reminder writes; see `sought` in ledger.sql."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SOUGHT = "CASE WHEN state IN ('pending', 'queued', 'uncertain') THEN state END"


def upgrade() -> None:
    op.execute(f"ALTER TABLE reminder ADD COLUMN sought text GENERATED ALWAYS AS ({SOUGHT}) STORED")
    op.execute("ALTER TABLE reminder SET (fillfactor = 70)")
    for name in ("due", "queued", "lease", "uncertain"):
        op.drop_index(f"ix_reminder_{name}", "reminder")
    op.execute("CREATE INDEX ix_reminder_due ON reminder (due_at, id) WHERE sought = 'pending'")
    op.execute("CREATE INDEX ix_reminder_queued ON reminder (queued_at) WHERE sought = 'queued'")
    op.execute("CREATE INDEX ix_reminder_uncertain ON reminder (id) WHERE sought = 'uncertain'")
    op.drop_index("ix_attempt_unknown", "attempt")
    op.drop_index("ix_attempt_provider_ref", "attempt")
    op.drop_constraint("fk_attempt_reminder_id", "attempt", type_="foreignkey")
