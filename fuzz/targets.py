"""What is fed with foreign bytes, and what must hold for all of them: an error of ours, or none, and the same answer
however the bytes are cut. Needs no fuzzer: a test feeds the seeds, too.
"""

import contextlib
import zlib
from collections.abc import Callable

from conversion.addresses import AddressRules
from conversion.call import read_call, read_count_call
from conversion.dialects import Converter, Dialect
from conversion.errors import GatewayError, RequestInvalid, UpstreamInvalid
from conversion.pairs import make_converter
from conversion.sse import Frames, split_frames
from conversion.traits import ChatTraits, MessagesTraits
from llmgateway.attribution import person_behind, read_tags
from llmgateway.auth import find_secrets
from llmgateway.bodies import DEFLATE, GZIP, read_encoding, unpack_steps

ANTHROPIC, OPENAI = Dialect.ANTHROPIC_MESSAGES, Dialect.OPENAI_CHAT
CLIENTS = (ANTHROPIC, OPENAI, Dialect.OPENAI_COMPLETIONS)
UPSTREAMS = (
    (OPENAI, ChatTraits(model="m", reasoning="openrouter", reasoning_replay="details")),
    (ANTHROPIC, MessagesTraits(model="m")),
    (Dialect.OLLAMA_CHAT, ChatTraits(model="m")),
)
ASKED = dict.fromkeys(
    (ANTHROPIC, OPENAI),
    b'{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"Hello"}]}',
)
ADDRESSES = AddressRules()


def sse(data: bytes) -> None:
    """Frames are the same whole, and cut at a place that the first byte chooses."""
    place = data[0] % max(len(data), 1) if data else 0
    data = data[1:]
    with contextlib.suppress(UpstreamInvalid):
        split_frames(data)
        found = frames_of(data)
        assert found == frames_of(data[:place], data[place:])


def frames_of(*pieces: bytes) -> list[tuple[bytes, bytes]]:
    """All frames in the pieces of one stream."""
    frames = Frames()
    found = [frame for piece in pieces for frame in frames.feed(piece)]
    return [*found, *frames.close()]


def calls(data: bytes) -> None:
    """A body is read, or refused as invalid."""
    for dialect in CLIENTS:
        with contextlib.suppress(RequestInvalid):
            person_behind(read_call(dialect, data).body)
    with contextlib.suppress(RequestInvalid):
        read_count_call(data)


def requests(data: bytes) -> None:
    """A body is translated for each upstream, or refused by an error of ours."""
    for dialect in CLIENTS:
        for upstream, traits in UPSTREAMS:
            with contextlib.suppress(GatewayError):
                call = read_call(dialect, data)
                converter = make_converter(call, upstream, traits, answer_id="a", created_s=1)
                assert isinstance(converter.request, bytes)


def converters() -> list[Converter]:
    """One for each pair, for a short request."""
    found = []
    for dialect, body in ASKED.items():
        for upstream, traits in UPSTREAMS:
            with contextlib.suppress(GatewayError):
                call = read_call(dialect, body)
                found.append(make_converter(call, upstream, traits, answer_id="a", created_s=1))
    return found


def streams(data: bytes) -> None:
    """A stream raises nothing, ends, and tells the same however it is cut."""
    place = data[0] % max(len(data), 1) if data else 0
    data = data[1:]
    for whole, cut in zip(converters(), converters(), strict=True):
        told = whole.feed(data) + whole.finish()
        told_cut = cut.feed(data[:place]) + cut.feed(data[place:]) + cut.finish()
        assert (whole.failure is None) == (cut.failure is None)
        if whole.failure is None:
            assert told == told_cut
        assert whole.usage == cut.usage


def answers(data: bytes) -> None:
    """A whole answer is translated, or refused by an error of ours."""
    for converter in converters():
        with contextlib.suppress(GatewayError):
            converter.read_answer(data)


def headers(data: bytes) -> None:
    """What is in headers is read, or refused as invalid."""
    text = data.decode("latin-1")
    find_secrets({"authorization": text, "x-api-key": text})
    for read in (read_tags, lambda words: read_encoding([words])):
        with contextlib.suppress(GatewayError):
            read(text)
    ADDRESSES.refusal_of_url(text)


def bodies(data: bytes) -> None:
    """A compressed body is unpacked in bounded steps, or refused."""
    for encoding in (GZIP, DEFLATE):
        with contextlib.suppress(GatewayError):
            size = 0
            for piece in unpack_steps(data, encoding):
                assert len(piece) <= 64 * 1024
                size += len(piece)
                if size > 1 << 20:
                    break
    packed = zlib.compress(data)
    assert b"".join(unpack_steps(packed, DEFLATE)) == data


TARGETS: dict[str, Callable[[bytes], None]] = {
    "sse": sse,
    "calls": calls,
    "requests": requests,
    "streams": streams,
    "answers": answers,
    "headers": headers,
    "bodies": bodies,
}
