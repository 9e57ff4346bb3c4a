"""Tells the audit trail who opens what was kept of a request."""

from accounting.audit import watch
from accounting.request_story import RequestStory


def note_reading(story: RequestStory) -> None:
    """Note whose headers and bodies are shown, if they are."""
    for attempt in story.attempts:
        if attempt.log is not None and attempt.messages:
            bodies = sum(1 for message in attempt.messages if message["body"])
            watch.note_use(attempt.log, "Looked at what was kept, masked.", bodies=bodies)
