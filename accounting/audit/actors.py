"""Who acts in this process now, and by which way; knows no rows and no requests."""

import os
import pwd
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

COMMAND = "command"
NOBODY = "nobody"
"""The name of somebody who has not signed in."""
SERVERS = frozenset({"serve", "runserver"})
"""Commands that act for others as long as they run."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, a command, or the gateway itself. ``via`` is admin, api, page, command or gateway.

    ``address`` is where a person's browser is, or the account and the machine that a command ran under.
    """

    name: str
    via: str
    pk: int | None = None
    address: str = ""


GATEWAY = Actor("gateway", "gateway")


class _Process:
    """Who acts where nobody else is named."""

    actor = GATEWAY


_acting: ContextVar[Callable[[], Actor] | None] = ContextVar("acting", default=None)


def current() -> Actor:
    """Who acts now."""
    tell = _acting.get()
    return tell() if tell is not None else _Process.actor


@contextmanager
def acting(tell: Callable[[], Actor]) -> Iterator[None]:
    """Within it, who ``tell`` says acts; it is asked only when something is to be written down."""
    token = _acting.set(tell)
    try:
        yield
    finally:
        _acting.reset(token)


def process_is(actor: Actor) -> None:
    """From now on the actor is meant in all threads of this process, where nobody else is named."""
    _Process.actor = actor


def of_command_line(words: list[str]) -> Actor:
    """Who acts while ``manage.py`` runs with these words; a server acts for nobody of its own."""
    name = words[1] if len(words) > 1 else ""
    if not name or name.startswith("-") or name in SERVERS:
        return GATEWAY
    return Actor(name[:150], COMMAND, address=account())


def account() -> str:
    """The account and the machine that this process runs under, such as deploy@gw-1. Not from the environment, which anybody can set."""
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:  # a container may run under a number that has no name
        name = str(number)
    return f"{name}@{socket.gethostname()}"[:64]
