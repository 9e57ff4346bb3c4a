"""Typed readers of the environment for settings.py, which is the only place that uses them.

A value that cannot be read stops the start with a sentence that names the variable.
"""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

from conversion.addresses import AddressRules, read_networks

env = environ.Env()

Network = IPv4Network | IPv6Network


def env_text(name: str, default: str = "") -> str:
    """The variable as text, as it stands: a leading ``$`` names no other variable."""
    return os.environ.get(name, default)


def tell_children(name: str, value: str) -> None:
    """Have the processes that are started from now on see the variable."""
    os.environ[name] = value


def env_bool(name: str, *, default: bool) -> bool:
    """The variable as yes or no."""
    value = env_text(name).strip().lower()
    if not value:
        return default
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}.")


def env_int(name: str, *, default: int, at_least: int = 0) -> int:
    """The variable as a whole number."""
    value = env_text(name).strip()
    if not value:
        return default
    try:
        number = int(value)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must be a whole number, not {value!r}.") from error
    if number < at_least:
        raise ImproperlyConfigured(f"{name} must be at least {at_least}, not {number}.")
    return number


def env_list(name: str, *, default: list[str]) -> list[str]:
    """The variable as words separated by commas."""
    value = env_text(name)
    return [word.strip() for word in value.split(",") if word.strip()] if value else default


def env_networks(name: str) -> list[Network]:
    """The variable as addresses and networks (10.0.0.0/8) separated by commas."""
    try:
        return [ip_network(word, strict=False) for word in env_list(name, default=[])]
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}.") from error


def env_address_rules(*, allowed: str, denied: str) -> AddressRules:
    """Which addresses may be called: two variables of networks and words separated by commas."""
    networks = {}
    for name in (allowed, denied):
        try:
            networks[name] = read_networks(env_list(name, default=[]))
        except ValueError as error:
            raise ImproperlyConfigured(
                f"{name}: {error}. Write networks (10.0.0.0/8), loopback, private or everything."
            ) from error
    return AddressRules(networks[allowed], networks[denied])


def env_secret(name: str, *, kept_in: Path, make: Callable[[], str]) -> str:
    """A secret: from ``NAME``, from the file that ``NAME_FILE`` names, or from ``kept_in``, made there once."""
    return env_given_secret(name) or _kept_secret(kept_in, make)


def env_given_secret(name: str) -> str:
    """A secret that only somebody else can give: from ``NAME`` or the file that ``NAME_FILE`` names; empty without."""
    value = env_text(name).strip()
    named_file = env_text(f"{name}_FILE").strip()
    if value or not named_file:
        return value
    try:
        told = Path(named_file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE: {error}") from error
    except UnicodeDecodeError:  # which holds what it could not read
        raise ImproperlyConfigured(f"{name}_FILE: {named_file} is no text in UTF-8.") from None
    if (
        not told
    ):  # going on as if nothing were said would take another database, or make another key
        raise ImproperlyConfigured(f"{name}_FILE: {named_file} is empty.")
    return told


def env_database(name: str, *, default: str) -> dict[str, Any]:
    """The database that the variable, or its file, names by an address, as Django wants it."""
    try:
        return dict(env.db_url_config(env_given_secret(name) or default))
    except ValueError:  # which holds a part of the address, and that may be of the password
        raise ImproperlyConfigured(
            f"{name} must be an address such as postgres://user:password@host:5432/name; special characters of the "
            "password are percent-encoded."
        ) from None


def env_mail_server(name: str) -> dict[str, Any]:
    """The mail server that the variable, or its file, names by an address, as Django's settings; empty without."""
    told = env_given_secret(name)
    if not told:
        return {}
    try:
        return dict(env.email_url_config(told))
    except (ImproperlyConfigured, ValueError):
        raise ImproperlyConfigured(
            f"{name} must be an address such as smtp+tls://user:password@mail.example:587."
        ) from None


def _kept_secret(path: Path, make: Callable[[], str]) -> str:
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_once(path, make() + "\n")
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"{path} cannot be written: {error.strerror}. Set GATEWAY_DATA_DIR to a folder of the gateway's own."
        ) from error


def _write_once(path: Path, text: str) -> None:
    """Make the file with all of its text or not at all; one that another process made meanwhile stays."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, encoding="utf-8") as file:
        file.write(text)
        file.flush()
        with contextlib.suppress(FileExistsError):
            os.link(
                file.name, path
            )  # the temporary file is readable by its owner only, and so is this


def random_words() -> str:
    """A fresh secret of 64 random characters."""
    return secrets.token_urlsafe(48)
