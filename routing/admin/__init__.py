"""The admin pages of routing."""

from routing.admin.catalogue import DeploymentAdmin
from routing.admin.feature_flag import FeatureFlagAdmin
from routing.admin.header_rule import HeaderRuleAdmin
from routing.admin.provider import CredentialAdmin, ProviderAdmin
from routing.admin.route import ModelAliasAdmin, RouteAdmin
from routing.admin.tier import AgentTypeAdmin, ModelTierAdmin
from routing.admin.transformation import TransformationAdmin
from routing.admin.version import ConfigurationVersionAdmin

__all__ = [
    "AgentTypeAdmin",
    "ConfigurationVersionAdmin",
    "CredentialAdmin",
    "DeploymentAdmin",
    "FeatureFlagAdmin",
    "HeaderRuleAdmin",
    "ModelAliasAdmin",
    "ModelTierAdmin",
    "ProviderAdmin",
    "RouteAdmin",
    "TransformationAdmin",
]
