"""Writes random passwords and keys for compose.yaml into .env, for its owner only; what is there already stays.

Needs nothing but Python, so that it runs on a machine that has only the containers.
"""

import base64
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

HEAD = "# Made by deploy/make_secrets.py for compose.yaml. Keep a copy in a safe place: without GATEWAY_SEALING_KEYS\n# the stored credentials of providers cannot be read again.\n"


def fernet_key() -> str:
    """32 random bytes as cryptography's Fernet wants them."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def password() -> str:
    """Letters and digits only: it stands inside of addresses."""
    return secrets.token_hex(24)


MADE: dict[str, Callable[[], str]] = {
    "POSTGRES_PASSWORD": password,
    "REDIS_PASSWORD": password,
    "GATEWAY_SECRET_KEY": lambda: secrets.token_hex(32),
    "GATEWAY_SEALING_KEYS": fernet_key,
    "LITELLM_POSTGRES_PASSWORD": password,
    "LITELLM_MASTER_KEY": lambda: "sk-" + secrets.token_hex(24),
    "LITELLM_SALT_KEY": lambda: "sk-" + secrets.token_hex(24),
}


def names_in(text: str) -> set[str]:
    """The variables that a .env file sets to something."""
    pairs = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    return {name.removeprefix("export ").strip() for name, _sign, value in pairs if value.strip()}


def add_missing(path: Path) -> list[str]:
    """Add what the file does not have; the names of what was made."""
    there = path.read_text(encoding="utf-8") if path.exists() else HEAD
    missing = [name for name in MADE if name not in names_in(there)]
    if there and not there.endswith("\n"):
        there += "\n"
    text = there + "".join(f"{name}={MADE[name]()}\n" for name in missing)
    # Beside it first, and never readable by others: a half-written file would be half of the passwords.
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    with open(
        os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
    ) as file:
        file.write(text)
    beside.replace(path)
    return missing


def main() -> None:
    """Do so for the file that is named, or for .env beside compose.yaml."""
    default = Path(__file__).resolve().parent.parent / ".env"
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    made = add_missing(path)
    told = ", ".join(made) if made else "nothing, all is there"
    sys.stdout.write(f"{path}: made {told}.\n")


if __name__ == "__main__":
    main()
