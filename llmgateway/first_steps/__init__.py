"""The page that leads from an empty database to a first request, and what it is made of."""
