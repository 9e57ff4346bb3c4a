"""What a service of compose.yaml would see: as much of Compose's rules as the file uses."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
VARIABLE = re.compile(r"\$(?:\$|\{(\w+))")


@cache
def compose() -> dict:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


def filled_in(text: str, values: Mapping[str, str]) -> str:
    """The text with ``${NAME:-default}``, ``${NAME-default}``, ``${NAME:?complaint}`` and ``$$`` replaced."""
    made, at = "", 0
    while found := VARIABLE.search(text, at):
        made += text[at : found.start()]
        if found[0] == "$$":
            made, at = made + "$", found.end()
            continue
        end = _closing(text, found.end())
        made += _value(found[1], text[found.end() : end], values)
        at = end + 1
    return made + text[at:]


def _closing(text: str, start: int) -> int:
    depth = 1
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at
    raise ValueError(f"never closed: {text}")


def _value(name: str, rest: str, values: Mapping[str, str]) -> str:
    counts = values.get(name, "") != "" if rest.startswith(":") else name in values
    if counts:
        return values[name]
    how = rest.removeprefix(":")
    if how.startswith("-"):
        return filled_in(how[1:], values)
    raise ValueError(f"{name} is not set: {rest}")


def environment_of(name: str, dotenv: Mapping[str, str]) -> dict[str, str]:
    """What the service's processes see where ``.env`` holds these variables."""
    service = compose()["services"][name]
    seen: dict[str, str] = {}
    for file in service.get("env_file", []):
        assert file["path"] == ".env"
        seen |= dotenv
    given = service.get("environment", {})
    return seen | {key: filled_in(str(value), dotenv) for key, value in given.items()}
