"""The lines to copy for a client's first request: the one source for commands and pages that show a new key."""

import json
import shlex
from dataclasses import dataclass

NO_KEY = "YOUR-KEY"
"""Stands where a key cannot be shown."""
HELLO = [{"role": "user", "content": "Hello"}]


@dataclass(frozen=True, slots=True)
class SetUpLine:
    """One client with the line that sets it up; ``before`` is what has to be installed first, if anything."""

    client: str
    text: str
    before: str = ""


def set_up_lines(url: str, *, key: str, model: str) -> tuple[SetUpLine, ...]:
    """Lines for a shell, for a gateway at ``url``; the model's name may be anything, also what a shell would act on."""
    return (
        SetUpLine("curl", _curl(url, key, model)),
        SetUpLine("Claude Code", claude_code_line(url, key=key, model=model)),
        SetUpLine(
            "Anthropic SDK",
            _python(
                f"import anthropic; c = anthropic.Anthropic(base_url={_text(url)}, api_key={_text(key)}); "
                f"print(c.messages.create(model={_text(model)}, max_tokens=500, messages={_text(HELLO)}).content[0].text)"
            ),
            "pip install anthropic",
        ),
        SetUpLine(
            "OpenAI SDK",
            _python(
                f"import openai; c = openai.OpenAI(base_url={_text(f'{url}/v1')}, api_key={_text(key)}); "
                f"print(c.chat.completions.create(model={_text(model)}, messages={_text(HELLO)}).choices[0].message.content)"
            ),
            "pip install openai",
        ),
    )


def claude_code_line(url: str, *, key: str, model: str = "") -> str:
    """The line that starts Claude Code; without a model it asks for those it knows."""
    line = f"ANTHROPIC_BASE_URL={shlex.quote(url)} ANTHROPIC_AUTH_TOKEN={shlex.quote(key)} claude"
    return f"{line} --model {shlex.quote(model)}" if model else line


def _curl(url: str, key: str, model: str) -> str:
    body = {"model": model, "max_tokens": 500, "stream": True, "messages": HELLO}
    address = shlex.quote(f"{url}/v1/messages")
    return (
        f'curl -N {address} -H "x-api-key: {key}" -H "content-type: application/json" \\\n'
        f"  -d {shlex.quote(json.dumps(body))}"
    )


def _python(code: str) -> str:
    return f"python -c {shlex.quote(code)}"


def _text(value: object) -> str:
    """JSON's strings and lists are Python's, too."""
    return json.dumps(value)
