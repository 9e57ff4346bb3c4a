"""The wire formats as TypedDicts, each field with its source."""
