"""LiteLLM's package, called in the process: whatever provider it knows, without a server in between.

A deployment's model is LiteLLM's name of it, such as ``openai/gpt-4o`` or ``gemini/gemini-2.5-pro``. A provider's
base URL, where it has one, is LiteLLM's ``api_base``. A credential is the API key; one that is a JSON object holds
LiteLLM's own arguments by name instead (``{"aws_access_key_id": …, "aws_secret_access_key": …, "aws_region_name":
…}``). Without a credential LiteLLM looks into the environment, as it always does.

Theory of operation. Importing the package takes seconds of CPU, so it happens in a thread, once a provider of this
kind is switched on; a request that comes sooner waits for it. A client's body gets this far almost as it was sent,
and LiteLLM takes orders from the same keyword arguments (where to send, with which key, whom to tell): parameters
of a conversation are passed by name, and everything else as ``extra_body``, which only ever becomes a part of the
body that the provider gets. How LiteLLM's exceptions read is in ``litellm_errors``.

Facts: read and tried with LiteLLM 1.106.2, November 2026.
"""

import asyncio
import importlib
import logging
import threading
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from inspect import isasyncgen
from typing import Any

import orjson

from conversion.anthropic_over_openai.errors import read_error
from conversion.dialects import Dialect
from conversion.errors import UpstreamStreamCut, UpstreamUnauthorized
from conversion.traits import ChatTraits
from routing.providers.kind import (
    CostMapName,
    Headers,
    InProcessAnswer,
    InProcessAsk,
    ProviderKind,
)
from routing.providers.litellm_errors import read_exception

COST_HEADER = "x-litellm-response-cost"
CLAUDE_FORMAT = "anthropic-claude-v1"  # what OpenRouter calls thoughts that Anthropic signed
LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")
WARNINGS = ("Pydantic serializer warnings", "Item '.*' on TypedDict class '.*' is using")

# Parameters of a conversation or of embeddings that LiteLLM translates for each provider.
BY_NAME = frozenset(
    """
    model messages input dimensions encoding_format
    functions function_call temperature top_p top_k n stream stream_options stop max_tokens max_completion_tokens
    modalities prediction audio presence_penalty frequency_penalty logit_bias user response_format seed tools
    tool_choice logprobs top_logprobs parallel_tool_calls reasoning_effort verbosity thinking web_search_options
    service_tier safety_identifier prompt_cache_key prompt_cache_retention store
    """.split()  # noqa: SIM905  (a list of forty words reads better so)
)
# LiteLLM keeps it for its own logs and sends it to nobody.
KEPT_BACK = frozenset({"metadata"})

_loader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="litellm")
_loading = threading.Lock()


class _Held:
    litellm: Any = None


def prepare() -> None:
    """Import LiteLLM, and switch off what it does beyond calling providers. Blocks for seconds; safe to repeat."""
    with _loading:
        if _Held.litellm is not None:
            return
        _quieten()  # what its modules say while they are imported
        litellm: Any = importlib.import_module("litellm")
        # Else it follows at the first call, and holds up the event loop for the better part of a second.
        importlib.import_module("openai.resources")
        _quieten()
        # Its types do not fit what it puts into them: the warnings help nobody here, and quote bodies.
        for message in WARNINGS:
            warnings.filterwarnings("ignore", message, UserWarning)
        litellm.suppress_debug_info = True  # else it prints advice to stdout
        litellm.turn_off_message_logging = True
        litellm.disable_streaming_logging = True
        litellm.drop_params = False
        litellm.num_retries = 0
        litellm.callbacks = []
        # Tokenizers may come from the network, and tokens that nobody reported are estimated by the gateway.
        litellm.disable_hf_tokenizer_download = True
        litellm.disable_token_counter = True
        _Held.litellm = litellm


def _quieten() -> None:
    """Silence LiteLLM's own log, which may quote a body, and take its filters off the log of everybody else."""
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
        logging.getLogger(name).disabled = True  # LiteLLM sets the level back while it is imported
    # The client that LiteLLM calls OpenAI-like providers with writes whole requests at its lowest level.
    logging.getLogger("openai").setLevel(logging.WARNING)
    loggers = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
    for logger in (logging.root, *loggers):
        for added in list(logger.filters):
            if type(added).__module__.partition(".")[0] == "litellm":
                logger.removeFilter(added)


async def let_go() -> None:
    """Close the connections that LiteLLM keeps open, and end its background task; for the end of an event loop."""
    litellm = _Held.litellm
    if litellm is None:
        return
    worker = importlib.import_module("litellm.litellm_core_utils.logging_worker")
    await worker.GLOBAL_LOGGING_WORKER.stop()
    await litellm.close_litellm_async_clients()
    # That leaves out the client for everybody without one; only its connections may be closed, it makes new ones.
    await litellm.module_level_aclient.client._transport.aclose()
    litellm.in_memory_llm_clients_cache.flush_cache()


async def answer(ask: InProcessAsk) -> InProcessAnswer:
    """LiteLLM's answer to an OpenAI chat request, or to one for embeddings.

    Raises:
        GatewayError: LiteLLM raised something; read by ``litellm_errors``.
    """
    if _Held.litellm is None:
        await asyncio.get_running_loop().run_in_executor(_loader, prepare)
    litellm = _Held.litellm
    own = own_arguments(ask)
    arguments = {**client_arguments(ask.body), **own}
    secrets = [value for value in own.values() if isinstance(value, str) and value != ask.base_url]
    try:
        if ask.dialect is Dialect.OPENAI_EMBEDDINGS:
            response = await litellm.aembedding(**arguments)
        else:
            response = await litellm.acompletion(**arguments)
    except Exception as error:
        raise read_exception(error, secrets) from error
    if ask.stream:
        return InProcessAnswer(200, "text/event-stream", Pieces(response, secrets))
    body = orjson.dumps(whole_answer(response))
    return InProcessAnswer(
        200, "application/json", _once(body), cost_headers(response, litellm.model_cost)
    )


def client_arguments(body: bytes) -> dict[str, Any]:
    """A request as LiteLLM's keyword arguments; what LiteLLM does not know by name can only reach the provider's body."""
    request: dict[str, Any] = orjson.loads(body)
    if not str(request.get("model")).startswith("openrouter/"):
        put_thinking_blocks(request.get("messages"))
    named = {name: value for name, value in request.items() if name in BY_NAME}
    rest = {
        name: value
        for name, value in request.items()
        if name not in BY_NAME and name not in KEPT_BACK
    }
    return {**named, "extra_body": rest} if rest else named


def put_thinking_blocks(messages: Any) -> None:
    """Say the signed thoughts of earlier turns as LiteLLM takes them for a Claude, whoever serves it."""
    for message in messages if isinstance(messages, list) else ():
        details = message.pop("reasoning_details", None) if isinstance(message, dict) else None
        blocks = [block for detail in details or () if (block := _block_of(detail))]
        if blocks:
            message["thinking_blocks"] = blocks


def _block_of(detail: Any) -> dict[str, Any] | None:
    """A thought as Anthropic writes it; nothing for one that it has not signed."""
    if isinstance(detail, dict) and detail.get("signature"):
        return {
            "type": "thinking",
            "thinking": detail.get("text") or "",
            "signature": detail["signature"],
        }
    if isinstance(detail, dict) and detail.get("type") == "reasoning.encrypted":
        return {"type": "redacted_thinking", "data": detail.get("data") or ""}
    return None


def _detail_of(block: dict[str, Any], index: int) -> dict[str, Any]:
    head = {"format": CLAUDE_FORMAT, "index": index}
    if block.get("type") == "redacted_thinking":
        return {"type": "reasoning.encrypted", "data": block.get("data"), **head}
    signed = {"signature": block["signature"]} if block.get("signature") else {}
    return {"type": "reasoning.text", "text": block.get("thinking") or "", **signed, **head}


def own_arguments(ask: InProcessAsk) -> dict[str, Any]:
    """What the gateway itself tells LiteLLM: credential, address, patience, and that it need not try again.

    Raises:
        UpstreamUnauthorized: the credential begins like a JSON object and is none.
    """
    arguments: dict[str, Any] = {"api_key": ask.secret or None}
    if ask.secret.startswith("{"):
        try:
            arguments = dict(orjson.loads(ask.secret))
        except orjson.JSONDecodeError:
            raise UpstreamUnauthorized(
                "The credential begins like a JSON object of LiteLLM's arguments, and is none."
            ) from None
    if ask.base_url:
        arguments["api_base"] = ask.base_url
    if ask.dialect is Dialect.OPENAI_CHAT:
        # Looking for tools that LiteLLM would call by itself needs a package that it does not install: without
        # this, each request with tools fails with "No module named 'mcp'".
        arguments["_skip_mcp_handler"] = True
    return {**arguments, "timeout": ask.total_s, "max_retries": 0, "num_retries": 0}


def whole_answer(response: Any) -> dict[str, Any]:
    """A whole answer as JSON. Usage that nobody reported is left out: LiteLLM fills in zeros."""
    whole: dict[str, Any] = response.model_dump(exclude_none=True, warnings=False)
    for choice in whole.get("choices", ()):
        _tidy(choice)
        message = choice.get("message", {})
        _tidy(message)
        message.setdefault("content", None)
    usage = whole.get("usage", {})
    if not (usage.get("prompt_tokens") or usage.get("completion_tokens")):
        whole.pop("usage", None)
    return whole


def chunk_of_stream(chunk: Any) -> dict[str, Any]:
    """One chunk as JSON, in the shape that OpenAI gives it."""
    data: dict[str, Any] = chunk.model_dump(exclude_none=True)
    choices = data.setdefault("choices", [])
    for choice in choices:
        _tidy(choice)
        _tidy(choice.get("delta", {}))
        choice.setdefault("finish_reason", None)
    if "usage" in data and not any(c.get("delta") or c["finish_reason"] for c in choices):
        data["choices"] = []
    return data


def _tidy(part: dict[str, Any]) -> None:
    """Bring out the thoughts in the form in which they can be sent back, wherever LiteLLM has put them."""
    hidden = part.pop("provider_specific_fields", None) or {}
    blocks = part.get("thinking_blocks") or ()
    details = hidden.get("reasoning_details") or [
        _detail_of(block, index) for index, block in enumerate(blocks)
    ]
    if details:
        part.setdefault("reasoning_details", details)


def cost_headers(response: Any, cost_map: Mapping[str, Any]) -> dict[str, str]:
    """What the call cost by LiteLLM's own price list; nothing for a model outside it, which it would call free."""
    hidden = getattr(response, "_hidden_params", None) or {}
    cost = hidden.get("response_cost")
    model = str(hidden.get("litellm_model_name") or "")
    is_known = model in cost_map or model.partition("/")[2] in cost_map
    if not (isinstance(cost, float) and cost > 0 and is_known):
        return {}
    return {COST_HEADER: f"{cost:.12f}"}


class Pieces(AsyncIterator[bytes]):
    """The events of a stream. ``aclose`` hangs up on the provider, also when nothing was read yet."""

    def __init__(self, stream: Any, secrets: list[str]) -> None:
        self._stream = stream
        self._secrets = secrets
        self._is_ended = False

    async def __anext__(self) -> bytes:
        while not self._is_ended:
            try:
                chunk = await anext(self._stream, None)
            except Exception as error:
                raise read_exception(error, self._secrets) from error
            if chunk is None:
                self._is_ended = True
                return b"data: [DONE]\n\n"
            data = chunk_of_stream(chunk)
            self._check_end(data)
            self._check_usage(data)
            if data["choices"] or "usage" in data:
                return b"data: " + orjson.dumps(data) + b"\n\n"
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the provider's answer, wherever it is."""
        self._is_ended = True
        source = self._stream.completion_stream  # which the stream forgets as it closes
        await self._stream.aclose()
        # LiteLLM's reader of Anthropic's events cannot be closed, and so its connection would stay open until its
        # memory is collected: what it reads from can be. No longer needed once all of LiteLLM's readers close.
        for part in getattr(source, "__dict__", {}).values():
            if isasyncgen(part):
                with suppress(RuntimeError):
                    await part.aclose()

    def _check_end(self, data: dict[str, Any]) -> None:
        """LiteLLM ends a stream that broke off with a "stop" of its own making."""
        stream = self._stream
        if any(choice["finish_reason"] for choice in data["choices"]) and not (
            stream.received_finish_reason or stream.intermittent_finish_reason
        ):
            raise UpstreamStreamCut("the provider's stream ended before it said that it was done")

    def _check_usage(self, data: dict[str, Any]) -> None:
        """Leave out figures that no chunk of the provider's held: LiteLLM makes zeros of them."""
        if "usage" not in data:
            return
        reported = [usage for chunk in self._stream.chunks if (usage := getattr(chunk, "usage", 0))]
        if not reported:
            del data["usage"]
        elif not any(getattr(usage, "completion_tokens_details", None) for usage in reported):
            data["usage"].pop("completion_tokens_details", None)


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


def _no_headers(_secret: str) -> Headers:
    return ()


def traits(model: str) -> ChatTraits:
    """What LiteLLM takes: it says it in each provider's own way, and caching marks only where Claude answers."""
    is_claude = "claude" in model or "anthropic" in model
    return ChatTraits(
        model=model,
        reasoning="effort",
        reasoning_replay="details" if is_claude else "content",
        cache_control=is_claude,
        top_k=is_claude,
        pdf_files=True,
        user_field="user",
    )


def cost_map_names(_base_url: str, model: str) -> tuple[CostMapName, ...]:
    """The name as it is; and without the provider's, which LiteLLM leaves out for some."""
    provider, slash, rest = model.partition("/")
    return ((model, ""), (rest, provider)) if slash else ((model, ""),)


KIND = ProviderKind(
    name="litellm_sdk",
    label="LiteLLM SDK (in the process)",
    needs="Over a hundred providers through LiteLLM's package, inside the gateway. It needs the "
    "provider's API key, and models are entered by LiteLLM's names, such as openai/gpt-4o.",
    paths={Dialect.OPENAI_CHAT: "", Dialect.OPENAI_EMBEDDINGS: ""},
    credential_headers=_no_headers,
    traits=traits,
    read_error=read_error,
    cost_header=COST_HEADER,
    cost_map_names=cost_map_names,
    needs_credential=False,
    is_litellm=True,
    answer_in_process=answer,
    prepare=prepare,
)
