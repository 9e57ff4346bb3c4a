"""The rows of accounting, split by subject."""

from accounting.models.adjustment import Adjustment
from accounting.models.archive import UsageArchive
from accounting.models.audit import AuditCheck, AuditEntry
from accounting.models.budget import Budget, BudgetAlert
from accounting.models.mask_pattern import MaskPattern
from accounting.models.price import Price, PriceTier
from accounting.models.request_log import RequestLog
from accounting.models.rollup import DailyLatency, DailyUsage, HourlyTtft, HourlyUsage
from accounting.models.team import GroupGrant, Membership, Project, Team
from accounting.models.usage import UsageRecord
from accounting.models.version import KeysVersion
from accounting.models.virtual_key import VirtualKey

__all__ = [
    "Adjustment",
    "AuditCheck",
    "AuditEntry",
    "Budget",
    "BudgetAlert",
    "DailyLatency",
    "DailyUsage",
    "GroupGrant",
    "HourlyTtft",
    "HourlyUsage",
    "KeysVersion",
    "MaskPattern",
    "Membership",
    "Price",
    "PriceTier",
    "Project",
    "RequestLog",
    "Team",
    "UsageArchive",
    "UsageRecord",
    "VirtualKey",
]
