"""The admin pages of accounting."""

from accounting.admin.mask_pattern import MaskPatternAdmin
from accounting.admin.price import PriceAdmin
from accounting.admin.request_log import RequestLogAdmin
from accounting.admin.team import ProjectAdmin, TeamAdmin
from accounting.admin.usage import UsageRecordAdmin
from accounting.admin.virtual_key import VirtualKeyAdmin

__all__ = [
    "MaskPatternAdmin",
    "PriceAdmin",
    "ProjectAdmin",
    "RequestLogAdmin",
    "TeamAdmin",
    "UsageRecordAdmin",
    "VirtualKeyAdmin",
]
