"""What the sending side remembers."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


REPLAN_WANTED = """
CREATE TABLE replan_wanted (
  id bigint GENERATED ALWAYS AS IDENTITY,
  invoice_id bigint NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT pk_replan_wanted PRIMARY KEY (id)
)
"""


def upgrade() -> None:
    op.execute(REPLAN_WANTED)
