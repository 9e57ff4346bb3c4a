"""Editing texts and bodies."""
