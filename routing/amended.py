"""Which deployments and credentials were edited between two snapshots, so that their failures say nothing any more."""

from collections.abc import Iterator
from typing import Any

from routing.pictures import CredentialPicture, ProviderPicture, Snapshot, Target


def amended(before: Snapshot, now: Snapshot) -> tuple[set[int], set[int]]:
    """The numbers of deployments and of credentials that reach their upstream in another way than before.

    A deployment does where its provider's kind, address or TLS was edited, or a secret that is sent for it; a credential,
    where its secret was.
    """
    known = {picture.pk: _reach(picture) for picture in before.providers.values()}
    moved = {
        picture.pk
        for picture in now.providers.values()
        if known.get(picture.pk, _reach(picture)) != _reach(picture)
    }
    secrets = {each.pk: each.secret.reveal() for each in _credentials(before)}
    credentials = {
        each.pk
        for each in _credentials(now)
        if secrets.get(each.pk, each.secret.reveal()) != each.secret.reveal()
    }
    if not (moved or credentials):
        return set(), set()
    deployments = {
        target.pk
        for target in _targets(now)
        if target.provider.pk in moved
        or not credentials.isdisjoint(each.pk for each in target.credentials)
    }
    return deployments, credentials


def _reach(picture: ProviderPicture) -> tuple[Any, ...]:
    return picture.kind.name, picture.base_url, picture.verify_tls, picture.ca_bundle_pem


def _credentials(snapshot: Snapshot) -> Iterator[CredentialPicture]:
    for picture in snapshot.providers.values():
        yield from picture.credentials


def _targets(snapshot: Snapshot) -> Iterator[Target]:
    for alias in (*snapshot.exact.values(), *snapshot.patterns):
        for route in alias.routes:
            yield from route.targets
