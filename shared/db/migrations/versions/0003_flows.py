"""What flow versions, templates, caps and groups need."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in (*ANCHORS, *HOLDS, *PROMISES, *PAY_LINKS, *TEMPLATES, *GROUPS):
        op.execute(statement)


ANCHORS = (
    "ALTER TABLE reminder DROP CONSTRAINT ck_reminder_anchor",
    (
        "ALTER TABLE reminder ADD CONSTRAINT ck_reminder_anchor "
        "CHECK (anchor IN ('issue', 'due', 'payment', 'broken_promise', 'parent')) NOT VALID"
    ),
    "ALTER TABLE reminder VALIDATE CONSTRAINT ck_reminder_anchor",
)
HOLDS = (
    "ALTER TABLE hold ADD COLUMN note text, ADD COLUMN said_by text NOT NULL DEFAULT 'clerk'",
    "ALTER TABLE hold DROP CONSTRAINT ck_hold_kind",
    (
        "ALTER TABLE hold ADD CONSTRAINT ck_hold_kind CHECK (kind IN ('hold', 'promise', 'dispute', 'backlog', 'said_paid')),"
        " ADD CONSTRAINT ck_hold_said_by CHECK (said_by IN ('clerk', 'customer'))"
    ),
)
PROMISES = (
    """
    CREATE TABLE promise (
      id bigint GENERATED ALWAYS AS IDENTITY,
      invoice_id bigint NOT NULL,
      until timestamptz NOT NULL,
      amount numeric(19, 4),
      leaves numeric(19, 4) NOT NULL,
      state text NOT NULL DEFAULT 'open',
      said_by text NOT NULL DEFAULT 'clerk',
      made_at timestamptz NOT NULL DEFAULT business_now(),
      CONSTRAINT pk_promise PRIMARY KEY (id),
      CONSTRAINT fk_promise_invoice_id FOREIGN KEY (invoice_id) REFERENCES invoice (id),
      CONSTRAINT ck_promise_state CHECK (state IN ('open', 'kept', 'broken', 'dropped')),
      CONSTRAINT ck_promise_said_by CHECK (said_by IN ('clerk', 'customer')),
      CONSTRAINT ck_promise_amount CHECK (amount IS NULL OR (amount > 0 AND amount <> 'NaN')),
      CONSTRAINT ck_promise_leaves CHECK (leaves >= 0 AND leaves <> 'NaN'))
    """,
    "CREATE INDEX ix_promise_open ON promise (until) WHERE state = 'open'",
    "CREATE INDEX ix_promise_invoice ON promise (invoice_id)",
    # The promises that are being kept to now; until here only their hold said so.
    """
    INSERT INTO promise (invoice_id, until, amount, leaves, made_at)
    SELECT h.invoice_id, h.until, h.amount,
           CASE WHEN h.amount IS NULL THEN 0 ELSE greatest(0, sum(n.open_amount) - h.amount) END, h.starts_at
      FROM hold h JOIN installment n ON n.invoice_id = h.invoice_id
     WHERE h.kind = 'promise' AND h.released_at IS NULL GROUP BY h.id
    """,
)
PAY_LINKS = ("ALTER TABLE invoice ADD COLUMN token_until timestamptz",)
TEMPLATES = (
    """
    CREATE TABLE template_version (
      id bigint GENERATED ALWAYS AS IDENTITY,
      name text NOT NULL,
      channel text NOT NULL,
      locale text NOT NULL,
      version integer NOT NULL,
      subject text NOT NULL,
      body text NOT NULL,
      html text,
      source jsonb NOT NULL DEFAULT '{}'::jsonb,
      created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      CONSTRAINT pk_template_version PRIMARY KEY (id),
      CONSTRAINT uq_template_version_name_channel_locale_version UNIQUE (name, channel, locale, version))
    """,
)
GROUPS = (
    "ALTER TABLE attempt ADD COLUMN carried_by bigint, ADD COLUMN carried_fence integer",
    "CREATE INDEX ix_attempt_carried ON attempt (carried_by, carried_fence) WHERE carried_by IS NOT NULL",
    # claim() tells what rides together, and the caps of each row.
    (
        "DROP FUNCTION IF EXISTS claim(timestamptz, bigint[], text[], bigint[], text[], numeric[], integer[], text[],"
        " text, interval, integer, integer, interval)"
    ),
)
