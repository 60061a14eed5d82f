"""What the customer is spared, how callers are known, and which statement files were picked up."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

STATEMENT_FILE = """
CREATE TABLE statement_file (
  id bigint GENERATED ALWAYS AS IDENTITY,
  source_id bigint NOT NULL,
  place text NOT NULL,
  name text NOT NULL,
  version text NOT NULL,
  tries integer NOT NULL DEFAULT 0,
  seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  done_at timestamptz,
  ended text,
  said text,
  CONSTRAINT pk_statement_file PRIMARY KEY (id),
  CONSTRAINT fk_statement_file_source_id FOREIGN KEY (source_id) REFERENCES source (id) ON DELETE CASCADE,
  CONSTRAINT uq_statement_file_source_id_place_name_version UNIQUE (source_id, place, name, version),
  CONSTRAINT ck_statement_file_place CHECK (place IN ('folder', 'bucket')),
  CONSTRAINT ck_statement_file_ended CHECK (ended IN ('booked', 'refused')),
  CONSTRAINT ck_statement_file_done CHECK ((done_at IS NULL) = (ended IS NULL))
)
"""

WRITTEN_OFF = """
ALTER TABLE installment
  ADD COLUMN written_off numeric(19, 4) NOT NULL DEFAULT '0',
  ADD CONSTRAINT ck_installment_written_off CHECK (written_off >= 0 AND written_off <> 'NaN'),
  DROP COLUMN open_amount
"""
OPEN_AMOUNT = """
ALTER TABLE installment ADD COLUMN open_amount numeric(19, 4) NOT NULL
  GENERATED ALWAYS AS (greatest(0, amount - credited - allocated - written_off)) STORED
"""


def upgrade() -> None:
    op.execute(STATEMENT_FILE)
    op.execute("CREATE INDEX ix_statement_file_due ON statement_file (source_id, place, due_at) WHERE done_at IS NULL")
    op.execute("CREATE INDEX ix_payment_event_reversed ON payment_event (received_at) WHERE kind = 'reversed'")
    op.execute(WRITTEN_OFF)
    op.execute(OPEN_AMOUNT)
    op.execute("CREATE INDEX ix_installment_open ON installment (open_amount) WHERE open_amount > 0")
    op.execute("ALTER TABLE provider ADD COLUMN browsers boolean NOT NULL DEFAULT false")
