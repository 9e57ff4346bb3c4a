"""The places in an upstream model's name, ``{1}`` or ``{name}``, that are filled with what an alias's pattern matched."""

import re

import re2

PLACE = re.compile(r"\{(\w+)\}")


def unknown_places(upstream_model: str, *, match: str, alias: str) -> list[str]:
    """The places that the alias has nothing for, in order; all of them where it is an exact name.

    Empty for a pattern that does not compile: that is told elsewhere.
    """
    asked = PLACE.findall(upstream_model)
    if not asked:
        return []
    try:
        known = _groups(match, alias)
    except re2.error:
        return []
    return sorted({place for place in asked if place not in known})


def _groups(match: str, alias: str) -> set[str]:
    if match == "wildcard":
        return {str(number) for number in range(alias.count("*") + 1)}
    if match == "regex":
        pattern = re2.compile(alias)
        return {str(number) for number in range(pattern.groups + 1)} | set(pattern.groupindex)
    return set()


def words(places: list[str]) -> str:
    """The places as they are written."""
    return ", ".join(f"{{{place}}}" for place in places)
