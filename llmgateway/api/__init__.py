"""The management API under /api/: what the admin can do, for programs; docs/operators/api.md tells how it is used."""
