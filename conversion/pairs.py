"""Which (client dialect, upstream dialect) pairs exist, and the converter of each."""

from conversion.anthropic_over_openai.converter import AnthropicOverOpenAI
from conversion.call import Call
from conversion.dialects import Converter, Dialect
from conversion.errors import RequestInexpressible
from conversion.passthrough import Passthrough
from conversion.traits import ChatTraits


def make_converter(
    call: Call, upstream_dialect: Dialect, traits: ChatTraits, *, message_id: str
) -> Converter:
    """A fresh converter for one attempt; ``message_id`` becomes the id of the client's message where one is made.

    Raises:
        RequestInvalid: the body breaks the client's dialect.
        RequestInexpressible: no converter speaks to this upstream for this client, or the target cannot take it.
    """
    if call.dialect is upstream_dialect:
        return Passthrough(
            call,
            upstream_model=traits.model,
            parameters=traits.parameters,
            ask_for_usage=traits.stream_usage_option,
        )
    if call.dialect is Dialect.ANTHROPIC_MESSAGES and upstream_dialect is Dialect.OPENAI_CHAT:
        return AnthropicOverOpenAI(call, traits, message_id=message_id)
    raise RequestInexpressible(
        f"requests in the dialect {call.dialect} cannot be sent to an upstream that speaks {upstream_dialect}"
    )
