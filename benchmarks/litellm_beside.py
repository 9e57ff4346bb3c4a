"""A LiteLLM proxy for the same upstream, where ``make test`` has installed one: no database, no logs, one worker."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.servers import Server, free_port, serving

PROGRAM = Path(sys.prefix) / "litellm-proxy" / "bin" / "litellm"
KEY = "sk-litellm-bench-0123456789"
MISSING = "LiteLLM proxy is not installed (make .venv/litellm-proxy/installed): not compared."


def is_installed() -> bool:
    """Whether there is one to compare with."""
    return PROGRAM.exists()


@contextlib.contextmanager
def litellm_proxy(folder: Path, base_url: str) -> Iterator[Server]:
    """The proxy with the model ``bench``, from when it is ready until the block ends."""
    tree = {
        "model_list": [
            {
                "model_name": "bench",
                "litellm_params": {
                    "model": "openai/bench/model",
                    "api_base": base_url,
                    "api_key": "sk-bench",
                },
            }
        ],
        "general_settings": {"master_key": KEY},
        "litellm_settings": {
            "telemetry": False,
            "num_retries": 0,
            # Else /v1/messages asks at /responses, where a chat upstream has nothing.
            "use_chat_completions_url_for_anthropic_messages": True,
        },
    }
    config = folder / "litellm.yaml"
    config.write_text(json.dumps(tree))  # YAML holds JSON
    port = free_port()
    words = [str(PROGRAM), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    with serving(
        words,
        port,
        ready="/health/liveliness",
        key=KEY,
        LITELLM_LOCAL_MODEL_COST_MAP="True",
        LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS="True",
        LITELLM_LOCAL_BLOG_POSTS="True",
        LITELLM_MODE="PRODUCTION",
        LITELLM_LOG="ERROR",
    ) as running:
        yield running
