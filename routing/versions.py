"""Numbered versions of the configuration: written after each change, compared, and rolled back to.

A version is written in the transaction that changed the rows, by whoever knows its author; the watch of the serving
processes writes one for changes that nobody else did. Writers take turns at the row of ``RoutingVersion``, which every
change of a routing row counts up before it is committed: who holds it sees all rows as they will stay.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import DatabaseError, transaction

from routing import secrets, snapshot, witnesses
from routing.configuration.text import write_text
from routing.configuration.tree import routing_tree
from routing.differences import difference
from routing.errors import SecretUnreadable
from routing.models import ConfigurationVersion, Credential, RoutingVersion
from routing.state import Restored, State, are_same, is_empty, read_state, restore

log = logging.getLogger(__name__)

UNKNOWN = "unknown"
SYSTEM = "system"
SUMMARY_CHARS_MAX = 500
CHANGED_ELSEWHERE = "Changed past the admin and the commands."
AS_FOUND = "As it was found."


class RollBackRefused(Exception):
    """The configuration cannot be what it was then; nothing was changed."""


@dataclass(slots=True)
class Note:
    """What is done, in a sentence; may be written when it is known."""

    summary: str = ""


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The version that was written, None where there was nothing to change, and what happened to secrets."""

    version: ConfigurationVersion | None
    restored: Restored


def newest() -> ConfigurationVersion | None:
    """The newest version, without its state."""
    return ConfigurationVersion.objects.defer("state").order_by("-number").first()


def number_at(routing_number: int) -> int | None:
    """The version in force in a picture of that number; None when it was not written yet."""
    rows = ConfigurationVersion.objects.filter(routing_number__lte=routing_number)
    return rows.order_by("-number").values_list("number", flat=True).first()


@contextmanager
def changes_by(author: str, summary: str = "") -> Iterator[Note]:
    """A transaction whose changes of routing, if there are any, become one version of this author's.

    Changes wait here for each other before they touch a row, so that none of them can wait for the other in turn.
    """
    note = Note(summary)
    with transaction.atomic():
        witnesses.told().changes_begin()
        _take_turn()
        record_others()
        yield note
        record(author, note.summary)


def record(author: str, summary: str) -> ConfigurationVersion | None:
    """Write a version, if rows are not what they were in the newest; None if they are.

    To be called in the transaction that changed them, so that nobody else takes the change for theirs.
    """
    if is_up_to_date():
        return None
    with transaction.atomic():
        number = _take_turn()
        last = ConfigurationVersion.objects.order_by("-number").first()
        state = read_state()
        if last is None and is_empty(state):
            return None
        if last is not None and are_same(state, last.state):
            last.routing_number = number
            last.save(update_fields=["routing_number"])
            return None
        return _write(last, state, number, author=author, summary=summary)


def record_others() -> None:
    """Write a version of what was changed before by somebody who wrote none, so that it is not taken for the next one's."""
    if ConfigurationVersion.objects.exists():
        record(UNKNOWN, CHANGED_ELSEWHERE)
    else:
        record(SYSTEM, AS_FOUND)


def record_quietly() -> None:
    """As ``record_others``; a failure is logged, because serving goes on without versions."""
    try:
        record_others()
    except DatabaseError:
        log.exception("the version of a changed configuration cannot be written")


def is_up_to_date() -> bool:
    """Whether no row was changed since the newest version. Two small queries."""
    last = ConfigurationVersion.objects.order_by("-number").values_list("routing_number", flat=True)
    return last.first() == snapshot.version()


def _take_turn() -> int:
    """Wait until nobody else changes routing, and keep others out until the transaction ends; returns the rows' number."""
    RoutingVersion.objects.get_or_create(pk=1)
    return RoutingVersion.objects.select_for_update().get(pk=1).number


def _write(
    last: ConfigurationVersion | None, state: State, number: int, *, author: str, summary: str
) -> ConfigurationVersion:
    text = text_now()
    return ConfigurationVersion.objects.create(
        number=last.number + 1 if last else 1,
        made_at=datetime.now(UTC),
        author=author[:150],
        summary=shortened(summary),
        routing_number=number,
        state=state,
        text=text,
        diff="\n".join(difference(last.text if last else "", text)),
    )


def shortened(summary: str) -> str:
    """The summary as far as there is room for it."""
    is_long = len(summary) > SUMMARY_CHARS_MAX
    return f"{summary[: SUMMARY_CHARS_MAX - 1]}…" if is_long else summary


def text_now() -> str:
    """The configuration as YAML: as it is exported, with the last characters of secrets in place of their variables."""
    return write_text(routing_tree(secret_of=_shown_secret))


def _shown_secret(row: Credential, _variable: str) -> dict[str, Any]:
    sealed = f", sealed {row.sealed_at:%Y-%m-%d %H:%M:%S}" if row.sealed_at else ""
    return {"secret": f"…{row.last_four or '****'}{sealed}"}


@dataclass(frozen=True, slots=True)
class Present:
    """The configuration as it is now."""

    state: State
    text: str


def present() -> Present:
    """What the newest version holds where no row was changed since, which spares reading all of them."""
    if is_up_to_date():
        last = ConfigurationVersion.objects.order_by("-number").first()
        if last is not None:
            return Present(last.state, last.text)
    return Present(read_state(), text_now())


def difference_to(version: ConfigurationVersion, present: Present) -> list[str]:
    """What a roll-back to the version would change."""
    return difference(present.text, version.text)


def is_present(version: ConfigurationVersion, present: Present) -> bool:
    """Whether the rows are those of the version already."""
    return are_same(present.state, version.state)


def unreadable_secrets(version: ConfigurationVersion) -> list[str]:
    """The credentials of the version whose secrets no key in GATEWAY_SEALING_KEYS opens."""
    return [
        str(columns["label"])
        for columns in version.state.get("credential", {}).values()
        if _is_unreadable(columns["sealed_secret"])
    ]


def _is_unreadable(token: str) -> bool:
    try:
        secrets.open_sealed(token)
    except SecretUnreadable:
        return True
    return False


def roll_back(version: ConfigurationVersion, *, author: str, seen_number: int) -> RolledBack:
    """Make the rows what they were, in one transaction, and write that as a new version.

    ``seen_number`` is the rows' number at which it was shown what would change.

    Raises:
        RollBackRefused: rows have changed since, or no picture for serving can be built of what they were.
    """
    with transaction.atomic():
        witnesses.told().changes_begin()
        if _take_turn() != seen_number:
            raise RollBackRefused("The configuration has changed since; look at the changes again.")
        record_others()
        restored = restore(version.state)
        _try_to_build()
        written = record(author, f"Rolled back to version {version.number}.")
        return RolledBack(written, restored)


def _try_to_build() -> None:
    try:
        snapshot.build()
    except DatabaseError:
        raise
    except Exception as error:
        # Whatever it is that this version of the program cannot make of old rows, it must not be put in force.
        raise RollBackRefused(
            f"It cannot be put in force: {type(error).__name__}: {error}"
        ) from error


def reseal() -> int:
    """Seal the secrets of all versions with the newest key; returns how many no key opens any more, which stay as they are."""
    unreadable = 0
    for pk in list(ConfigurationVersion.objects.values_list("pk", flat=True)):
        version = ConfigurationVersion.objects.get(pk=pk)
        for columns in version.state.get("credential", {}).values():
            try:
                columns["sealed_secret"] = secrets.reseal(columns["sealed_secret"])
            except SecretUnreadable:
                unreadable += 1
        version.save(update_fields=["state"])
    return unreadable
