"""Stands where connections are opened, and lets none lead to an address that the gateway may not call.

What is judged is the number that is about to be connected to, after names were looked up, so that a name that leads
elsewhere today than yesterday gains nothing. It costs a connection 2 us, and a request over one that is open nothing.
Redirects are followed nowhere, and the environment's proxies are not used. For what is not the hot path,
``guarded.py`` puts the same doorman before httpx.
"""

import socket
from ipaddress import ip_address
from typing import Any

from django.conf import settings


class RefusedHere:
    """An error that says why an address is not called, and names no address: a name may be a secret."""


class ConnectionRefusedHere(RefusedHere, OSError):
    """A refusal in the words of sockets."""


AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]


def check(host: str) -> None:
    """Let a number pass, or not.

    Raises:
        ConnectionRefusedHere: it may not be called.
    """
    why = settings.OUTBOUND.refusal(ip_address(host))
    if why:
        raise ConnectionRefusedHere(
            f"its address is {why}, and is not called (GATEWAY_OUTBOUND_ALLOW)"
        )


def make_socket(info: AddressInfo) -> socket.socket:
    """A socket for one address of a host, as aiohappyeyeballs asks for it before it connects.

    Raises:
        ConnectionRefusedHere: the address may not be called.
    """
    family, kind, protocol, _name, place = info
    check(place[0])
    return socket.socket(family=family, type=kind, proto=protocol)


def refusal_behind(error: BaseException) -> str:
    """What the doorman said, where it is why something failed; empty otherwise."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, RefusedHere):
            return str(seen)
        seen = getattr(seen, "os_error", None) or seen.__cause__ or seen.__context__
    return ""
