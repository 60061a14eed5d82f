"""The SQL of payments that is not the ledger's: sources, and what people read."""
