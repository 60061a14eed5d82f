"""Alembic's entry: runs on the connection that `shared.db.migrate` hands over."""

from alembic import context

# Of the declared tables nothing is needed to upgrade, and to declare them takes longer than all the rest of a start.
context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
