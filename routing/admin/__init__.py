"""The admin pages of routing."""

from routing.admin.catalogue import DeploymentAdmin
from routing.admin.feature_flag import FeatureFlagAdmin
from routing.admin.provider import CredentialAdmin, ProviderAdmin
from routing.admin.route import ModelAliasAdmin

__all__ = [
    "CredentialAdmin",
    "DeploymentAdmin",
    "FeatureFlagAdmin",
    "ModelAliasAdmin",
    "ProviderAdmin",
]
