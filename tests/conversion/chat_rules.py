"""What OpenAI's clients demand of a chat completion and of its chunks, and the SDK's own reading of them."""

import json
from typing import Any

from openai.lib.streaming.chat._completions import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

FINISHES = {"stop", "length", "tool_calls", "content_filter", "function_call"}


def read_chunks(stream: bytes) -> tuple[list[dict[str, Any]], bool]:
    """The chunks of a client's stream, and whether the end mark came behind them."""
    assert stream == b"" or stream.endswith(b"\n\n")
    frames = stream.decode().split("\n\n")[:-1]
    assert all(frame.startswith("data: ") and "\n" not in frame for frame in frames)
    is_ended = bool(frames) and frames[-1] == "data: [DONE]"
    chunks = [json.loads(frame[6:]) for frame in (frames[:-1] if is_ended else frames)]
    return chunks, is_ended


def check_stream(stream: bytes, *, failed: bool, include_usage: bool) -> list[dict[str, Any]]:
    """The chunks of a stream, after they have been found to keep the rules. ``failed`` when an error is to follow."""
    chunks, is_ended = read_chunks(stream)
    assert is_ended == (not failed)
    if not chunks:
        assert failed
        return chunks
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
        assert chunk["object"] == "chat.completion.chunk"
        assert {name: chunk[name] for name in ("id", "created", "model")} == {
            name: chunks[0][name] for name in ("id", "created", "model")
        }
        assert ("usage" in chunk) == include_usage
    told = [chunk for chunk in chunks if chunk.get("usage")]
    assert told == (chunks[-1:] if include_usage and not failed else [])
    if told:
        assert chunks[-1]["choices"] == []
        check_usage(chunks[-1]["usage"])
        chunks = chunks[:-1]
    _check_choices([chunk["choices"] for chunk in chunks], failed=failed)
    return chunks + told


def _check_choices(choices: list[list[dict[str, Any]]], *, failed: bool) -> None:
    assert all(len(choice) == 1 for choice in choices)
    deltas = [choice[0]["delta"] for choice in choices]
    assert deltas[0] == {"role": "assistant", "content": ""}
    finishes = [choice[0]["finish_reason"] for choice in choices]
    assert all(finish is None for finish in finishes[:-1])
    if failed:
        assert finishes[-1] is None
    else:
        assert finishes[-1] in FINISHES
        assert deltas[-1] == {}
    begun = 0
    for delta in deltas[1:]:
        assert "role" not in delta
        for piece in delta.get("tool_calls", ()):
            if "id" in piece:
                assert piece["index"] == begun  # counts calls, without gaps
                begun += 1
            else:
                assert piece["index"] == begun - 1
                assert piece["function"]["arguments"]


def check_usage(usage: dict[str, Any]) -> None:
    details = usage["prompt_tokens_details"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert details["cached_tokens"] + details["cache_write_tokens"] <= usage["prompt_tokens"]


def accumulate(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """The completion that the SDK makes of a stream."""
    state = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(ChatCompletionChunk.construct(**chunk))
    return state.current_completion_snapshot.to_dict()


def check_completion(body: bytes) -> dict[str, Any]:
    """A whole completion, after it has been found to fit the SDK's type."""
    completion = json.loads(body)
    ChatCompletion.model_validate(completion)
    [choice] = completion["choices"]
    assert choice["finish_reason"] in FINISHES
    assert choice["message"].keys() >= {"role", "content", "refusal"}
    for call in choice["message"].get("tool_calls", ()):
        assert "index" not in call
    check_usage(completion["usage"])
    return completion


def told(completion: dict[str, Any]) -> dict[str, Any]:
    """What a completion tells, whole or accumulated: the two leave other keys empty, and write arguments differently."""
    [choice] = completion["choices"]
    message = {name: value for name, value in choice["message"].items() if value}
    message.pop("parsed", None)
    for annotation in message.get("annotations", []):
        annotation.pop("index", None)
    for call in message.get("tool_calls", []):
        call.pop("index", None)
        call["function"] = {
            "name": call["function"]["name"],
            "arguments": json.loads(call["function"]["arguments"]),
        }
    if "function_call" in message:
        given = message["function_call"]["arguments"]
        message["function_call"]["arguments"] = json.loads(given)
    return {
        **{name: completion[name] for name in ("id", "created", "model", "usage")},
        "service_tier": completion.get("service_tier"),
        "finish_reason": choice["finish_reason"],
        "message": message,
    }
