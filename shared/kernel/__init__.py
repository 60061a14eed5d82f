"""Money, ids, errors and strict JSON: pure values, no I/O, importable from everywhere."""
