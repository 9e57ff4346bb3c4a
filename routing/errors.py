"""Routing's branch of the error tree.

    GatewayError
    └── RoutingError
        ├── ModelUnknown        no alias matches the name the client asked for, or the key may not use it
        ├── NoTarget            the alias exists, but nothing behind it can be called now
        ├── ProviderBusy        a provider has as many requests under way and waiting as it may have
        ├── CredentialNotSent   a provider is called with the client's own credential, and there is none
        ├── SecretUnreadable    a stored credential cannot be opened with the keys at hand
        └── SnapshotUnbuilt     there is no picture of the configuration yet

The network's own errors are in ``routing/upstream/errors.py``.
"""

from conversion.errors import GatewayError


class RoutingError(GatewayError):
    """A request that routing cannot place."""


class ModelUnknown(RoutingError):
    """No alias matches the name the client asked for, or its key may not use it."""


class NoTarget(RoutingError):
    """The alias exists, but nothing behind it can be called now."""


class ProviderBusy(RoutingError):
    """A provider has as many requests under way and waiting as its settings allow."""

    may_fall_back = True


class CredentialNotSent(RoutingError):
    """A provider is called with the client's own credential, and the client sent none beside the gateway's key."""

    may_fall_back = True


class SecretUnreadable(RoutingError):
    """A stored credential cannot be opened with the keys at hand."""


class SnapshotUnbuilt(RoutingError):
    """There is no picture of the configuration yet."""
