"""What the API is about, by subject; urls.py says at which address."""
