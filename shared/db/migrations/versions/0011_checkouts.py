"""Checkout sessions that were opened, so that they can be expired."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

CHECKOUT = """
CREATE TABLE checkout (
  session text NOT NULL,
  source_id bigint NOT NULL,
  invoice_id bigint NOT NULL,
  amount numeric(19, 4) NOT NULL,
  opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT pk_checkout PRIMARY KEY (session),
  CONSTRAINT fk_checkout_source_id FOREIGN KEY (source_id) REFERENCES source (id) ON DELETE CASCADE,
  CONSTRAINT fk_checkout_invoice_id FOREIGN KEY (invoice_id) REFERENCES invoice (id)
)
"""


def upgrade() -> None:
    op.execute(CHECKOUT)
