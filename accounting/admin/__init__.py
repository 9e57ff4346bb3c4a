"""The admin pages of accounting."""

from accounting.admin.price import PriceAdmin
from accounting.admin.team import ProjectAdmin, TeamAdmin
from accounting.admin.usage import UsageRecordAdmin
from accounting.admin.virtual_key import VirtualKeyAdmin

__all__ = ["PriceAdmin", "ProjectAdmin", "TeamAdmin", "UsageRecordAdmin", "VirtualKeyAdmin"]
