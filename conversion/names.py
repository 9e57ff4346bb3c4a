"""Names that clients and operators write, and patterns for them in which each ``*`` stands for any text."""


def matches(pattern: str, name: str) -> bool:
    """Whether the name fits the pattern; linear in both."""
    if "*" not in pattern:
        return pattern == name
    head, *middle, tail = pattern.split("*")
    if not (name.startswith(head) and name.endswith(tail) and len(name) >= len(head) + len(tail)):
        return False
    position, end = len(head), len(name) - len(tail)
    for part in middle:
        position = name.find(part, position, end)
        if position < 0:
            return False
        position += len(part)
    return True


def matches_any(patterns: tuple[str, ...], name: str) -> bool:
    """Whether the name fits one of the patterns."""
    return any(matches(pattern, name) for pattern in patterns)
