"""What a team's own pages show of routing: the models that may be asked for, and the lines that set a client up."""

from collections.abc import Sequence

from django import template

from accounting.set_up_lines import NO_KEY, SetUpLine, set_up_lines
from routing import snapshot

register = template.Library()

MODELS_MAX = 200


@register.simple_tag
def models_to_ask_for() -> list[str]:
    """The names that ``/v1/models`` lists where a key is not narrowed to some, in order."""
    held = snapshot.in_force()
    names = (alias.name for alias in held.exact.values() if alias.visible) if held else ()
    return sorted(names)[:MODELS_MAX]


@register.simple_tag
def lines_for(url: str, key: str = "", models: Sequence[str] = ()) -> tuple[SetUpLine, ...]:
    """The lines to copy; without a key they say where it goes."""
    model = next((name for name in models if "*" not in name), "MODEL")
    return set_up_lines(url, key=key or NO_KEY, model=model)
