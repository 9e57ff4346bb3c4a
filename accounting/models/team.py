"""Who pays, and the subdivisions that reports tell apart."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from accounting.models.limits import Limited


class Team(Limited):
    """Who pays: holds virtual keys, and all spend is a team's."""

    slug = models.SlugField(
        max_length=64,
        unique=True,
        help_text="Short name used in usage records and commands, such as alder.",
    )
    name = models.CharField(
        max_length=100, blank=True, help_text="The name people read. Empty: the short name."
    )
    enabled = models.BooleanField(default=True, help_text="Off: all keys of the team are refused.")
    members_may_make_keys = models.BooleanField(
        "members may make keys",
        default=False,
        help_text="On: every member makes keys of their own on the team's page. Off: a lead makes them.",
    )
    keys_per_member_max = models.PositiveSmallIntegerField(
        "keys per member",
        default=3,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="How many keys that are neither revoked nor expired a member may have made or been given.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name or self.slug


class Project(Limited):
    """A team's subdivision for reports."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="projects")
    slug = models.SlugField(max_length=64, help_text="Short name, unique within the team.")
    name = models.CharField(max_length=100, blank=True)

    class Meta:
        ordering = ["team__slug", "slug"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "slug"],
                name="project_slug_is_unique_per_team",
                violation_error_message="This team has a project with that short name already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.team.slug}/{self.slug}"


class Membership(models.Model):
    """What a person may see and do in a team. Staff need none: they see and change all."""

    class Role(models.TextChoices):
        MEMBER = "member", "member"
        LEAD = "lead", "lead"
        AUDITOR = "auditor", "auditor"

    class Origin(models.TextChoices):
        HAND = "hand", "by hand"
        GROUP = "group", "by a group"

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    role = models.CharField(
        max_length=16,
        choices=Role,
        default=Role.MEMBER,
        help_text="Member: own keys and usage. Lead: the team's keys, budgets and usage. Auditor: sees what a lead sees, changes nothing.",
    )
    origin = models.CharField(
        "given",
        max_length=8,
        choices=Origin,
        default=Origin.HAND,
        help_text="By a group: changed and taken away at each sign-in, as the identity provider's groups say. By hand: stays as it is.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["team__slug", "user__username"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "user"],
                name="membership_is_unique_per_team",
                violation_error_message="This person is in the team already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user.get_username()} in {self.team.slug}"


class GroupGrant(models.Model):
    """What people in a group of the identity provider are in a team; looked at whenever one of them signs in."""

    group = models.CharField(
        max_length=200,
        help_text="The group as the identity provider says it, letter for letter, such as /llm/alder or an object id.",
    )
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="group_grants")
    role = models.CharField(
        max_length=16,
        choices=Membership.Role,
        default=Membership.Role.MEMBER,
        help_text="Who is in several groups of one team has the highest role: lead, then auditor, then member.",
    )

    class Meta:
        ordering = ["group", "team__slug"]
        constraints = [
            models.UniqueConstraint(
                fields=["group", "team"],
                name="group_is_granted_once_per_team",
                violation_error_message="This group has a role in this team already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.group} in {self.team.slug}"
