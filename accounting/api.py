"""The usage report as JSON, in a shape that stays while pages change."""

from datetime import UTC, date, datetime
from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounting.principals import Principal, principal_of
from accounting.report_query import Ask, read_ask, usage_of
from accounting.sums import Sums, added, ranked, sums_by
from accounting.tables import plain

COUNTS = (
    "requests",
    "attempts",
    "failed",
    "fallbacks",
    "unpriced",
    "prompt_tokens",
    "completion_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "ttft_ms",
)
AMOUNTS = ("spend_usd", "adjusted_usd", "cache_saved_usd")


class HasUsage(BasePermission):
    """For whoever is in a team, and staff."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether there is anything they may see."""
        del view
        return not principal_of(request.user).is_outsider


class UsageView(APIView):
    """GET /api/usage/: spend and tokens by day, team and model, of what the one who asks may see.

    Parameters are those of the report pages: period, or from and to (days, UTC), and a word for each of team,
    project, key, member, developer, model, alias, provider, kind, agent, tag, session and path.
    """

    permission_classes = (HasUsage,)

    def get(self, request: Request) -> Response:
        """The report; amounts are strings with all their digits."""
        ask = read_ask(request.query_params, today=datetime.now(UTC).date())
        return Response(usage_tree(ask, principal_of(request.user)))


def usage_tree(ask: Ask, principal: Principal) -> dict[str, Any]:
    """The report as a tree: one query, so that its sums are of one moment."""
    days: dict[date, Sums] = {}
    teams: dict[tuple[Any, ...], Sums] = {}
    models: dict[tuple[Any, ...], Sums] = {}
    for (on, team, model), sums in sums_by(
        usage_of(ask, principal), "on", "team", "upstream_model"
    ):
        days[on] = days.get(on, Sums()) + sums
        teams[(team,)] = teams.get((team,), Sums()) + sums
        models[(model,)] = models.get((model,), Sums()) + sums
    return {
        "from": str(ask.period.from_on),
        "to": str(ask.period.to_on),
        **ask.words,
        "totals": _tree_of(added(days.values())),
        "days": [{"name": str(on), **_tree_of(days[on])} for on in sorted(days)],
        "teams": [{"name": team, **_tree_of(sums)} for (team,), sums in ranked(teams)],
        "models": [{"name": model, **_tree_of(sums)} for (model,), sums in ranked(models)],
    }


def _tree_of(sums: Sums) -> dict[str, Any]:
    return {
        **{name: getattr(sums, name) for name in COUNTS},
        **{name: plain(getattr(sums, name)) for name in AMOUNTS},
    }
