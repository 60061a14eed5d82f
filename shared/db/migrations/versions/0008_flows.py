"""What flows and texts remember."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


PLACE_HOLD = "text, bigint, bigint, text, numeric, timestamptz, interval, timestamptz"


def upgrade() -> None:
    op.add_column(
        "template_version", sa.Column("withdrawn", sa.Boolean, nullable=False, server_default=sa.text("false"))
    )
    op.add_column("attempt", sa.Column("wording", sa.Text))
    op.execute("DROP FUNCTION IF EXISTS hasten(bigint, integer, timestamptz)")  # it takes all that ride on a call
    op.execute(f"DROP FUNCTION IF EXISTS place_hold({PLACE_HOLD})")  # place_stop does it
    op.add_column("reminder", sa.Column("on_unknown", sa.Text))
    op.create_check_constraint(op.f("ck_reminder_on_unknown"), "reminder", "on_unknown IN ('hold', 'send')")
    op.add_column("installment", sa.Column("unknown_at", sa.DateTime(timezone=True)))
    op.execute("DROP FUNCTION IF EXISTS unchecked(bigint, bigint, interval, timestamptz)")  # it asks for on_unknown too
