"""How each bank, gateway and file speaks: one product a file, listed in registry.py."""
