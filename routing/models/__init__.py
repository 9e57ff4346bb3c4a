"""The rows of routing, split by subject."""

from routing.models.catalogue import Deployment
from routing.models.feature_flag import FeatureFlag
from routing.models.provider import Credential, Provider
from routing.models.route import ModelAlias, Route, RouteTarget
from routing.models.version import RoutingVersion

__all__ = [
    "Credential",
    "Deployment",
    "FeatureFlag",
    "ModelAlias",
    "Provider",
    "Route",
    "RouteTarget",
    "RoutingVersion",
]
