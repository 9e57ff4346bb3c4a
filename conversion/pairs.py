"""Which (client dialect, upstream dialect) pairs exist, and the converter of each."""

from functools import partial

from conversion.anthropic_over_openai.converter import AnthropicOverOpenAI
from conversion.call import Call
from conversion.completions_over_chat import CompletionsOverChat
from conversion.dialects import Converter, Dialect
from conversion.errors import RequestInexpressible
from conversion.ollama.converter import ThroughOllama
from conversion.openai_over_anthropic.converter import OpenAIOverAnthropic
from conversion.passthrough import Passthrough
from conversion.traits import ChatTraits, MessagesTraits, Traits


def make_converter(
    call: Call, upstream_dialect: Dialect, traits: Traits, *, answer_id: str, created_s: int
) -> Converter:
    """A fresh converter for one attempt.

    ``answer_id``, behind the prefix that the dialect asks for, becomes the id of an answer that is made here, and
    ``created_s`` (seconds since 1970) its moment.

    Raises:
        RequestInvalid: the body breaks the client's dialect.
        RequestInexpressible: no converter speaks to this upstream for this client, or the target cannot take it.
    """
    if call.dialect is upstream_dialect:
        return Passthrough(
            call,
            upstream_model=traits.model,
            parameters=traits.parameters,
            ask_for_usage=isinstance(traits, ChatTraits) and traits.stream_usage_option,
            max_output_tokens=traits.max_output_tokens,
        )
    if call.dialect is Dialect.OPENAI_COMPLETIONS:
        inner = partial(_make_inner, upstream_dialect, traits, answer_id, created_s)
        return CompletionsOverChat(call, inner, answer_id=answer_id)
    if upstream_dialect is Dialect.OLLAMA_CHAT:
        chat = make_converter(
            call, Dialect.OPENAI_CHAT, traits, answer_id=answer_id, created_s=created_s
        )
        return ThroughOllama(chat, answer_id=answer_id, created_s=created_s)
    match call.dialect, traits:
        case Dialect.ANTHROPIC_MESSAGES, ChatTraits():
            return AnthropicOverOpenAI(call, traits, message_id=f"msg_{answer_id}")
        case Dialect.OPENAI_CHAT, MessagesTraits() if (
            upstream_dialect is Dialect.ANTHROPIC_MESSAGES
        ):
            return OpenAIOverAnthropic(call, traits, answer_id=answer_id, created_s=created_s)
    raise RequestInexpressible(
        f"requests in the dialect {call.dialect} cannot be sent to an upstream that speaks {upstream_dialect}"
    )


def _make_inner(
    upstream_dialect: Dialect, traits: Traits, answer_id: str, created_s: int, call: Call
) -> Converter:
    return make_converter(call, upstream_dialect, traits, answer_id=answer_id, created_s=created_s)
