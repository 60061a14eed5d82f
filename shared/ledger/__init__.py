"""The life of a reminder. `ledger.sql` is the whole of it; the modules beside it call its functions with Python types.

Every function takes a raw connection and says whether it wants a transaction around it. `now` is business time; None
lets the database say it.
"""
