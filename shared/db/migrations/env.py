"""Alembic's entry: runs on the connection that `shared.db.migrate` hands over."""

from alembic import context
from sqlmodel import SQLModel

import shared.tables  # noqa: F401  # declares them

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=SQLModel.metadata, compare_type=True, compare_server_default=False
)
with context.begin_transaction():
    context.run_migrations()
