"""What all tests share."""

import os

from hypothesis import settings

# CI tries the same examples each time, so that a commit is judged by what it changed; elsewhere chance goes on looking.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
