"""The audit trail: who changed or used what, as rows that are only added, each sealed by the digest of the one before.

``actors`` says who acts now, ``values`` what of a row may be written down, ``watch`` notes changes of rows, ``trail`` adds
entries and verifies them, ``exports`` writes them for others to read, ``pages`` shows a team's to its leads.
"""
