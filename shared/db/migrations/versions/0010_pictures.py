"""Pictures that mails carry with them."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


PICTURE_VERSION = """
CREATE TABLE picture_version (
  id bigint GENERATED ALWAYS AS IDENTITY,
  name text NOT NULL,
  version integer NOT NULL,
  media_type text NOT NULL,
  width integer NOT NULL,
  height integer NOT NULL,
  digest text NOT NULL,
  content bytea NOT NULL,
  created_at timestamptz DEFAULT clock_timestamp() NOT NULL,
  withdrawn boolean DEFAULT false NOT NULL,
  CONSTRAINT pk_picture_version PRIMARY KEY (id),
  CONSTRAINT uq_picture_version_name_version UNIQUE (name, version),
  CONSTRAINT ck_picture_version_media_type CHECK (media_type IN ('image/png', 'image/jpeg', 'image/gif')),
  CONSTRAINT ck_picture_version_size CHECK (octet_length(content) BETWEEN 1 AND 262144)
)
"""


def upgrade() -> None:
    op.execute(PICTURE_VERSION)
    op.add_column("creditor", sa.Column("logo", sa.Text))
