"""Dialect to dialect, without I/O: knows no Django, HTTP, clock or log."""
