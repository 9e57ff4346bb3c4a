"""Which (client dialect, upstream dialect) pairs exist, and the converter of each."""

from conversion.anthropic_over_openai.converter import AnthropicOverOpenAI
from conversion.call import Call
from conversion.dialects import Converter, Dialect
from conversion.errors import RequestInexpressible
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
        )
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
