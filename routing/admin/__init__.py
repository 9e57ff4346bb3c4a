"""The admin pages of routing."""

from routing.admin.catalogue import DeploymentAdmin
from routing.admin.feature_flag import FeatureFlagAdmin
from routing.admin.header_rule import HeaderRuleAdmin
from routing.admin.provider import CredentialAdmin, ProviderAdmin
from routing.admin.route import ModelAliasAdmin
from routing.admin.tier import AgentTypeAdmin, ModelTierAdmin
from routing.admin.transformation import TransformationAdmin

__all__ = [
    "AgentTypeAdmin",
    "CredentialAdmin",
    "DeploymentAdmin",
    "FeatureFlagAdmin",
    "HeaderRuleAdmin",
    "ModelAliasAdmin",
    "ModelTierAdmin",
    "ProviderAdmin",
    "TransformationAdmin",
]
