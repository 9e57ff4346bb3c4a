"""The rows of routing, split by subject."""

from routing.models.catalogue import Deployment
from routing.models.configuration_version import ConfigurationVersion
from routing.models.feature_flag import FeatureFlag
from routing.models.header_rule import HeaderRule
from routing.models.provider import Credential, CredentialMode, Provider
from routing.models.provider_check import ProviderCheck
from routing.models.route import ModelAlias, Route, RouteTarget
from routing.models.tier import AgentType, ModelTier
from routing.models.transformation import Transformation
from routing.models.version import RoutingVersion

__all__ = [
    "AgentType",
    "ConfigurationVersion",
    "Credential",
    "CredentialMode",
    "Deployment",
    "FeatureFlag",
    "HeaderRule",
    "ModelAlias",
    "ModelTier",
    "Provider",
    "ProviderCheck",
    "Route",
    "RouteTarget",
    "RoutingVersion",
    "Transformation",
]
