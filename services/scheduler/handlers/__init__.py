"""One verb a file: load, ask the domain, save, tell."""
