"""The lines to copy: what a shell makes of them is what was meant."""

import json
import shlex

from accounting.set_up_lines import claude_code_line, set_up_lines

URL = "http://gateway.example:8000"
NASTY = 'it\'s $(touch x) "quoted" `here`'


def words(model: str) -> dict[str, list[str]]:
    lines = set_up_lines(URL, key="gw-key", model=model)
    return {line.client: shlex.split(line.text.replace("\\\n", " ")) for line in lines}


def test_each_client_gets_the_address_the_key_and_the_model():
    found = words("demo")

    assert found["curl"][2] == f"{URL}/v1/messages"
    assert json.loads(found["curl"][-1])["model"] == "demo"
    assert found["Claude Code"] == [
        f"ANTHROPIC_BASE_URL={URL}",
        "ANTHROPIC_AUTH_TOKEN=gw-key",
        "claude",
        "--model",
        "demo",
    ]
    assert f'base_url="{URL}"' in found["Anthropic SDK"][2]
    assert f'base_url="{URL}/v1"' in found["OpenAI SDK"][2]
    for client in ("Anthropic SDK", "OpenAI SDK"):
        compile(found[client][2], client, "exec")


def test_a_name_that_a_shell_would_act_on_stays_a_name():
    found = words(NASTY)

    assert json.loads(found["curl"][-1])["model"] == NASTY
    assert found["Claude Code"][-1] == NASTY
    for client in ("Anthropic SDK", "OpenAI SDK"):
        assert found[client][:2] == ["python", "-c"]
        assert len(found[client]) == 3
        compile(found[client][2], client, "exec")


def test_claude_code_needs_no_model():
    assert claude_code_line(URL, key="k").endswith(" claude")
