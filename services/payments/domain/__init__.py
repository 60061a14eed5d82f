"""Rules of payments: pure, no I/O."""
