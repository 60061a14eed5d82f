"""The bank-facing HTTP surface: one file per noun."""
