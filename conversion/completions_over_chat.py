"""Old completions clients over upstreams that only converse: the prompt becomes one user turn.

What asks for the text of the prompt itself (echo, suffix, several prompts, token ids, likelihoods) has no meaning in
a conversation, and is refused. Source: the ``openai`` types (``types/completion_create_params.py``,
``types/completion.py``), read November 2026.
"""

from collections.abc import Callable
from typing import Any

import orjson

from conversion.call import Call
from conversion.dialects import Converter, Dialect
from conversion.errors import RequestInexpressible, UpstreamInvalid
from conversion.sse import END_MARK, Frames, is_end_mark, write_openai_chunk
from conversion.wrapping import Wrapping

REFUSED = {
    "echo": (False,),
    "suffix": ("",),
    "best_of": (1,),
    "n": (1,),
    "logprobs": (0,),
}
"""Fields that a conversation cannot honour, with the values that ask for nothing."""
_NONE = (orjson.JSONDecodeError, AttributeError, TypeError)
"""What is raised by an answer that is none, or that is nested too deeply to be written again."""


class CompletionsOverChat(Wrapping):
    """Implements :class:`conversion.dialects.Converter`; ``make_inner`` makes the converter of a chat call."""

    def __init__(
        self,
        call: Call,
        make_inner: Callable[[Call], Converter],
        *,
        answer_id: str,
    ) -> None:
        """Write the prompt as a conversation, and have that translated.

        Raises:
            RequestInvalid: the body breaks the dialect.
            RequestInexpressible: it asks for what a conversation cannot do.
        """
        super().__init__(make_inner(_chat_call(call)))
        self._id = f"cmpl-{answer_id}"
        self._frames = Frames()

    @property
    def request(self) -> bytes:
        """The body to send."""
        return self._inner.request

    def read_answer(self, body: bytes) -> bytes:
        """The whole answer as a text completion.

        Raises:
            UpstreamInvalid: the body is no answer.
            UpstreamError: the body is an error in the clothes of a success.
        """
        answer = self._inner.read_answer(body)
        try:
            return orjson.dumps(self._completion(orjson.loads(answer), "message"))
        except _NONE as error:
            raise UpstreamInvalid("the upstream's answer is no completion") from error

    def feed(self, data: bytes) -> bytes:
        """The client's chunks that one piece of the stream makes due. Raises nothing."""
        return self._write(self._inner.feed(data))

    def finish(self) -> bytes:
        """The client's last chunks."""
        return self._write(self._inner.finish())

    def _write(self, events: bytes) -> bytes:
        written = []
        for _event, data in self._frames.read(events):
            if is_end_mark(data):
                written.append(END_MARK[Dialect.OPENAI_CHAT])
                continue
            try:
                completion = self._completion(orjson.loads(data), "delta")
                choices = completion["choices"]
                says = any(choice["text"] or choice["finish_reason"] for choice in choices)
                if says or completion.get("usage"):
                    written.append(write_openai_chunk(completion))
            except _NONE:
                # An upstream's own chunk passes the inner converter unread, and may be anything.
                self._failure = UpstreamInvalid("the upstream sent a chunk that is none")
                break
        return b"".join(written)

    def _completion(self, answer: dict[str, Any], holder: str) -> dict[str, Any]:
        choices = [
            {
                "text": (choice.get(holder) or {}).get("content") or "",
                "index": choice.get("index", 0),
                "logprobs": None,
                "finish_reason": choice.get("finish_reason"),
            }
            for choice in answer.get("choices") or ()
        ]
        completion: dict[str, Any] = {
            "id": self._id,
            "object": "text_completion",
            "created": answer.get("created", 0),
            "model": answer.get("model", ""),
            "choices": choices,
        }
        if answer.get("usage"):
            completion["usage"] = answer["usage"]
        return completion


def _chat_call(call: Call) -> Call:
    body = {
        name: value for name, value in call.body.items() if name not in REFUSED and name != "prompt"
    }
    for name, harmless in REFUSED.items():
        value = call.body.get(name)
        if value is not None and value not in harmless:
            raise RequestInexpressible(
                "this target converses, and cannot do that to a text", path=name
            )
    body["messages"] = [{"role": "user", "content": _prompt(call.body["prompt"])}]
    return Call(
        dialect=Dialect.OPENAI_CHAT,
        raw=orjson.dumps(body),
        body=body,
        alias=call.alias,
        stream=call.stream,
        max_output_tokens=call.max_output_tokens,
    )


def _prompt(prompt: Any) -> str:
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise RequestInexpressible("this target takes one text as a prompt", path="prompt")
    return prompt
