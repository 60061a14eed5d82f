"""What outgoing events need, and the check of payments before a reminder goes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def moment(name: str, *, null: bool = False, default: bool = False) -> sa.Column[object]:
    made_now = sa.text("clock_timestamp()") if default else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=made_now, nullable=null)


def upgrade() -> None:
    op.create_table(
        "webhook_endpoint",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("secrets", postgresql.JSONB(), nullable=False),
        moment("created_at", default=True),
        moment("disabled_at", null=True),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        moment("failing_since", null=True),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        moment("retry_at", null=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoint")),
    )
    op.create_table(
        "outbound_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        moment("at"),
        sa.Column("lane", sa.BigInteger(), nullable=True),
        sa.Column("data", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        moment("created_at", default=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbound_event")),
        sa.UniqueConstraint("event_id", "type", name=op.f("uq_outbound_event_event_id_type")),
    )
    op.create_index("ix_outbound_event_created", "outbound_event", ["created_at"])
    op.create_table(
        "outbound_delivery",
        sa.Column("endpoint_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("outbound_event_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("lane", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        moment("due_at", default=True),
        moment("first_at", null=True),
        moment("ended_at", null=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("log", postgresql.JSONB(), server_default="[]", nullable=False),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'failed')", name=op.f("ck_outbound_delivery_state")),
        sa.CheckConstraint("(state = 'pending') = (ended_at IS NULL)", name=op.f("ck_outbound_delivery_ended")),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["webhook_endpoint.id"],
            name=op.f("fk_outbound_delivery_endpoint_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["outbound_event_id"],
            ["outbound_event.id"],
            name=op.f("fk_outbound_delivery_outbound_event_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("endpoint_id", "outbound_event_id", name=op.f("pk_outbound_delivery")),
    )
    pending = sa.text("state = 'pending'")
    op.create_index(
        "ix_outbound_delivery_due", "outbound_delivery", ["endpoint_id", "due_at"], postgresql_where=pending
    )
    op.create_index(
        "ix_outbound_delivery_lane",
        "outbound_delivery",
        ["endpoint_id", "lane", "outbound_event_id"],
        postgresql_where=pending,
    )
    op.create_table(
        "outbound_cursor",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("read_to", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("mark", sa.BigInteger(), nullable=True),
        sa.Column("writers", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_outbound_cursor_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbound_cursor")),
    )
    op.execute("INSERT INTO outbound_cursor (id) VALUES (1)")
    op.create_table(
        "payment_check",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("fresh_for", sa.Interval(), nullable=True),
        sa.Column("asker", sa.Text(), nullable=True),
        moment("asks_until", null=True),
        sa.CheckConstraint("id = 1", name=op.f("ck_payment_check_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_check")),
    )
    op.execute("INSERT INTO payment_check (id) VALUES (1)")
    op.add_column("installment", moment("waived_at", null=True))
    op.add_column("payment", sa.Column("says_paid", sa.Numeric(19, 4), nullable=True))
    op.create_index("ix_payment_polled", "payment", ["invoice_id"], postgresql_where=sa.text("says_paid IS NOT NULL"))
