"""The rows of accounting, split by subject."""

from accounting.models.mask_pattern import MaskPattern
from accounting.models.price import Price
from accounting.models.request_log import RequestLog
from accounting.models.team import Project, Team
from accounting.models.usage import UsageRecord
from accounting.models.version import KeysVersion
from accounting.models.virtual_key import VirtualKey

__all__ = [
    "KeysVersion",
    "MaskPattern",
    "Price",
    "Project",
    "RequestLog",
    "Team",
    "UsageRecord",
    "VirtualKey",
]
