"""The edges: one file per provider, all listed in registry.py."""
