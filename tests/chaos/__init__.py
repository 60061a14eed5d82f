"""Kills: of each process at each step, of random ones under load, of the broker and the database. What must stay true
is in `invariants.py`; `python -m tests.chaos` runs the larger version and writes build/chaos.json.

Read `plant.py` (our processes), `provider.py` and `ledger.py` (what was handed over, as the provider saw it), `bank.py`
(payments), then `stage.py`, which puts them together. All of it on loopback, and all of it tied to the test's process.
"""
