"""The dispatcher's pure rules and ports."""
