"""Requests on a page while they run: sampled when somebody looks, and not at all when nobody does."""
