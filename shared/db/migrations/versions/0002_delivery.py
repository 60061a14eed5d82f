"""What the channels, their providers and their experience need."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


REPLY = (
    """
CREATE TABLE reply (
  id bigint GENERATED ALWAYS AS IDENTITY, customer_id bigint NOT NULL, contact_point_id bigint NOT NULL, channel text NOT NULL,
  provider text NOT NULL, provider_ref text NOT NULL, body text NOT NULL, received_at timestamptz DEFAULT business_now() NOT NULL,
  CONSTRAINT pk_reply PRIMARY KEY (id), CONSTRAINT fk_reply_customer_id FOREIGN KEY (customer_id) REFERENCES customer (id),
  CONSTRAINT fk_reply_contact_point_id FOREIGN KEY (contact_point_id) REFERENCES contact_point (id),
  CONSTRAINT uq_reply_provider_provider_ref_contact_point_id UNIQUE (provider, provider_ref, contact_point_id)
)
""",
    "CREATE INDEX ix_reply_customer_id ON reply (customer_id)",
    "CREATE INDEX ix_contact_point_phone ON contact_point (address) WHERE kind = 'phone'",
)
CHANGED = (
    "record(timestamptz, bigint[], integer[], text[], text[], text[], interval[], text[], interval[], integer, integer, integer)",
    "receive(timestamptz, bigint[], integer[], text[], text[], text[], interval, integer)",
)


def upgrade() -> None:
    for statement in REPLY:
        op.execute(statement)
    for function in CHANGED:
        op.execute(f"DROP FUNCTION IF EXISTS {function}")
