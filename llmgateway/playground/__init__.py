"""The page on which people try a key and a model: what crosses is shown on both sides, and booked as any request's."""
