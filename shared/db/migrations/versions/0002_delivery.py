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
PROVIDERS = (
    """
CREATE TABLE channel (
  name text NOT NULL, reaches text NOT NULL, only_where_named boolean DEFAULT false NOT NULL, discreet boolean DEFAULT false NOT NULL,
  promises_receipts boolean DEFAULT false NOT NULL, fallback_after interval, CONSTRAINT pk_channel PRIMARY KEY (name),
  CONSTRAINT ck_channel_reaches CHECK (reaches IN ('email', 'phone', 'push', 'url'))
)
""",
    """
CREATE TABLE provider (
  channel text NOT NULL, name text NOT NULL, position integer DEFAULT 100 NOT NULL, own_price numeric(19,4) NOT NULL,
  price numeric(19,4), prices jsonb, concurrency integer, rate double precision, timeout double precision, max_per_day integer,
  seen_at timestamptz DEFAULT clock_timestamp() NOT NULL, CONSTRAINT pk_provider PRIMARY KEY (channel, name),
  CONSTRAINT fk_provider_channel FOREIGN KEY (channel) REFERENCES channel (name),
  CONSTRAINT ck_provider_limits CHECK (concurrency > 0 AND rate > 0 AND timeout > 0 AND max_per_day > 0),
  CONSTRAINT ck_provider_price CHECK (price >= 0 AND price <> 'NaN')
)
""",
    """
CREATE TABLE provider_state (
  channel text NOT NULL, name text NOT NULL, open_until timestamptz, cause text, detail text, openings integer DEFAULT 0 NOT NULL,
  probed_until timestamptz, tokens double precision DEFAULT '0'::double precision NOT NULL, filled_at timestamptz DEFAULT clock_timestamp() NOT NULL,
  day date, day_n integer DEFAULT 0 NOT NULL, CONSTRAINT pk_provider_state PRIMARY KEY (channel, name)
)
""",
)
HTTP_APIS = (
    """
CREATE TABLE http_api (
  name text NOT NULL, config jsonb DEFAULT '{}'::jsonb NOT NULL, updated_at timestamptz DEFAULT clock_timestamp() NOT NULL,
  CONSTRAINT pk_http_api PRIMARY KEY (name)
)
""",
)
EXPERIENCE = (
    """
CREATE TABLE channel_stat (
  customer_id bigint NOT NULL, channel text NOT NULL, contacts integer DEFAULT 0 NOT NULL, tried double precision NOT NULL,
  reached double precision NOT NULL, asked double precision NOT NULL, moved double precision NOT NULL,
  CONSTRAINT pk_channel_stat PRIMARY KEY (customer_id, channel),
  CONSTRAINT fk_channel_stat_customer_id FOREIGN KEY (customer_id) REFERENCES customer (id)
)
""",
    """
CREATE TABLE channel_group (
  country text NOT NULL, channel text NOT NULL, tried double precision NOT NULL, reached double precision NOT NULL,
  asked double precision NOT NULL, moved double precision NOT NULL, CONSTRAINT pk_channel_group PRIMARY KEY (country, channel)
)
""",
    """
CREATE TABLE channel_fold (
  id smallint NOT NULL, upto timestamptz, CONSTRAINT pk_channel_fold PRIMARY KEY (id), CONSTRAINT ck_channel_fold_one_row CHECK (id = 1)
)
""",
    "INSERT INTO channel_fold (id) VALUES (1)",
    "ALTER TABLE attempt ADD COLUMN why text",
    "CREATE INDEX ix_attempt_at ON attempt USING brin (at)",
)
CHANGED = (
    "record(timestamptz, bigint[], integer[], text[], text[], text[], interval[], text[], interval[], integer, integer, integer)",
    "receive(timestamptz, bigint[], integer[], text[], text[], text[], interval, integer)",
)


def upgrade() -> None:
    for statement in (*REPLY, *PROVIDERS, *HTTP_APIS, *EXPERIENCE):
        op.execute(statement)
    for function in CHANGED:
        op.execute(f"DROP FUNCTION IF EXISTS {function}")
