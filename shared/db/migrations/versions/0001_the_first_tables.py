"""The first tables. `business_now` comes before them: their defaults call it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "business_clock",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("ahead", sa.Interval(), server_default=sa.text("'0'"), nullable=False),
        sa.CheckConstraint("ahead >= interval '0'", name=op.f("ck_business_clock_forward")),
        sa.CheckConstraint("id = 1", name=op.f("ck_business_clock_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_business_clock")),
    )
    op.execute(
        "CREATE FUNCTION business_now() RETURNS timestamptz LANGUAGE sql STABLE AS "
        "$$ SELECT clock_timestamp() + ahead FROM business_clock $$"
    )
    op.create_table(
        "api_key",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_key_key_hash")),
    )
    op.create_table(
        "bounce_mail",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column(
            "received_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bounce_mail")),
    )
    op.create_table(
        "creditor",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email_from", sa.Text(), nullable=True),
        sa.Column("reply_to", sa.Text(), nullable=True),
        sa.Column("sms_from", sa.Text(), nullable=True),
        sa.Column("voice_from", sa.Text(), nullable=True),
        sa.Column("iban", sa.Text(), nullable=True),
        sa.Column("bic", sa.Text(), nullable=True),
        sa.Column("logo_url", sa.Text(), nullable=True),
        sa.Column("locale", sa.Text(), server_default="en", nullable=False),
        sa.Column("timezone", sa.Text(), server_default="UTC", nullable=False),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_creditor")),
        sa.UniqueConstraint("ref", name=op.f("uq_creditor_ref")),
    )
    op.create_table(
        "customer",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=True),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column("preferred_channel", sa.Text(), nullable=True),
        sa.Column(
            "attributes", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customer")),
        sa.UniqueConstraint("ref", name=op.f("uq_customer_ref")),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("business_now()"), nullable=False),
        sa.Column("invoice_id", sa.BigInteger(), nullable=True),
        sa.Column("customer_id", sa.BigInteger(), nullable=True),
        sa.Column("reminder_id", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "data", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    op.create_index(
        "ix_event_customer",
        "event",
        ["customer_id", "id"],
        unique=False,
        postgresql_where=sa.text("customer_id IS NOT NULL"),
    )
    op.create_index("ix_event_invoice", "event", ["invoice_id", "id"], unique=False)
    op.create_table(
        "flow_version",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column(
            "spec", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flow_version")),
        sa.UniqueConstraint("name", "version", name=op.f("uq_flow_version_name_version")),
    )
    op.create_table(
        "idempotency",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("response", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("owner", "key", name=op.f("pk_idempotency")),
    )
    op.create_table(
        "receipt",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("reminder_id", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "received_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_receipt")),
        sa.UniqueConstraint(
            "reminder_id", "fence", "kind", "detail", name=op.f("uq_receipt_reminder_id_fence_kind_detail")
        ),
    )
    op.create_table(
        "source",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "config", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source")),
        sa.UniqueConstraint("ref", name=op.f("uq_source_ref")),
    )
    op.create_table(
        "contact_point",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("channels", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "token",
            sa.Text(),
            server_default=sa.text("rtrim(translate(encode(uuid_send(gen_random_uuid()), 'base64'), '+/', '-_'), '=')"),
            nullable=False,
        ),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('email', 'phone', 'push', 'url')", name=op.f("ck_contact_point_kind")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_contact_point_customer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contact_point")),
        sa.UniqueConstraint("customer_id", "kind", "address", name=op.f("uq_contact_point_customer_id_kind_address")),
        sa.UniqueConstraint("token", name=op.f("uq_contact_point_token")),
    )
    op.create_table(
        "customer_contact",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("day_n", sa.Integer(), server_default="0", nullable=False),
        sa.Column("week", sa.Date(), nullable=False),
        sa.Column("week_n", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_customer_contact_customer_id")),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_customer_contact")),
    )
    op.create_table(
        "invoice",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("creditor_id", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("flow_version_id", sa.BigInteger(), nullable=False),
        sa.Column("issue_date", sa.Date(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("payment_url", sa.Text(), nullable=True),
        sa.Column("payment_reference", sa.Text(), nullable=False),
        sa.Column("document_key", sa.Text(), nullable=True),
        sa.Column("document_name", sa.Text(), nullable=True),
        sa.Column("document_type", sa.Text(), nullable=True),
        sa.Column("document_size", sa.Integer(), nullable=True),
        sa.Column(
            "attributes", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column(
            "token",
            sa.Text(),
            server_default=sa.text("rtrim(translate(encode(uuid_send(gen_random_uuid()), 'base64'), '+/', '-_'), '=')"),
            nullable=False,
        ),
        sa.Column("accepted_at", sa.DateTime(timezone=True), server_default=sa.text("business_now()"), nullable=False),
        sa.Column("generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("settled_n", sa.Integer(), server_default="0", nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("replan_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_as", sa.Text(), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("row_lock", sa.SmallInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("closed_as IN ('void', 'uncollectible')", name=op.f("ck_invoice_closed_as")),
        sa.CheckConstraint("(closed_as IS NULL) = (closed_at IS NULL)", name=op.f("ck_invoice_closed")),
        sa.ForeignKeyConstraint(["creditor_id"], ["creditor.id"], name=op.f("fk_invoice_creditor_id")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_invoice_customer_id")),
        sa.ForeignKeyConstraint(["flow_version_id"], ["flow_version.id"], name=op.f("fk_invoice_flow_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice")),
        sa.UniqueConstraint("ref", name=op.f("uq_invoice_ref")),
        sa.UniqueConstraint("token", name=op.f("uq_invoice_token")),
    )
    op.create_index(op.f("ix_invoice_customer_id"), "invoice", ["customer_id"], unique=False)
    op.create_index("ix_invoice_reference", "invoice", ["payment_reference"], unique=False)
    op.create_index(
        "ix_invoice_replan", "invoice", ["replan_at"], unique=False, postgresql_where=sa.text("replan_at IS NOT NULL")
    )
    op.create_table(
        "payment_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("payment_ref", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("event_ref", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=19, scale=4), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("invoice_ref", sa.Text(), nullable=True),
        sa.Column("installment_no", sa.Integer(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("payer", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column(
            "received_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("amount IS NULL OR (amount > 0 AND amount <> 'NaN')", name=op.f("ck_payment_event_amount")),
        sa.CheckConstraint("kind IN ('confirmed', 'pending', 'reversed')", name=op.f("ck_payment_event_kind")),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_payment_event_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_event")),
        sa.UniqueConstraint(
            "source_id",
            "payment_ref",
            "kind",
            "event_ref",
            name=op.f("uq_payment_event_source_id_payment_ref_kind_event_ref"),
        ),
    )
    op.create_table(
        "hold",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.BigInteger(), nullable=True),
        sa.Column("customer_id", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=19, scale=4), nullable=True),
        sa.Column("starts_at", sa.DateTime(timezone=True), server_default=sa.text("business_now()"), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('hold', 'promise', 'dispute', 'backlog')", name=op.f("ck_hold_kind")),
        sa.CheckConstraint("invoice_id IS NULL OR customer_id IS NULL", name=op.f("ck_hold_one_scope")),
        sa.CheckConstraint("until > starts_at", name=op.f("ck_hold_dated")),
        sa.CheckConstraint("amount IS NULL OR (amount > 0 AND amount <> 'NaN')", name=op.f("ck_hold_amount")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_hold_customer_id")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoice.id"], name=op.f("fk_hold_invoice_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hold")),
    )
    op.create_index(
        "ix_hold_customer", "hold", ["customer_id"], unique=False, postgresql_where=sa.text("released_at IS NULL")
    )
    op.create_index(
        "ix_hold_global",
        "hold",
        ["until"],
        unique=False,
        postgresql_where=sa.text("released_at IS NULL AND invoice_id IS NULL AND customer_id IS NULL"),
    )
    op.create_index(
        "ix_hold_invoice", "hold", ["invoice_id"], unique=False, postgresql_where=sa.text("released_at IS NULL")
    )
    op.create_table(
        "installment",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("invoice_id", sa.BigInteger(), nullable=False),
        sa.Column("no", sa.Integer(), server_default="1", nullable=False),
        sa.Column("due_date", sa.Date(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=19, scale=4), nullable=False),
        sa.Column("credited", sa.Numeric(precision=19, scale=4), server_default="0", nullable=False),
        sa.Column("allocated", sa.Numeric(precision=19, scale=4), server_default="0", nullable=False),
        sa.Column(
            "open_amount",
            sa.Numeric(precision=19, scale=4),
            sa.Computed("amount - credited - allocated", persisted=True),
            nullable=False,
        ),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("allocated >= 0 AND allocated <> 'NaN'", name=op.f("ck_installment_allocated")),
        sa.CheckConstraint("amount > 0 AND amount <> 'NaN'", name=op.f("ck_installment_amount")),
        sa.CheckConstraint("credited >= 0 AND credited <> 'NaN'", name=op.f("ck_installment_credited")),
        sa.CheckConstraint("credited + allocated <= amount", name=op.f("ck_installment_not_over")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoice.id"], name=op.f("fk_installment_invoice_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_installment")),
        sa.UniqueConstraint("invoice_id", "no", name=op.f("uq_installment_invoice_id_no")),
    )
    op.create_table(
        "payment",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("payment_ref", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=19, scale=4), nullable=False),
        sa.Column("allocated", sa.Numeric(precision=19, scale=4), server_default="0", nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("invoice_id", sa.BigInteger(), nullable=True),
        sa.Column("invoice_ref", sa.Text(), nullable=True),
        sa.Column("installment_no", sa.Integer(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("unmatched_reason", sa.Text(), nullable=True),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("payer", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("business_now()"), nullable=False),
        sa.CheckConstraint("amount >= 0 AND amount <> 'NaN'", name=op.f("ck_payment_amount")),
        sa.CheckConstraint("allocated >= 0 AND allocated <= amount", name=op.f("ck_payment_allocated")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoice.id"], name=op.f("fk_payment_invoice_id")),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_payment_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment")),
        sa.UniqueConstraint("source_id", "payment_ref", name=op.f("uq_payment_source_id_payment_ref")),
    )
    op.create_index("ix_payment_invoice", "payment", ["invoice_id"], unique=False)
    op.create_index("ix_payment_invoice_ref", "payment", ["invoice_ref"], unique=False)
    op.create_index(
        "ix_payment_reference", "payment", ["reference"], unique=False, postgresql_where=sa.text("invoice_id IS NULL")
    )
    op.create_index(
        "ix_payment_unmatched", "payment", ["id"], unique=False, postgresql_where=sa.text("allocated < amount")
    )
    op.create_table(
        "suppression",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("contact_point_id", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("business_now()"), nullable=False),
        sa.CheckConstraint(
            "reason IN ('invalid', 'bounced', 'opted_out', 'complained')", name=op.f("ck_suppression_reason")
        ),
        sa.ForeignKeyConstraint(
            ["contact_point_id"], ["contact_point.id"], name=op.f("fk_suppression_contact_point_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suppression")),
        sa.UniqueConstraint("contact_point_id", "channel", name=op.f("uq_suppression_contact_point_id_channel")),
    )
    op.create_table(
        "allocation",
        sa.Column("payment_id", sa.BigInteger(), nullable=False),
        sa.Column("installment_id", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=19, scale=4), nullable=False),
        sa.CheckConstraint("amount > 0 AND amount <> 'NaN'", name=op.f("ck_allocation_amount")),
        sa.ForeignKeyConstraint(["installment_id"], ["installment.id"], name=op.f("fk_allocation_installment_id")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_allocation_payment_id")),
        sa.PrimaryKeyConstraint("payment_id", "installment_id", name=op.f("pk_allocation")),
    )
    op.create_index("ix_allocation_installment", "allocation", ["installment_id"], unique=False)
    op.create_table(
        "reminder",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("invoice_id", sa.BigInteger(), nullable=False),
        sa.Column("installment_id", sa.BigInteger(), nullable=True),
        sa.Column("flow_version_id", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("occurrence", sa.Integer(), server_default="1", nullable=False),
        sa.Column("leg", sa.Text(), server_default="", nullable=False),
        sa.Column("anchor", sa.Text(), nullable=False),
        sa.Column("anchor_date", sa.Date(), nullable=True),
        sa.Column("requires_open", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("urgent", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("repeats", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("followed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("send_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint(
            "(reason IS NOT NULL) = (state IN ('delivered', 'failed', 'uncertain', 'cancelled', 'skipped'))",
            name=op.f("ck_reminder_reason"),
        ),
        sa.CheckConstraint("(state = 'sending') = (lease IS NOT NULL)", name=op.f("ck_reminder_lease_while_sending")),
        sa.CheckConstraint("anchor IN ('issue', 'due', 'payment', 'parent')", name=op.f("ck_reminder_anchor")),
        sa.CheckConstraint(
            "state <> 'queued' OR (queued_at IS NOT NULL AND send_until IS NOT NULL)", name=op.f("ck_reminder_queued")
        ),
        sa.CheckConstraint("state <> 'waiting' OR due_at IS NULL", name=op.f("ck_reminder_waits_for_its_trigger")),
        sa.CheckConstraint(
            "state IN ('waiting', 'cancelled', 'skipped') OR due_at IS NOT NULL", name=op.f("ck_reminder_has_time")
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'pending', 'queued', 'sending', 'accepted', 'delivered', 'failed', 'uncertain', 'cancelled', 'skipped')",
            name=op.f("ck_reminder_state"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('sending', 'accepted', 'delivered', 'uncertain') OR fence > 0",
            name=op.f("ck_reminder_was_claimed"),
        ),
        sa.CheckConstraint("occurrence >= 1", name=op.f("ck_reminder_occurrence")),
        sa.ForeignKeyConstraint(["flow_version_id"], ["flow_version.id"], name=op.f("fk_reminder_flow_version_id")),
        sa.ForeignKeyConstraint(["installment_id"], ["installment.id"], name=op.f("fk_reminder_installment_id")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoice.id"], name=op.f("fk_reminder_invoice_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reminder")),
        sa.UniqueConstraint(
            "invoice_id",
            "installment_id",
            "generation",
            "step",
            "occurrence",
            "leg",
            name="uq_reminder_plan",
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index(
        "ix_reminder_due", "reminder", ["due_at", "id"], unique=False, postgresql_where=sa.text("state = 'pending'")
    )
    op.create_index(
        "ix_reminder_lease", "reminder", ["lease"], unique=False, postgresql_where=sa.text("state = 'sending'")
    )
    op.create_index(
        "ix_reminder_queued", "reminder", ["queued_at"], unique=False, postgresql_where=sa.text("state = 'queued'")
    )
    op.create_index(
        "ix_reminder_uncertain", "reminder", ["id"], unique=False, postgresql_where=sa.text("state = 'uncertain'")
    )
    op.create_table(
        "attempt",
        sa.Column("reminder_id", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("invoice_id", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("contact_point_id", sa.BigInteger(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("provider_ref", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("cost", sa.Numeric(precision=19, scale=4), server_default="0", nullable=False),
        sa.Column("alternatives", sa.Integer(), server_default="0", nullable=False),
        sa.Column("worker", sa.Text(), server_default="", nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("business_now()"), nullable=False),
        sa.Column("lease", sa.DateTime(timezone=True), nullable=False),
        sa.Column("receipt_due", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("cost >= 0 AND cost <> 'NaN'", name=op.f("ck_attempt_cost")),
        sa.CheckConstraint(
            "state IN ('started', 'accepted', 'delivered', 'undelivered', 'missed', 'expired', 'rejected', 'unknown', 'notsent', 'resent')",
            name=op.f("ck_attempt_state"),
        ),
        sa.ForeignKeyConstraint(["reminder_id"], ["reminder.id"], name=op.f("fk_attempt_reminder_id")),
        sa.PrimaryKeyConstraint("reminder_id", "fence", name=op.f("pk_attempt")),
    )
    op.create_index(
        "ix_attempt_provider_ref",
        "attempt",
        ["provider", "provider_ref"],
        unique=False,
        postgresql_where=sa.text("provider_ref IS NOT NULL"),
    )
    op.create_index(
        "ix_attempt_receipt_due",
        "attempt",
        ["receipt_due"],
        unique=False,
        postgresql_where=sa.text("state = 'accepted' AND receipt_due IS NOT NULL"),
    )
    op.create_index(
        "ix_attempt_started", "attempt", ["started"], unique=False, postgresql_where=sa.text("state = 'started'")
    )
    op.create_index(
        "ix_attempt_unknown", "attempt", ["started"], unique=False, postgresql_where=sa.text("state = 'unknown'")
    )
    op.create_index(
        "uq_attempt_live",
        "attempt",
        ["reminder_id", "channel", "contact_point_id"],
        unique=True,
        postgresql_where=sa.text("state NOT IN ('rejected', 'notsent', 'missed', 'resent')"),
    )
