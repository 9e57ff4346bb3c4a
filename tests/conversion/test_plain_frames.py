"""What passes unread holds nothing to learn, in whatever company it comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion.watchers import AnthropicWatcher, OpenAIWatcher

NULL = '{"id":"g","choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]%s}'
PLAIN = [
    NULL % (" word", ""),
    NULL % ('\\"finish_reason\\":null', ""),  # a text that looks like what is searched for
    NULL % ('\\"error\\" [DONE', ""),
    NULL % ("of usage", ',"usage":null'),
]
TELLING = [
    '{"id":"g","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}',
    '{"id":"g","choices":[{"index":0,"delta":{},"finish_reason": "stop"}]}',
    '{"id":"g","choices":[],"usage":{"prompt_tokens":3}}',
    NULL % ("", ',"usage":{"prompt_tokens":3}'),
    NULL % ("", ',"error":{"message":"no"}'),
    '{"error":{"message":"no"}}',
    "[DONE]",
]
TWO_NULLS = (
    '{"id":"g","choices":[{"index":0,"finish_reason":null},{"index":1,"finish_reason":null}]}'
)


def written(data: str) -> bytes:
    return f"data: {data}\n\n".encode()


FRAMES = st.sampled_from([written(each) for each in (*PLAIN, *TELLING)] + [b": ping\n\n"])


@given(st.lists(FRAMES, min_size=1, max_size=8))
def test_frames_that_are_counted_as_plain_have_no_mark(frames):
    watcher = OpenAIWatcher(hide_usage=False, has_one_choice=True)
    count = watcher.count_plain(b"".join(frames))
    if count:
        assert not any(watcher.is_marked(frame) for frame in frames)
        assert count == sum(frame.startswith(b"data:") for frame in frames)


@pytest.mark.parametrize("data", PLAIN)
def test_what_most_frames_look_like_is_plain(data):
    for has_one_choice in (True, False):
        watcher = OpenAIWatcher(hide_usage=False, has_one_choice=has_one_choice)
        assert watcher.count_plain(written(data) * 5) == 5


@pytest.mark.parametrize("data", TELLING)
def test_what_tells_something_is_not_passed_among_many(data):
    watcher = OpenAIWatcher(hide_usage=False, has_one_choice=True)
    for frames in (
        [data],
        [*PLAIN, data],
        [data, *PLAIN],
        [*PLAIN, data, *PLAIN],
    ):
        assert watcher.count_plain(b"".join(map(written, frames))) == 0


def test_two_choices_in_one_frame_do_not_make_up_for_a_reason_in_another():
    """Where the client asked for several, frames are not counted against reasons."""
    frames = written(TWO_NULLS) + written(TELLING[0]) + written(PLAIN[0])
    assert OpenAIWatcher(hide_usage=False, has_one_choice=False).count_plain(frames) == 0


def test_a_messages_own_events_are_not_plain():
    watcher = AnthropicWatcher()
    delta = b'event: content_block_delta\ndata: {"type":"content_block_delta"}\n\n'
    assert watcher.count_plain(delta * 3) == 3
    assert (
        watcher.count_plain(delta + b'event: message_stop\ndata: {"type":"message_stop"}\n\n') == 0
    )
