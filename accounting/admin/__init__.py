"""The admin pages of accounting."""

from accounting.admin.adjustment import AdjustmentAdmin
from accounting.admin.audit import AuditEntryAdmin
from accounting.admin.budget import BudgetAdmin, BudgetAlertAdmin
from accounting.admin.group_grant import GroupGrantAdmin
from accounting.admin.mask_pattern import MaskPatternAdmin
from accounting.admin.membership import MembershipAdmin
from accounting.admin.price import PriceAdmin
from accounting.admin.request_log import RequestLogAdmin
from accounting.admin.team import ProjectAdmin, TeamAdmin
from accounting.admin.usage import UsageRecordAdmin
from accounting.admin.virtual_key import VirtualKeyAdmin

__all__ = [
    "AdjustmentAdmin",
    "AuditEntryAdmin",
    "BudgetAdmin",
    "BudgetAlertAdmin",
    "GroupGrantAdmin",
    "MaskPatternAdmin",
    "MembershipAdmin",
    "PriceAdmin",
    "ProjectAdmin",
    "RequestLogAdmin",
    "TeamAdmin",
    "UsageRecordAdmin",
    "VirtualKeyAdmin",
]
