"""Server-sent events, both ways: bytes cut anywhere into frames, and events of either dialect into bytes.

Reading has two steps. ``Cutter`` holds back what is no whole frame yet; a frame ends with a blank line. ``Frames``
reads what the cutter lets through. Because a frame is only read when it is whole, it cannot matter where the
network cut it: inside a UTF-8 character, between CR and LF, or inside a byte order mark.

Lines end with LF, CR or CRLF and with nothing else (HTML standard, "Parsing an event stream"). U+2028 and U+0085
are legal inside JSON strings (trap 59), so text is never split before it is decoded: ``bytes.splitlines`` knows
only those three.
"""

import re
from typing import TypeAlias

import orjson

from conversion.dialects import Dialect
from conversion.errors import UpstreamInvalid

FRAME_BYTES_MAX = 16 * 1024 * 1024
"""No answer piece comes near; whoever sends more without a blank line is not sending events."""

Frame: TypeAlias = tuple[bytes, bytes]
"""(event name, ``b""`` when it has none; data)."""

PING: dict[Dialect, bytes] = {
    Dialect.ANTHROPIC_MESSAGES: b'event: ping\ndata: {"type":"ping"}\n\n',
    Dialect.OPENAI_CHAT: b": ping\n\n",
}
"""What keeps a silent connection open. OpenAI's dialect has no such event, so a comment stands in."""

END_MARK: dict[Dialect, bytes] = {
    Dialect.ANTHROPIC_MESSAGES: b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    Dialect.OPENAI_CHAT: b"data: [DONE]\n\n",
}
"""What ends a whole stream; Anthropic's clients take ``[DONE]`` for noise, OpenAI's wait for it (trap 56)."""

_BOM = b"\xef\xbb\xbf"
# Atomic groups: a CRLF is one line end, never a CR and a blank line.
_BLANK_LINE = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)")
_SEAM = 3  # a blank line that is cut has at most three bytes on the near side


class Cutter:
    """Gives back whole frames, as they came, and holds the rest until its end has come."""

    def __init__(self) -> None:
        self.is_empty = True
        """Whether nothing is held."""
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._seam = b""

    def feed(self, data: bytes) -> bytes:
        """The frames that are whole now, byte for byte.

        Raises:
            UpstreamInvalid: a frame passes ``FRAME_BYTES_MAX``.
        """
        if self._held:
            if not _BLANK_LINE.search(self._seam + data):
                self._hold(data)
                return b""
            self._held.append(data)
            data = self.close()
        end = _end_of_last_frame(data)
        if end == len(data):
            return data
        self._hold(data[end:])
        return data[:end]

    def close(self) -> bytes:
        """The frame that was never ended, if there is one. Servers that forget the last blank line exist."""
        rest = b"".join(self._held)
        self._held, self._held_bytes, self._seam = [], 0, b""
        self.is_empty = True
        return rest

    def _hold(self, data: bytes) -> None:
        self.is_empty = False
        self._held.append(data)
        self._held_bytes += len(data)
        self._seam = (self._seam + data)[-_SEAM:]
        if self._held_bytes > FRAME_BYTES_MAX:
            raise UpstreamInvalid(f"the upstream sent over {FRAME_BYTES_MAX} bytes in one event")


class Frames:
    """The frames of one stream. ``comments`` counts comment lines: an upstream that sends them is alive."""

    def __init__(self) -> None:
        self.comments = 0
        self._cutter = Cutter()
        self._at_start = True

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that one piece of the stream completes.

        Raises:
            UpstreamInvalid: a frame passes ``FRAME_BYTES_MAX``.
        """
        if (
            data.startswith(b"data: ")
            and self._cutter.is_empty
            and data.find(b"\n", 6) == len(data) - 2
            and data.endswith(b"\n\n")
            and b"\r" not in data
        ):  # one whole frame in one read, as most come
            self._at_start = False
            return [(b"", data[6:-2])]
        return self.read(self._cutter.feed(data))

    def close(self) -> list[Frame]:
        """The frame that was cut off by the end of the stream, if there is one."""
        return self.read(self._cutter.close())

    def read(self, whole: bytes) -> list[Frame]:
        """The frames in bytes that hold whole frames only; frames without data are left out."""
        if self._at_start and whole:
            self._at_start = False
            whole = whole.removeprefix(_BOM)
        if b"\r" in whole:
            whole = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        frames: list[Frame] = []
        for part in whole.split(b"\n\n"):
            if part.startswith(b"data: ") and b"\n" not in part:
                frames.append((b"", part[6:]))
            elif part:
                self._read_slowly(part, frames)
        return frames

    def _read_slowly(self, part: bytes, frames: list[Frame]) -> None:
        part = part.lstrip(b"\n")
        if part.startswith(b"{"):
            # No event at all, but seen where a server fails after it promised a stream: the bare JSON error.
            frames.append((b"", part))
            return
        event = b""
        lines: list[bytes] = []
        for line in part.split(b"\n"):
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if name == b"data":
                lines.append(value)
            elif name == b"event":
                event = value
            elif line.startswith(b":"):
                self.comments += 1
        if lines:
            frames.append((event, b"\n".join(lines)))


def split_frames(whole: bytes) -> list[bytes]:
    """Whole frames one by one, byte for byte; joined again they are what was given."""
    if b"\r" not in whole and whole.endswith(b"\n\n") and b"\n\n\n" not in whole:
        return [frame + b"\n\n" for frame in whole[:-2].split(b"\n\n")]
    frames = []
    start = 0
    for blank in _BLANK_LINE.finditer(whole):
        frames.append(whole[start : blank.end()])
        start = blank.end()
    if start < len(whole):
        frames.append(whole[start:])
    return frames


def is_end_mark(data: bytes) -> bool:
    """Whether the data of a frame is OpenAI's ``[DONE]``."""
    return data.strip() == b"[DONE]"


def is_whole(data: bytes) -> bool:
    """Whether the data of a frame that nobody ended was nevertheless complete."""
    if is_end_mark(data):
        return True
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True


def _end_of_last_frame(data: bytes) -> int:
    """Where the last whole frame ends; 0 when there is none."""
    if b"\r" not in data:
        end = data.rfind(b"\n\n")
        return end + 2 if end >= 0 else 0
    end = 0
    for blank in _BLANK_LINE.finditer(data):
        end = blank.end()
    return end


def write_anthropic_event(event: str, data: object) -> bytes:
    """One Messages event. The ``event:`` line is no ornament: the SDK drops frames without it (trap 55)."""
    return b"event: %b\ndata: %b\n\n" % (event.encode(), orjson.dumps(data))


def write_openai_chunk(chunk: object) -> bytes:
    """One chat chunk."""
    return b"data: %b\n\n" % orjson.dumps(chunk)


def write_error_event(
    dialect: Dialect, error_type: str, message: str, request_id: str, *, code: str | None = None
) -> bytes:
    """The last event of a stream that failed after it began. Nothing may follow it, no ``[DONE]`` either.

    ``error_type`` is a word of the client's dialect, ``code`` one of OpenAI's. Shapes: Anthropic's page on errors and the ``openai`` SDK,
    which raises on any data with a true ``error``; both read August 2026.
    """
    if dialect is Dialect.ANTHROPIC_MESSAGES:
        return write_anthropic_event(
            "error",
            {
                "type": "error",
                "error": {"type": error_type, "message": message},
                "request_id": request_id,
            },
        )
    return write_openai_chunk(
        {
            "error": {"message": message, "type": error_type, "param": None, "code": code},
            "request_id": request_id,
        }
    )
