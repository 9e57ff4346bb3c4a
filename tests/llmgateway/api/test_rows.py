"""Rows are read, made, changed and deleted by the rules that the admin has."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from accounting.models import AuditEntry, Budget, Price, Team
from llmgateway.api.urls import router
from routing.models import ConfigurationVersion, Credential, Deployment, ModelAlias, Provider
from tests.factories.accounting import make_key, make_request_log, make_team, make_usage
from tests.factories.routing import SECRET, make_alias, make_deployment, make_provider

pytestmark = pytest.mark.django_db


def error(answer, status: int) -> dict:
    assert answer.status_code == status, answer.content
    told = answer.json()["error"]
    assert told.keys() == {"type", "message", "fields", "request_id"}
    assert answer["x-request-id"] == told["request_id"]
    return told


def test_a_provider_is_made_changed_and_deleted_and_each_is_a_version(api):
    made = api.post("providers/", {"slug": "router", "kind": "openrouter"})
    assert made.status_code == 201, made.content
    assert made["Location"] == "/api/providers/router/"
    assert made.json()["retries_max"] == 2

    changed = api.patch("providers/router/", {"retries_max": 5, "connect_timeout_s": "2.5"})
    assert changed.status_code == 200, changed.content
    assert Provider.objects.get().connect_timeout_s == Decimal("2.5")
    assert changed.json()["connect_timeout_s"] == "2.5"

    assert api.delete("providers/router/").status_code == 204
    assert error(api.get("providers/router/"), 404)["type"] == "not_found"
    versions = ConfigurationVersion.objects.filter(author="boss (token ci)")
    assert [row.summary for row in versions] == [
        "API: deleted provider.",
        "API: changed provider.",
        "API: added provider.",
    ]
    entry = AuditEntry.objects.filter(kind="routing.provider").first()
    assert (entry.actor, entry.via, entry.action) == ("boss (token ci)", "api", "delete")


def test_what_the_admin_refuses_is_refused_with_the_field_named(api):
    told = error(api.post("providers/", {"slug": "x y", "kind": "openai_compatible"}), 400)

    assert told["type"] == "invalid_request"
    assert told["fields"].keys() == {"slug", "base_url"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"slug": "a", "kind": "openrouter", "enabledd": True}, "enabledd"),
        ({"slug": "a", "kind": "openrouter", "enabled": "yes"}, "enabled"),
        ({"slug": 5, "kind": "openrouter"}, "slug"),
        ({"slug": "a", "kind": "openrouter", "retries_max": "2"}, "retries_max"),
        ({"slug": "a", "kind": "openrouter", "retries_max": 11}, "retries_max"),
        ({"slug": "a", "kind": "openrouter", "backoff_s": "abc"}, "backoff_s"),
        ({"slug": "a", "kind": "openrouter", "retry_statuses": [200]}, "retry_statuses"),
        ({"slug": "a\0", "kind": "openrouter"}, "slug"),
        ([], "__all__"),
    ],
    ids=["unknown", "truth", "text", "whole", "range", "amount", "list", "nul", "no-object"],
)  # fmt: skip
def test_values_are_of_their_type(api, body, field):
    assert field in error(api.post("providers/", body), 400)["fields"]
    assert not Provider.objects.exists()


def test_put_makes_what_is_not_there_and_replaces_what_is(api):
    made = api.put("teams/alder/", {"name": "Alder", "requests_per_minute": 5})
    assert made.status_code == 201, made.content
    assert made["Location"] == "/api/teams/alder/"
    replaced = api.put("teams/alder/", {"slug": "alder", "enabled": False})
    assert replaced.status_code == 200
    team = Team.objects.get()
    assert (team.name, team.requests_per_minute, team.enabled) == ("", None, False)

    told = error(api.put("teams/alder/", {"slug": "birch"}), 400)
    assert "PATCH" in told["fields"]["slug"][0]


def test_a_change_of_what_was_not_seen_is_refused(api):
    make_team()
    tag = api.get("teams/alder/")["ETag"]
    assert api.patch("teams/alder/", {"name": "One"}, **{"if-match": tag}).status_code == 200

    told = error(api.patch("teams/alder/", {"name": "Two"}, **{"if-match": tag}), 412)
    assert told["type"] == "precondition_failed"
    assert error(api.delete("teams/alder/", **{"if-match": tag}), 412)
    assert error(api.put("teams/new/", {}, **{"if-match": tag}), 412)
    assert api.delete("teams/alder/", **{"if-match": "*"}).status_code == 204


def test_a_secret_goes_in_and_never_comes_out(api):
    make_provider("router")
    made = api.post("credentials/", {"provider": "router", "label": "main", "secret": SECRET})
    assert made.status_code == 201, made.content
    row = Credential.objects.get()
    assert row.last_four == SECRET[-4:]
    pages = [
        made,
        api.get("credentials/"),
        api.get(f"credentials/{row.pk}/"),
        api.get("configuration/"),
        api.get("audit/"),
    ]
    assert all(SECRET not in page.content.decode() for page in pages)
    sealed = row.sealed_secret
    assert (
        api.put(f"credentials/{row.pk}/", {"provider": "router", "label": "new"}).status_code == 200
    )
    row.refresh_from_db()
    assert (row.label, row.sealed_secret) == ("new", sealed)

    assert (
        "secret"
        in error(api.post("credentials/", {"provider": "router", "label": "b"}), 400)["fields"]
    )
    bad = {"provider": "router", "label": "b", "secret": "two words"}
    assert "visible ASCII" in error(api.post("credentials/", bad), 400)["message"]


def test_facts_that_are_edited_here_are_an_operators(api):
    make_provider("router")
    made = api.post(
        "deployments/", {"provider": "router", "upstream_model": "m", "context_window_tokens": 9}
    )
    assert made.json()["fact_sources"] == {"context_window_tokens": "operator"}
    number = made.json()["id"]
    api.patch(f"deployments/{number}/", {"context_window_tokens": 9, "takes_tools": True})
    assert Deployment.objects.get().fact_sources.keys() == {"context_window_tokens", "takes_tools"}


def test_an_alias_comes_with_its_routes_and_targets(api):
    first, second = (make_deployment(make_provider(slug)) for slug in ("one", "two"))
    body = {
        "name": "sonnet",
        "routes": [
            {
                "strategy": "weighted",
                "targets": [{"deployment": first.pk}, {"deployment": second.pk, "weight": 3}],
            }
        ],
    }
    made = api.post("aliases/", body)
    assert made.status_code == 201, made.content
    route = ModelAlias.objects.get().routes.get()
    kept = {target.deployment_id: target.pk for target in route.targets.all()}

    number = made.json()["id"]
    body["routes"][0]["targets"].reverse()
    changed = api.patch(f"aliases/{number}/", {"routes": body["routes"]})
    assert [target["provider"] for target in changed.json()["routes"][0]["targets"]] == [
        "two",
        "one",
    ]
    assert {target.deployment_id: target.pk for target in route.targets.all()} == kept
    assert api.patch(f"aliases/{number}/", {"visible": False}).json()["routes"]

    twice = [{"targets": [{"deployment": first.pk}, {"deployment": first.pk}]}]
    assert (
        "routes.0.targets"
        in error(api.patch(f"aliases/{number}/", {"routes": twice}), 400)["fields"]
    )
    told = error(api.patch(f"aliases/{number}/", {"routes": [{"header": "no colon"}]}), 400)
    assert "routes.0.header" in told["fields"]
    assert api.put(f"aliases/{number}/", {"name": "sonnet"}).json()["routes"] == []
    assert "name" in error(api.post("aliases/", {"name": "x", "match": "wildcard"}), 400)["fields"]


def test_a_budget_says_what_is_spent_and_hides_its_webhook(api):
    make_team()
    body = {
        "team": "alder",
        "amount_usd": "10.5",
        "window": "total",
        "alert_webhook_url": "https://hooks.example/T0/planted",
    }
    made = api.post("budgets/", body)
    assert made.status_code == 201, made.content
    make_usage(cost_usd=Decimal("2.5"))
    told = api.get(f"budgets/{made.json()['id']}/")

    assert told.json()["standing"]["spent_usd"] == "2.5"
    assert told.json()["amount_usd"] == "10.5"
    assert told["ETag"] == made["ETag"]
    assert told.json()["alert_webhook"] == "https://hooks.example/…"
    assert "planted" not in told.content.decode()
    assert Budget.objects.get().alert_webhook_url.endswith("planted")
    assert "amount_usd" in error(api.post("budgets/", {**body, "amount_usd": 0}), 400)["fields"]
    assert "exactly one" in error(api.post("budgets/", {"amount_usd": 1}), 400)["message"]


def test_a_price_comes_with_its_tiers(api):
    rates = {"prompt_usd_per_mtok": "3", "completion_usd_per_mtok": 15}
    body = {
        "provider": "openrouter", "upstream_model": "m", "valid_from_at": "2026-01-01T00:00:00Z", **rates,
        "tiers": [{"prompt_tokens_above": 200_000, **rates}],
    }  # fmt: skip
    made = api.post("prices/", body)
    assert made.status_code == 201, made.content
    assert made.json()["source"] == "manual"
    number = made.json()["id"]
    assert api.patch(f"prices/{number}/", {"request_usd": "0.01"}).json()["tiers"]
    assert api.put(f"prices/{number}/", {**body, "tiers": []}).json()["tiers"] == []
    assert Price.objects.get().prompt_usd_per_mtok == 3
    assert error(api.post("prices/", body), 400)["fields"]


def test_lists_are_filtered_and_cut_into_pages(api):
    for name in ("a", "b", "c"):
        make_team(name)
    first = api.get("teams/?page_size=2").json()
    assert (first["count"], len(first["results"])) == (3, 2)
    assert api.get("teams/?page=2&page_size=2").json()["results"][0]["slug"] == "c"
    assert api.get("teams/?enabled=false").json()["count"] == 0
    make_key(make_team("a"))
    assert api.get("keys/?revoked=true").json()["count"] == 0
    assert api.get("keys/?revoked=false").json()["count"] == 1


@pytest.mark.parametrize("address", ["teams/?slog=a", "teams/?page=0", "teams/?page_size=501", "teams/?enabled=1", "teams/?page=1&page=2", "records/?from=yesterday", "teams/a/?page=1"])  # fmt: skip
def test_an_address_says_nothing_that_is_not_read(api, address):
    make_team("a")
    assert error(api.get(address), 400)["fields"]


def test_the_ledger_is_read_by_a_cursor(api):
    rows = [make_usage(tags=",red,") for _ in range(3)]
    first = api.get("records/?page_size=2").json()
    assert [row["id"] for row in first["results"]] == [rows[2].pk, rows[1].pk]
    assert first["results"][0]["tags"] == ["red"]
    rest = api.send("get", first["next"].partition("/api/")[2]).json()
    assert [row["id"] for row in rest["results"]] == [rows[0].pk]
    assert api.get(f"records/{rows[0].pk}/").json()["cost_usd"] is None
    assert api.get("records/?team=birch").json()["results"] == []
    assert error(api.send("delete", f"records/{rows[0].pk}/"), 405)["type"] == "method_not_allowed"


def test_a_request_log_is_masked_and_the_look_is_noted(api):
    row = make_request_log()
    assert api.get("logs/").json()["results"][0]["id"] == row.pk
    assert "bodies" in api.get(f"logs/{row.pk}/").json()
    assert AuditEntry.objects.filter(kind="accounting.requestlog", action="use").count() == 1


def test_each_address_of_the_api_answers_in_one_shape(api):
    assert error(api.get("nothing/"), 404)
    assert error(api.post("teams/", "no object"), 400)
    assert error(api.send("patch", "teams/"), 405)
    answer = api._client.post(
        "/api/teams/",
        "{",
        content_type="application/json",
        headers={"authorization": f"Bearer {api.secret}"},
    )
    assert error(answer, 400)
    answer = api._client.post(
        "/api/teams/",
        "<a/>",
        content_type="text/xml",
        headers={"authorization": f"Bearer {api.secret}"},
    )
    assert error(answer, 415)


def test_what_fails_inside_is_told_in_the_same_shape_and_logged(api, monkeypatch):
    monkeypatch.setattr("llmgateway.api.resources.accounts.Teams.rows", lambda self: 1 / 0)
    told = error(api.get("teams/"), 500)
    assert told["type"] == "internal_error"
    assert "ZeroDivision" not in told["message"]


def test_an_alert_and_adjustments_and_patterns_are_there(api):
    for name in (
        "alerts",
        "adjustments",
        "mask-patterns",
        "audit",
        "versions",
        "flags/declared",
        "tokens",
    ):
        assert api.get(f"{name}/").status_code == 200
    made = api.post("mask-patterns/", {"name": "numbers", "pattern": "[0-9]{9}"})
    assert made.status_code == 201
    assert (
        "pattern"
        in error(api.post("mask-patterns/", {"name": "bad", "pattern": "("}), 400)["fields"]
    )


def test_flags_tiers_agents_and_rules(api):
    make_alias("haiku")
    assert api.post("flags/", {"name": "log_bodies", "team": "alder"}).status_code == 201
    assert error(api.post("flags/", {"name": "log_bodies", "team": "alder"}), 400)
    assert error(api.post("flags/", {"name": "no_such"}), 400)["fields"].keys() == {"name"}
    assert api.put("tiers/fast/", {"alias": "haiku"}).status_code == 201
    assert api.put("agent-types/planner/", {"tier": "fast"}).status_code == 201
    assert api.post("header-rules/", {"action": "drop", "name": "x-a"}).status_code == 201
    assert (
        "provider"
        in error(
            api.post("header-rules/", {"action": "drop", "name": "x-a", "scope": "provider"}), 400
        )["fields"]
    )
    assert api.post("transformations/", {"pattern": "a+", "replacement": "b"}).status_code == 201
    assert "pattern" in error(api.post("transformations/", {"pattern": "("}), 400)["fields"]


def test_zero_bytes_are_found_nowhere(api):
    assert "team" in error(api.post("budgets/", {"team": "\0", "amount_usd": 1}), 400)["fields"]
    for path in ("teams/%00/", "records/%00/"):
        assert error(api.get(path), 404)
    assert error(api.put("teams/%00/", {}), 400)
    assert error(api.post("providers/%00/sync-models/"), 404)
    assert error(api.get("keys/?team=%00"), 400)


FILE = """
version: 1
teams:
  alder: {projects: [web]}
"""


def test_the_configuration_is_exported_and_imported(api):
    def send(text, kind="application/yaml", query=""):
        return api._client.post(
            f"/api/configuration/{query}",
            text,
            content_type=kind,
            headers={"authorization": f"Bearer {api.secret}"},
        )

    told = send(FILE, query="?dry_run=true").json()
    assert told["dry_run"]
    assert told["changes"]
    assert not Team.objects.exists()
    assert send(FILE).json()["changes"] == told["changes"]
    assert send(FILE).json()["changes"] == []
    assert "alder" in api.get("configuration/").json()["teams"]
    assert "alder:" in api.get("configuration/?as=yaml").content.decode()
    assert send('{"version": 1, "teams": {"birch": {}}}', "application/json").status_code == 200
    assert "line 3" in error(send("version: 1\n\nteems: {}\n"), 400)["fields"]
    assert "file" in error(send(b"\xff"), 400)["fields"]


@pytest.mark.parametrize(
    ("secret", "kind"),
    [
        ("'${GATEWAY_SECRET_KEY}'", "application/yaml"),
        (r'"${GATEWAY\x5fSECRET_KEY}"', "application/yaml"),
        (r'"$\u007bGATEWAY_SECRET_KEY}"', "application/json"),
        ("'${DATABASE_URL}'", "application/yaml"),
    ],
    ids=["plain", "escaped", "escaped-json", "database"],
)
def test_an_import_takes_nothing_that_the_gateway_runs_by(api, monkeypatch, secret, kind):
    for name in ("GATEWAY_SECRET_KEY", "DATABASE_URL"):
        monkeypatch.setenv(name, "what the gateway runs by")
    text = (
        '{"version": 1, "providers": {"x": {"kind": "openrouter", '
        f'"credentials": [{{"label": "a", "secret": {secret}}}]}}}}}}'
    )
    answer = api._client.post(
        "/api/configuration/",
        text,
        content_type=kind,
        headers={"authorization": f"Bearer {api.secret}"},
    )
    assert "a variable of the gateway itself" in error(answer, 400)["fields"]["line 1"][0]
    assert not Provider.objects.exists()


def test_a_version_is_looked_at_and_rolled_back_to(api):
    api.put("providers/one/", {"kind": "openrouter"})
    api.put("providers/two/", {"kind": "openrouter"})
    newest = api.get("versions/").json()["results"][0]
    older = newest["number"] - 1
    assert "two" in api.get(f"versions/{newest['number']}/").json()["diff"]
    difference = api.get(f"versions/{older}/difference/").json()
    assert not difference["is_same"]
    assert error(api.post(f"versions/{older}/roll-back/", {"seen_number": 0}), 409)
    wish = {"seen_number": difference["seen_number"]}
    done = api.post(f"versions/{older}/roll-back/", wish)
    assert done.json()["version"] == newest["number"] + 1, done.content
    assert [row.slug for row in Provider.objects.all()] == ["one"]
    assert api.get(f"versions/{older}/difference/").json()["is_same"]


@pytest.mark.usefixtures("nothing_in_force")
def test_a_request_is_explained(api):
    make_alias("sonnet", make_deployment(make_provider("router")))
    key = make_key().row
    body = {"model": "sonnet", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    told = api.post("explain/", {"body": body, "team": "alder"})
    assert told.status_code == 200, told.content
    assert told.json()["targets"][0]["provider"] == "router"
    assert told.json()["sent"] is None
    record = make_usage(alias="sonnet")
    assert api.post("explain/", {"record": record.pk}).json()["alias"] == "sonnet"
    for wrong, field in (
        ({}, "body"),
        ({"body": {}}, "body"),
        ({"body": body, "team": "none"}, "team"),
        ({"body": body, "key": 9999}, "key"),
        ({"record": "none"}, "record"),
        ({"body": body, "send": True}, "key"),
        ({"body": {**body, "max_tokens": 2**70}}, "body"),
    ):
        assert field in error(api.post("explain/", wrong), 400)["fields"]
    assert error(api.post("explain/", {"body": body, "key": key.pk, "send": True}), 409)


def test_a_provider_is_checked_and_its_models_synchronised(api):
    from tests.fakes.upstream import json_answer
    from tests.llmgateway.test_model_sync import LARGE, SMALL
    from tests.routing.test_commands import running_upstream

    with running_upstream() as fake:
        fake.default = json_answer({"data": [LARGE, SMALL]})
        make_provider("router", base_url=fake.url)
        assert api.post("providers/router/check/").json()["checked_at"]
        seen = api.post("providers/router/sync-models/", {"patterns": ["a/*"]}).json()
        assert ([entry["what"] for entry in seen["updates"]], seen["new"]) == (["new"], 0)
        wish = {"patterns": ["a/*"], "apply": [seen["updates"][0]["digest"]]}
        done = api.post("providers/router/sync-models/", wish)
        assert (done.json()["new"], done.json()["prices"]) == (1, 1)
        assert error(api.post("providers/router/sync-models/", wish), 409)
    assert error(api.post("providers/router/sync-models/"), 502)["type"] == "upstream_failed"
    assert error(api.post("providers/none/sync-models/"), 404)


def test_staff_read_the_document_and_its_page(client, boss, api):
    assert client.get("/api/docs/").status_code == 302
    client.force_login(boss)
    page = client.get("/api/docs/").content.decode()
    assert "api-docs.js" in page
    assert "<script>" not in page
    assert api.get("schema/").json()["openapi"].startswith("3.")
    assert client.get("/api/schema/?as=yaml").content.startswith(b"openapi: 3.")


def test_a_list_takes_as_many_queries_for_many_rows_as_for_few(api, django_assert_max_num_queries):
    team = make_team()
    for number in range(40):
        key = make_key(team, f"key-{number}").row
        window = ("day", "week", "month", "total")[number % 4]
        Budget.objects.create(key=key, amount_usd=5, window=window)
        make_usage(key_id=key.pk, cost_usd=Decimal(number), started_at=datetime.now(UTC))
        make_alias(f"alias-{number}", make_deployment(make_provider(f"provider-{number}")))
    for name, _view, _basename in router.registry:
        with django_assert_max_num_queries(15):
            assert api.get(f"{name}/").status_code == 200
    listed = api.get("budgets/").json()["results"]
    assert [row["standing"]["spent_usd"] for row in listed] == [str(n) for n in range(40)]
    for row in listed[:4]:
        assert api.get(f"budgets/{row['id']}/").json() == row
