"""Everything that the document says is asked of the API, and much that it does not say: nothing may break."""

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import load_all_checks
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance, unsupported_method

from accounting.models import Membership, Project
from llmgateway.api import tokens
from tests.factories.accounting import (
    make_key,
    make_price,
    make_request_log,
    make_team,
    make_usage,
)
from tests.factories.routing import make_alias, make_credential, make_deployment, make_provider

pytestmark = pytest.mark.uncovered
load_all_checks()
schema = schemathesis.openapi.from_dict(SchemaGenerator().get_schema(request=None, public=True))
schema.app = get_wsgi_application()
# Providers would be called, and the report reads its words more kindly than its document says.
PASSED_OVER = ("/check/", "/sync-models/", "/api/usage/")
OPERATIONS = {
    found.ok().label: found.ok()
    for found in schema.get_all_operations()
    if not found.ok().path.endswith(PASSED_OVER)
}
TRIED = 8


@pytest.fixture(autouse=True)
def connection_stays():
    """A request's begin and end would close the connection that holds the test's transaction."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def secret(db) -> str:
    """An administrator's token, and a row of most kinds."""
    boss = User.objects.create_superuser("boss")
    team = make_team()
    Membership.objects.create(team=team, user=boss, role="lead")
    Project.objects.create(team=team, slug="web")
    provider = make_provider("router")
    make_credential(provider)
    make_alias("sonnet", make_deployment(provider))
    make_key(team)
    make_price()
    make_usage()
    make_request_log()
    return tokens.mint(boss, "ci", scope="admin").secret


def test_all_operations_are_tried():
    assert len(OPERATIONS) > 100


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("label", sorted(OPERATIONS))
@pytest.mark.usefixtures("nothing_in_force")
def test_the_api_is_what_its_document_says(label, mode, secret):
    cases = OPERATIONS[label].as_strategy(generation_mode=mode)
    if cases.is_empty:
        return  # there is nothing that could be said wrongly

    @settings(
        max_examples=TRIED,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(case=cases)
    def ask(case):
        # Rows have rules that no document can state: what is of the right form may still be refused.
        with transaction.atomic():
            case.call_and_validate(
                headers={"Authorization": f"Bearer {secret}"},
                excluded_checks=[positive_data_acceptance, unsupported_method],
            )

    ask()
