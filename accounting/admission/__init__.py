"""Lets a request in, or says why not: limits by the minute, requests under way, and budgets with holds."""
