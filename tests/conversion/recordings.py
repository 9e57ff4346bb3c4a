"""The recorded streams of real upstreams; their origin and licences are in the folder's README."""

from pathlib import Path

FOLDER = Path(__file__).parent.parent / "fixtures" / "recorded-streams"


def names(*beginnings: str) -> list[str]:
    """Names of the recordings that begin so, requests left out, and other APIs than chat and messages too."""
    return sorted(
        path.name
        for path in FOLDER.iterdir()
        if path.name.startswith(beginnings)
        and path.name.endswith((".sse", ".chunks.txt"))
        and "responses" not in path.name
    )


CHAT = names("openrouter-", "deepseek-", "xai-", "groq-", "alibaba-", "azure-")
MESSAGES = names("anthropic-")


def read(name: str) -> bytes:
    """The bytes of a recording as they were sent; those kept as lines of JSON get their frames back."""
    data = (FOLDER / name).read_bytes()
    if not name.endswith(".chunks.txt"):
        return data
    lines = data.splitlines()
    if not name.startswith("anthropic-"):
        return b"".join(b"data: %b\n\n" % line for line in [*lines, b"[DONE]"])
    # A file of two answers, one after the other, stands for the first.
    end = next(at for at, line in enumerate(lines) if _type(line) == b"message_stop")
    return b"".join(b"event: %b\ndata: %b\n\n" % (_type(line), line) for line in lines[: end + 1])


def _type(line: bytes) -> bytes:
    return line.split(b'"type":"', 1)[1].split(b'"', 1)[0]
