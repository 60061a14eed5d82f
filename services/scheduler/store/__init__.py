"""The scheduler's SQL. What moves a reminder is not here: see shared/ledger."""
