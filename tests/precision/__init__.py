"""Is what is matched by itself right? A labelled set of transfers, an oracle that says what can be known, and the count."""
