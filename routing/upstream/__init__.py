"""The only code that calls out: one seam for the hot path, one for look-ups."""
