"""The rows of routing, split by subject."""

from routing.models.catalogue import Deployment
from routing.models.provider import Credential, Provider
from routing.models.route import ModelAlias, Route, RouteTarget
from routing.models.version import RoutingVersion

__all__ = [
    "Credential",
    "Deployment",
    "ModelAlias",
    "Provider",
    "Route",
    "RouteTarget",
    "RoutingVersion",
]
