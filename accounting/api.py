"""The usage report as JSON."""

from datetime import UTC, datetime

from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounting.reports import as_tree, read_period, usage_report


class UsageView(APIView):
    """GET /api/usage/?from=&to=&team=&alias=&provider=: what the usage page shows. For staff."""

    permission_classes = (IsAdminUser,)

    def get(self, request: Request) -> Response:
        """The report; amounts are strings with all their digits."""
        period = read_period(request.query_params, today=datetime.now(UTC).date())
        return Response(as_tree(usage_report(period)))
