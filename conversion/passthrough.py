"""One attempt where both ends speak the same dialect: bytes untouched, usage still read.

The request changes in its model name, in limits above the deployment's, in the overrides of the deployment, in thoughts
that the gateway signed itself, and, for OpenAI streams, in the wish for a usage chunk; every other member keeps the
client's own bytes, so that nothing is lost that the gateway does not know. The answer passes in whole frames, which leaves room for a ping between two.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from conversion.anthropic_over_openai.thinking import BUDGET_MIN
from conversion.call import LIMITS, Call
from conversion.dialects import Dialect
from conversion.errors import GatewayError, RequestInvalid, UpstreamInvalid, UpstreamStreamCut
from conversion.own_signatures import without_own_signatures
from conversion.report import Report
from conversion.sse import END_MARK, Cutter, Frames, is_whole, split_frames
from conversion.usage import FinishReason, Usage
from conversion.watchers import AnthropicWatcher, EmbeddingsWatcher, OpenAIWatcher, estimated

LAST_FRAMES = 4
"""A reason, a usage, an end mark, and one to spare."""


class Passthrough:
    """Implements :class:`conversion.dialects.Converter`.

    ``parameters`` are merged into the body last. ``ask_for_usage`` when an OpenAI upstream reports the usage of a
    stream only if it is asked to; the chunk with it is kept from a client that did not ask. ``max_output_tokens`` is what
    the client's limit is cut down to.
    """

    def __init__(
        self,
        call: Call,
        *,
        upstream_model: str,
        parameters: Mapping[str, Any] | None = None,
        ask_for_usage: bool = False,
        max_output_tokens: int | None = None,
    ) -> None:
        self.report = Report()
        self.started = False
        self.content_started = False
        self.done = False
        self.failure: GatewayError | None = None
        asks = (
            ask_for_usage
            and call.stream
            and call.dialect.family is Dialect.OPENAI_CHAT
            and not _asks_for_usage(call.body)
        )
        changes = {**without_own_signatures(call, self.report), **(parameters or {})}
        if max_output_tokens is not None:
            changes = {**_cut_down(call.body, max_output_tokens, self.report), **changes}
        self.request = write_request(call, upstream_model, changes, ask_for_usage=asks)
        self._request_bytes = len(self.request)
        self._dialect = call.dialect
        asked = {**call.body, **parameters} if parameters else call.body
        self._watcher = _make_watcher(
            call.dialect, hide_usage=asks, has_one_choice=_asks_for_one(asked)
        )
        self._cutter = Cutter()
        self._frames = Frames()
        self._frames_passed = 0
        self._is_plain_sailing = False
        self._answer_tokens = 0

    def drop_request(self) -> None:
        """Forget the request: it was sent."""
        self.request = b""

    def read_answer(self, body: bytes) -> bytes:
        """The answer as it came.

        Raises:
            UpstreamInvalid: the body is no answer in this dialect.
            UpstreamError: the body is an error in the clothes of a success.
        """
        self._watcher.read_whole(body)
        self._answer_tokens = len(body) // 4
        return body

    def feed(self, data: bytes) -> bytes:
        """The whole frames that one piece of the stream completes. Raises nothing."""
        if self.done or self.failure is not None:
            return b""
        if self._cutter.is_empty and data.endswith(b"\n\n") and b"\r" not in data:
            return self._pass(data)  # whole frames, as most pieces are
        try:
            whole = self._cutter.feed(data)
        except UpstreamInvalid as error:
            self.failure = error.as_value()
            return b""
        return self._pass(whole) if whole else b""

    def finish(self) -> bytes:
        """The last frame, if its end was missing, and the end mark, if only that was missing."""
        if self.done or self.failure is not None:
            return b""
        rest = self._cutter.close()
        passed = b""
        if not rest.strip():
            passed = rest
        # Half a frame is no use to anybody: it says only that the stream was cut.
        elif all(is_whole(data) for _, data in Frames().read(rest)):
            passed = self._pass(rest + b"\n\n")
        if self.done or self.failure is not None:
            return passed
        if not self._watcher.has_ended:
            self.failure = UpstreamStreamCut("the upstream's stream ended before its answer did")
            return passed
        self.done = True
        return passed + END_MARK[self._dialect.family]

    def _pass(self, whole: bytes) -> bytes:
        """Whole frames, of which those that may tell something are read: at first each, later few."""
        if self._is_plain_sailing and (count := self._watcher.count_plain(whole)):
            self._frames_passed += count
            return whole
        passed: list[bytes] = []
        is_tried = False
        while whole and not (self.done or self.failure):
            if not self._is_plain_sailing:
                end = _end_of_first_frame(whole)
                passed.append(self._pass_slowly(whole[:end]))
                whole = whole[end:]
                continue
            if not is_tried:
                is_tried = True
                whole = self._pass_plain(whole, passed)
                continue
            mark = self._watcher.first_mark(whole)
            start = len(whole) if mark < 0 else _start_of_frame(whole, mark)
            self._frames_passed += whole.count(b"data:", 0, start)
            passed.append(whole[:start])
            if mark >= 0:
                end = start + _end_of_first_frame(whole[start:])
                passed.append(self._pass_slowly(whole[start:end]))
                whole = whole[end:]
            else:
                break
        return passed[0] if len(passed) == 1 else b"".join(passed)

    def _pass_plain(self, whole: bytes, passed: list[bytes]) -> bytes:
        """What is left behind frames that are plain: none of them, or the last ones, of which one may be the end."""
        for end in (len(whole), _start_of_last_frames(whole)):
            if end and (count := self._watcher.count_plain(whole[:end])):
                self._frames_passed += count
                passed.append(whole[:end])
                return whole[end:]
        return whole

    def _pass_slowly(self, whole: bytes) -> bytes:
        passed = []
        try:
            for frame in split_frames(whole):
                if self._read(frame):
                    passed.append(frame)
                if self.done:
                    break
        except GatewayError as error:
            self.failure = error.as_value()
        self.started = self.started or bool(passed)
        return b"".join(passed)

    def _read(self, frame: bytes) -> bool:
        """Learn from one frame, and say whether the client gets it."""
        watcher = self._watcher
        self._frames_passed += 1
        keep = True
        if not watcher.upstream_id or watcher.is_marked(frame):
            for event, data in self._frames.read(frame):
                verdict = watcher.read_frame(event, data)
                self.done = self.done or verdict == "end"
                keep = verdict != "drop"
        if not self.content_started:
            self.content_started = watcher.content.search(frame) is not None
        # From here on only frames that may tell of an end, a usage or an error are read.
        self._is_plain_sailing = self.content_started and bool(watcher.upstream_id)
        return keep

    @property
    def usage(self) -> Usage:
        """Tokens as reported, else estimated once an answer has begun: a frame is about a token."""
        watcher = self._watcher
        if watcher.is_final or not (self.started or self._answer_tokens):
            return watcher.usage
        answer_tokens = self._answer_tokens or self._frames_passed
        return estimated(
            watcher.usage, request_bytes=self._request_bytes, answer_tokens=answer_tokens
        )

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the answer ended; None while it has not."""
        return self._watcher.finish_reason

    @property
    def answered_model(self) -> str:
        """The model that the upstream says it used."""
        return self._watcher.answered_model

    @property
    def answered_by(self) -> str:
        """Who served it, where the upstream tells."""
        return self._watcher.answered_by

    @property
    def upstream_id(self) -> str:
        """The upstream's own id of the answer."""
        return self._watcher.upstream_id


def _end_of_first_frame(whole: bytes) -> int:
    """Where the first frame ends; the end of all where lines end with CR, which is rare, and read frame by frame."""
    end = whole.find(b"\n\n")
    return len(whole) if end < 0 or b"\r" in whole else end + 2


def _start_of_last_frames(whole: bytes) -> int:
    """Where the last frames begin, of which one may be the end; 0 where there are no more."""
    if b"\r" in whole:
        return 0
    start = len(whole)
    for _ in range(LAST_FRAMES):
        end_before = whole.rfind(b"\n\n", 0, start - 2)
        if end_before < 0:
            return 0
        start = end_before + 2
    return start


def _start_of_frame(whole: bytes, place: int) -> int:
    """Where the frame begins that holds a place."""
    end_before = -1 if b"\r" in whole else whole.rfind(b"\n\n", 0, place)
    return end_before + 2 if end_before >= 0 else 0


def _make_watcher(
    dialect: Dialect, *, hide_usage: bool, has_one_choice: bool
) -> OpenAIWatcher | AnthropicWatcher:
    if dialect is Dialect.ANTHROPIC_MESSAGES:
        return AnthropicWatcher()
    if dialect is Dialect.OPENAI_EMBEDDINGS:
        return EmbeddingsWatcher()
    return OpenAIWatcher(hide_usage=hide_usage, has_one_choice=has_one_choice)


def _asks_for_one(body: dict[str, Any]) -> bool:
    """Whether one answer is asked for, and not one for each of a completion's prompts."""
    return body.get("n") in (None, 1) and not isinstance(body.get("prompt"), list)


def _cut_down(body: Mapping[str, Any], most: int, report: Report) -> dict[str, Any]:
    """The members that ask for longer answers than the deployment allows, as they may be."""
    changes: dict[str, Any] = {}
    for name in LIMITS:
        limit = body.get(name)
        if isinstance(limit, int) and limit > most:
            changes[name] = most
            report.mapped(name, f"cut down from {limit} to the model's {most}")
    if changes and isinstance(thinking := body.get("thinking"), dict):
        budget = thinking.get("budget_tokens")
        if isinstance(budget, int) and budget >= most > BUDGET_MIN:
            # Anthropic refuses a budget that is not below max_tokens (its page on extended thinking, August 2026).
            changes["thinking"] = {**thinking, "budget_tokens": most - 1}
            report.mapped(
                "thinking.budget_tokens", f"brought below max_tokens, from {budget} to {most - 1}"
            )
    return changes


def _asks_for_usage(body: dict[str, Any]) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def write_request(
    call: Call, upstream_model: str, parameters: Mapping[str, Any], *, ask_for_usage: bool
) -> bytes:
    """The client's own bytes with another model's name in them, and with what a deployment sets.

    Where more than the name changes the members are put together anew; each that stays keeps its own bytes.

    Raises:
        RequestInvalid: the body is nested more deeply than can be written again.
    """
    raw = call.raw
    try:
        if call.body["model"] != upstream_model:
            raw = _rename(raw, upstream_model)
        if ask_for_usage and not parameters and "stream_options" not in call.body:
            start = raw.index(b"{") + 1
            return raw[:start] + b'"stream_options":{"include_usage":true},' + raw[start:]
        changes: dict[str, Any] = {}
        if ask_for_usage:
            options = call.body.get("stream_options")
            given = options if isinstance(options, dict) else {}
            changes["stream_options"] = {**given, "include_usage": True}
        changes.update(parameters)
        return _write({**_read_members(raw), **changes}) if changes else raw
    except RecursionError as error:
        raise RequestInvalid("the request body is nested too deeply to be sent on") from error


_read_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_write = msgspec.json.Encoder().encode
_MODEL = b'"model"'


def _rename(raw: bytes, upstream_model: str) -> bytes:
    """The body with another name as the value of its own ``model``: the word may occur in schemas and texts too."""
    old, new = bytes(_read_members(raw)["model"]), _write(upstream_model)
    at = raw.find(_MODEL)
    while at >= 0:
        start = raw.find(old, at)
        if start >= 0 and raw[at + len(_MODEL) : start].strip() == b":":
            renamed = raw[:start] + new + raw[start + len(old) :]
            if bytes(_read_members(renamed)["model"]) == new:
                return renamed
        at = raw.find(_MODEL, at + 1)
    # The key is written with escapes: nobody does, but JSON allows it.
    return _write({**_read_members(raw), "model": upstream_model})
