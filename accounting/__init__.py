"""Who may ask, and what it cost: teams, keys, prices and the ledger."""
