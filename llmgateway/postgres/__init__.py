"""Django's PostgreSQL, over connections that nobody waits for without end (``waits.py``)."""
