"""What payment sources, statements, matching and polling need."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

HOLD_KINDS = "'hold', 'promise', 'dispute', 'backlog', 'in_flight', 'said_paid'"


def plain(column: str) -> sa.TextClause:
    return sa.text(f"upper(regexp_replace({column}, '[^A-Za-z0-9]', '', 'g'))")


def upgrade() -> None:
    _statements_and_matching()


def _statements_and_matching() -> None:
    op.drop_constraint("ck_hold_kind", "hold")
    op.create_check_constraint(op.f("ck_hold_kind"), "hold", f"kind IN ({HOLD_KINDS})")
    op.drop_constraint("ck_payment_event_kind", "payment_event")
    op.create_check_constraint(
        op.f("ck_payment_event_kind"), "payment_event", "kind IN ('confirmed', 'pending', 'failed', 'reversed')"
    )
    op.add_column("payment", sa.Column("remittance", sa.Text(), nullable=True))
    op.add_column("payment", sa.Column("in_flight_until", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_invoice_plain_reference", "invoice", [plain("payment_reference")])
    op.create_index("ix_invoice_plain_number", "invoice", [plain("number")])
    op.create_index("ix_customer_plain_name", "customer", [plain("name")])
    op.create_index("ix_installment_open", "installment", ["open_amount"], postgresql_where=sa.text("open_amount > 0"))
    op.create_index(
        "ix_payment_event_evidence", "payment_event", ["received_at"], postgresql_where=sa.text("body IS NOT NULL")
    )
    op.create_index(
        "ix_payment_payer_iban",
        "payment",
        [sa.text("(payer ->> 'iban')")],
        postgresql_where=sa.text("invoice_id IS NOT NULL AND payer ? 'iban'"),
    )
    op.create_index(
        "ix_payment_end_to_end",
        "payment",
        [sa.text("(payer ->> 'end_to_end')")],
        postgresql_where=sa.text("payer ? 'end_to_end'"),
    )
