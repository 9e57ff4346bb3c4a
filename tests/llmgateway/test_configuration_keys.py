"""Every key of a configuration file: it becomes rows, comes back the same, and its faults have their lines."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
import yaml
from django.conf import settings
from django.contrib.auth.models import User

from accounting.models import (
    AuditEntry,
    Budget,
    Membership,
    Price,
    PriceTier,
    Project,
    Team,
)
from llmgateway.api.resources.configuration import WRITTEN_BY_IMPORT
from llmgateway.configuration import ConfigurationFaulty, export, import_text
from routing import snapshot
from routing.configuration.variables import variable_names
from routing.models import (
    AgentType,
    Deployment,
    FeatureFlag,
    HeaderRule,
    ModelAlias,
    ModelTier,
    Provider,
    Route,
    RouteTarget,
    Transformation,
)
from tests.factories.routing import SECRET, make_alias, make_credential, make_provider

pytestmark = pytest.mark.django_db

EVERYTHING = """\
version: 1
providers:
  openrouter:
    kind: openrouter
    base_url: https://openrouter.test/api/v1
    dialect: openai_chat
    credential_mode: pass_through
    timeouts: {connect_s: 5, first_byte_s: 120, idle_s: 60, total_s: 600}
    verify_tls: true
    retries: {max: 3, backoff_s: 0.25, backoff_max_s: 8, statuses: [408, 429], network_errors: true}
    concurrency: {max: 20, queue: 50, wait_s: 2.5}
    cooldown: {after: 3, first_s: 10, longest_s: 600}
    checks: {every_s: 60, model: anthropic/claude-sonnet-4.5}
    credentials:
      - {label: main, secret: "${ROUTER_MAIN}", weight: 3}
      - {label: spare-1, secret: "${ROUTER_SPARE}", enabled: false}
    deployments:
      - model: anthropic/claude-opus-4.1
        context_window_tokens: 200000
        takes_tools: true
        parameters: {temperature: 0.1}
        sources: {context_window_tokens: openrouter list}
      - {model: unused/model, enabled: false}
      - {model: unused/bare}
    header_rules:
      - {action: force, name: HTTP-Referer, value: https://gateway.example}
      - {action: add, name: X-Title, value: "${team}", enabled: false}
  litellm:
    kind: litellm_proxy
    base_url: http://127.0.0.1:4000
    credentials: [{label: master, secret: "${LITELLM_MASTER_KEY}"}]
aliases:
  "claude-sonnet-*":
    match: wildcard
    strategy: lowest_latency
    sticky: false
    targets:
      - provider: openrouter
        model: anthropic/claude-sonnet-4.5
        takes_tools: true
        takes_images: false
        can_reason: true
        can_cache: true
        context_window_tokens: 200000
        max_output_tokens: 64000
        quirks: {top_k: false}
        parameters: {provider: {order: [anthropic]}}
      - {provider: litellm, model: claude-sonnet, weight: 0}
    header_rules: [{action: drop, name: "x-stainless-*"}]
  strong:
    routes:
      - strategy: weighted
        when:
          teams: [alder, "birch*"]
          projects: [web]
          keys: [laptop]
          agent_types: [summarizer]
          tiers: [strong]
          request_classes: [main]
          header: "x-env: prod*"
        targets:
          - provider: openrouter
            model: anthropic/claude-opus-4.1
            credential: main
            when: {prompt_longer_than_tokens: 1000, tools: true, images: true, reasoning: true}
          - provider: litellm
            model: claude-opus
            when: {prompt_at_most_tokens: 1000}
      - strategy: lowest_cost
        sticky: false
        enabled: false
        targets: [{provider: litellm, model: claude-opus}]
  retired: {enabled: false, routes: []}
header_rules:
  - {action: allow, name: accept}
  - {action: add, name: X-Gateway, value: llmgateway, position: 7}
transformations:
  - {scope: everything, direction: request, kind: regex, pattern: "sk-[A-Za-z0-9]{20,}", replacement: "[key]"}
  - {scope: provider, provider: litellm, direction: request, kind: json_drop, pattern: $.metadata.user_id}
  - {scope: route, alias: strong, direction: response, kind: json_set, pattern: $.note, value: {a: [1, 0.5, {b: null}]}, name: note}
  - {scope: everything, direction: response, kind: regex, pattern: secret, flags: im, replacement: "***", enabled: false}
tiers:
  strong: {alias: strong, description: The best there is}
agent_types:
  summarizer: {header: X-Claude-Code-Request-Class, value: "summary*", tier: strong}
  other: {enabled: false}
flags:
  bypass_litellm: true
  strict_conversion:
    enabled: false
    percentage: 30
    teams: {alder: true, birch: {enabled: true, percentage: 5}}
teams:
  alder:
    name: Alder
    requests_per_minute: 600
    tokens_per_minute: 1000000
    members: [{user: ada, role: lead}, {user: bob}]
    projects:
      - web
      - slug: app
        name: The app
        concurrent_requests: 20
        budgets: [{window: day, usd: 0.000000000001, hard: false}]
    budgets:
      - {window: month, usd: 500, hard: true}
      - window: total
        usd: "8999999.123456789012"
        time_zone: Europe/Berlin
        thresholds: [100, 50]
        emails: [cfo@example.com]
        webhook: "${BUDGET_WEBHOOK}"
        enabled: false
prices:
  - provider: openrouter
    model: anthropic/claude-sonnet-4.5
    prompt_usd_per_mtok: 3
    completion_usd_per_mtok: 15.00000001
    cache_read_usd_per_mtok: "0.30"
    cache_write_5m_usd_per_mtok: 3.75
    cache_write_1h_usd_per_mtok: 6
    reasoning_usd_per_mtok: 15
    request_usd: 0.00000001
    image_usd: 0.0048
    valid_from_at: 2026-01-31T12:30:00Z
    source: manual
    tiers:
      - {prompt_tokens_above: 200000, prompt_usd_per_mtok: 6, completion_usd_per_mtok: 22.5, cache_read_usd_per_mtok: 0.6}
      - {prompt_tokens_above: 500000, prompt_usd_per_mtok: 12, completion_usd_per_mtok: 45}
  - {provider: litellm, model: m, prompt_usd_per_mtok: 1, completion_usd_per_mtok: 2, valid_from_at: 2026-02-01}
"""


WEBHOOK = "https://hooks.example/services/T0/s3cret"


@pytest.fixture(autouse=True)
def _people():
    for name in ("ada", "bob"):
        User.objects.create(username=name)


@pytest.fixture(autouse=True)
def _variables(monkeypatch):
    for name in (
        "BUDGET_WEBHOOK",
        "BUDGET_ALDER_TOTAL_WEBHOOK_SECRET",
        "BUDGET_ALDER_MONTH_WEBHOOK_SECRET",
    ):
        monkeypatch.setenv(name, WEBHOOK)
    for name in (
        "ROUTER_MAIN",
        "ROUTER_SPARE",
        "LITELLM_MASTER_KEY",
        "OPENROUTER_MAIN_SECRET",
        "OPENROUTER_SPARE_1_SECRET",
        "LITELLM_MASTER_SECRET",
    ):
        monkeypatch.setenv(name, SECRET)


def faults_of(text: str) -> list[str]:
    """What is wrong with a file. Nothing of it may have been applied."""
    before = (snapshot.version(), export())
    with pytest.raises(ConfigurationFaulty) as caught:
        import_text(text, dry_run=False)
    assert (snapshot.version(), export()) == before
    return [str(fault) for fault in caught.value.faults]


def changes_of(text: str) -> list[str]:
    """What a file changes, which must be what a dry run says, and be done after one application."""
    dry = import_text(text, dry_run=True).changes
    done = import_text(text, dry_run=False).changes
    assert dry == done
    assert import_text(text, dry_run=False).changes == []
    return done


def test_the_api_knows_all_that_an_import_writes():
    import_text(EVERYTHING, dry_run=False)

    written = AuditEntry.objects.exclude(kind="auth.user").values_list("kind", flat=True)
    assert set(written) <= {model._meta.label_lower for model in WRITTEN_BY_IMPORT}


def test_a_providers_settings_become_its_row():
    import_text(EVERYTHING, dry_run=False)

    row = Provider.objects.get(slug="openrouter")
    assert (row.credential_mode, row.dialect) == ("pass_through", "openai_chat")
    assert (row.concurrent_max, row.queue_max, row.queue_wait_s) == (20, 50, Decimal("2.5"))
    assert (row.cooldown_after, row.cooldown_s, row.cooldown_max_s) == (3, 10, 600)
    assert (row.check_every_s, row.check_model) == (60, "anthropic/claude-sonnet-4.5")
    rules = HeaderRule.objects.filter(provider=row).order_by("position")
    assert [(r.action, r.name, r.value, r.enabled, r.scope) for r in rules] == [
        ("force", "HTTP-Referer", "https://gateway.example", True, "provider"),
        ("add", "X-Title", "${team}", False, "provider"),
    ]


def test_routes_and_targets_become_rows_with_their_conditions():
    import_text(EVERYTHING, dry_run=False)

    first, second = Route.objects.filter(alias__name="strong").order_by("position")
    assert (first.strategy, first.teams, first.projects) == ("weighted", "alder, birch*", "web")
    assert (first.keys, first.agent_types, first.tiers) == ("laptop", "summarizer", "strong")
    assert (first.request_classes, first.header) == ("main", "x-env: prod*")
    assert (second.strategy, second.is_sticky, second.enabled) == ("lowest_cost", False, False)
    long, short = first.targets.order_by("position")
    assert (long.prompt_tokens_over, long.prompt_tokens_at_most) == (1000, None)
    assert long.only_with_tools
    assert long.only_with_images
    assert long.only_with_reasoning
    assert (short.prompt_tokens_at_most, short.only_with_tools) == (1000, False)
    plain = Route.objects.get(alias__name="claude-sonnet-*")
    assert (plain.strategy, plain.is_sticky) == ("lowest_latency", False)
    target = plain.targets.get(weight=1)
    assert target.parameters == {"provider": {"order": ["anthropic"]}}
    facts = ("takes_tools", "takes_images", "can_reason", "can_cache", "max_output_tokens")
    assert [getattr(target.deployment, name) for name in facts] == [True, False, True, True, 64_000]
    assert target.deployment.traits == {"top_k": False}


def test_rules_and_transformations_become_rows_in_their_order():
    import_text(EVERYTHING, dry_run=False)

    rules = HeaderRule.objects.filter(scope="everything").order_by("position")
    assert [(rule.name, rule.position) for rule in rules] == [("accept", 0), ("X-Gateway", 7)]
    assert HeaderRule.objects.get(alias__name="claude-sonnet-*").name == "x-stainless-*"
    rows = list(Transformation.objects.order_by("position"))
    assert [row.position for row in rows] == [0, 1, 2, 3]
    assert [row.scope_text for row in rows] == [
        "everything",
        "provider litellm",
        "route strong",
        "everything",
    ]
    assert rows[2].value == {"a": [1, 0.5, {"b": None}]}
    assert (rows[2].name, rows[3].flags, rows[3].enabled) == ("note", "im", False)


def test_tiers_flags_teams_and_prices_become_rows():
    import_text(EVERYTHING, dry_run=False)

    tier = ModelTier.objects.get()
    assert (tier.slug, tier.alias.name, tier.description) == (
        "strong",
        "strong",
        "The best there is",
    )
    first, second = AgentType.objects.all()
    assert (first.header, first.value, first.tier) == (
        "x-claude-code-request-class",
        "summary*",
        tier,
    )
    assert (second.slug, second.enabled, second.tier, second.position) == ("other", False, None, 1)
    assert FeatureFlag.objects.get(team="birch").percentage == 5
    assert Project.objects.get(slug="app").name == "The app"
    price = Price.objects.get(provider="openrouter")
    assert price.completion_usd_per_mtok == Decimal("15.00000001")
    assert (price.cache_read_usd_per_mtok, price.request_usd) == (
        Decimal("0.30"),
        Decimal("0.00000001"),
    )
    assert price.valid_from_at == datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
    other = Price.objects.get(provider="litellm")
    assert (other.source, other.valid_from_at) == ("manual", datetime(2026, 2, 1, tzinfo=UTC))


def test_people_limits_budgets_and_price_tiers_become_rows():
    import_text(EVERYTHING, dry_run=False)

    team, app = Team.objects.get(), Project.objects.get(slug="app")
    assert (team.requests_per_minute, team.tokens_per_minute) == (600, 1_000_000)
    assert (team.concurrent_requests, app.concurrent_requests) == (None, 20)
    members = Membership.objects.values_list("team__slug", "user__username", "role")
    assert list(members) == [("alder", "ada", "lead"), ("alder", "bob", "member")]
    month, total = team.budgets.order_by("pk")
    assert (month.amount_usd, month.window, month.hard, month.time_zone) == (
        500,
        "month",
        True,
        "UTC",
    )
    assert (month.alert_thresholds, month.alert_emails, month.enabled) == ([80, 100], [], True)
    assert total.amount_usd == Decimal("8999999.123456789012")
    assert (total.time_zone, total.enabled, total.hard) == ("Europe/Berlin", False, True)
    assert (total.alert_thresholds, total.alert_emails) == ([50, 100], ["cfo@example.com"])
    assert total.alert_webhook_url == WEBHOOK
    day = app.budgets.get()
    assert (day.amount_usd, day.window, day.hard) == (Decimal("0.000000000001"), "day", False)
    price = Price.objects.get(provider="openrouter")
    assert price.image_usd == Decimal("0.0048")
    assert [
        (tier.prompt_tokens_above, tier.completion_usd_per_mtok, tier.cache_read_usd_per_mtok)
        for tier in price.tiers.all()
    ] == [(200_000, Decimal("22.5"), Decimal("0.6")), (500_000, 45, None)]


def test_a_budgets_webhook_is_told_nowhere():
    run = import_text(EVERYTHING, dry_run=False)
    Budget.objects.filter(window="total").update(alert_webhook_url="https://other.example/x")
    again = import_text(EVERYTHING, dry_run=False)

    assert again.changes == ["~ budget of team alder (total): webhook"]
    assert "s3cret" not in " ".join(run.changes) + yaml.safe_dump(export())
    budget = export()["teams"]["alder"]["budgets"][1]
    assert budget["webhook"] == "${BUDGET_ALDER_TOTAL_WEBHOOK_SECRET}"


def test_a_webhook_in_clear_is_taken_with_a_warning_and_an_empty_one_taken_out():
    text = "version: 1\nteams:\n  a:\n    budgets:\n    - {usd: 1, webhook: %s}\n"
    run = import_text(text % "https://hooks.example/x", dry_run=False)
    assert run.warnings == ["line 5: a secret stands in clear in the file; name a variable"]
    assert Budget.objects.get().alert_webhook_url == "https://hooks.example/x"

    assert changes_of(text % '""') == ["~ budget of team a (month): webhook"]
    assert Budget.objects.get().alert_webhook_url == ""


def test_webhooks_of_two_budgets_never_have_one_variable():
    for team, slug in (("a-b", "c"), ("a", "b-c")):
        row, _made = Team.objects.get_or_create(slug=team)
        project = Project.objects.create(team=row, slug=slug)
        Budget.objects.create(
            project=project, amount_usd=Decimal(1), alert_webhook_url=f"https://{team}.example/"
        )
    first, second = (export()["teams"][team]["projects"][0]["budgets"][0] for team in ("a", "a-b"))

    assert first["webhook"] != second["webhook"]


def test_changes_of_teams_are_told_with_their_old_and_new_values():
    import_text(EVERYTHING, dry_run=False)
    text = """\
version: 1
teams:
  alder:
    requests_per_minute: null
    members: [{user: bob, role: auditor}]
    projects: [{slug: app, concurrent_requests: 5}]
    budgets: [{window: month, usd: 499.5, thresholds: [100, 80]}]
"""

    assert changes_of(text) == [
        "~ team alder: requests_per_minute 600 -> None",
        "~ member bob of team alder: role 'member' -> 'auditor'",
        "~ project alder/app: concurrent_requests 20 -> 5",
        "~ budget of team alder (month): amount_usd Decimal('500.000000000000') -> 499.5",
    ]
    assert Membership.objects.count() == 2
    assert Budget.objects.count() == 3


def test_a_prices_tiers_are_the_ones_listed():
    import_text(EVERYTHING, dry_run=False)
    text = """\
version: 1
prices:
- provider: openrouter
  model: anthropic/claude-sonnet-4.5
  valid_from_at: 2026-01-31T12:30:00Z
  tiers: %s
"""
    what = "price openrouter: anthropic/claude-sonnet-4.5 from 2026-01-31T12:30:00Z"
    new = "{prompt_tokens_above: 300000, prompt_usd_per_mtok: 7, completion_usd_per_mtok: 23}"

    assert changes_of(text.replace("  tiers: %s\n", "")) == []
    assert changes_of(text % f"[{new}]") == [
        f"+ {what}, above 300000 tokens",
        f"- {what}, above 200000 tokens",
        f"- {what}, above 500000 tokens",
    ]
    assert changes_of(text % "[]") == [f"- {what}, above 300000 tokens"]
    assert not PriceTier.objects.exists()


def test_the_example_of_the_design_can_be_imported_whole(monkeypatch):
    for name in ("OPENROUTER_API_KEY", "LITELLM_MASTER_KEY"):
        monkeypatch.setenv(name, SECRET)
    text = """\
version: 1
providers:
  openrouter:
    kind: openrouter
    base_url: https://openrouter.ai/api/v1
    timeouts: {connect_s: 5, first_byte_s: 120, idle_s: 60, total_s: 600}
    verify_tls: true
    retries: {max: 3, backoff_s: 0.25, backoff_max_s: 8, statuses: [408, 429, 500, 502, 503, 504, 529], network_errors: true}
    credentials: [{label: main, secret: "${OPENROUTER_API_KEY}"}]
    header_rules: [{action: force, name: HTTP-Referer, value: https://gateway.example}]
  litellm:
    kind: litellm_proxy
    base_url: http://127.0.0.1:4000
    credentials: [{label: master, secret: "${LITELLM_MASTER_KEY}"}]
aliases:
  "claude-sonnet-*":
    match: wildcard
    targets:
      - {provider: openrouter, model: anthropic/claude-sonnet-4.5}
      - {provider: litellm, model: claude-sonnet}
transformations:
  - {scope: everything, direction: request, kind: regex, pattern: "sk-[A-Za-z0-9]{20,}", replacement: "[key]"}
flags: {bypass_litellm: true}
teams:
  alder: {projects: [web], budgets: [{window: month, usd: 500, hard: true}]}
"""

    assert "+ budget of team alder (month)" in changes_of(text)
    assert import_text(yaml.safe_dump(export()), dry_run=False).changes == []


def test_a_second_application_of_everything_changes_nothing():
    import_text(EVERYTHING, dry_run=False)
    number = snapshot.version()

    assert import_text(EVERYTHING, dry_run=False).changes == []
    assert snapshot.version() == number


def test_a_dry_run_of_everything_changes_nothing_and_says_the_same():
    dry = import_text(EVERYTHING, dry_run=True)

    assert not Provider.objects.exists()
    assert not Price.objects.exists()
    assert dry.changes == import_text(EVERYTHING, dry_run=False).changes


def test_everything_that_is_exported_can_be_imported_and_changes_nothing():
    import_text(EVERYTHING, dry_run=False)
    text = yaml.safe_dump(export(), sort_keys=False)

    assert import_text(text, dry_run=False).changes == []
    assert SECRET not in text


def test_everything_that_is_exported_makes_the_same_rows_in_an_empty_database():
    import_text(EVERYTHING, dry_run=False)
    before, pictures = export(), snapshot.build()
    for model in (
        Deployment,
        Provider,
        ModelAlias,
        Team,
        HeaderRule,
        Transformation,
        AgentType,
        FeatureFlag,
        Price,
    ):
        model.objects.all().delete()
    assert export() == {"version": 1, "providers": {}, "aliases": {}, "teams": {}}

    import_text(yaml.safe_dump(before, sort_keys=False), dry_run=False)

    assert export() == before
    assert snapshot.build().exact.keys() == pictures.exact.keys()
    told = Deployment.objects.get(upstream_model="anthropic/claude-opus-4.1", credential=None)
    assert told.fact_sources == {"context_window_tokens": "openrouter list"}


def test_what_is_written_in_the_admin_can_be_exported_and_imported():
    provider = make_provider()
    deployment = Deployment.objects.create(provider=provider, upstream_model="m")
    alias = make_alias("a", deployment)
    Route.objects.filter(alias=alias).update(teams="alder,birch ,", position=4, is_sticky=False)
    Route.objects.create(alias=alias, position=4)
    for position in (3, 3, 0):
        HeaderRule.objects.create(action="add", name=f"X-{position}", position=position)
        Transformation.objects.create(pattern=f"x{position}", position=position)
    Transformation.objects.create(pattern="y", position=3, scope="provider", provider=provider)

    assert import_text(yaml.safe_dump(export()), dry_run=False).changes == []
    assert [entry["pattern"] for entry in export()["transformations"]] == ["x0", "x3", "x3", "y"]


def test_the_example_in_the_documentation_can_be_imported(monkeypatch):
    page = (settings.BASE_DIR / "docs/operators/routing.md").read_text()
    example = page.split("```yaml\n")[1].split("```")[0]
    monkeypatch.setenv("OPENROUTER_API_KEY", SECRET)

    assert changes_of(example)
    assert import_text(yaml.safe_dump(export()), dry_run=False).changes == []


BASE = """\
version: 1
providers:
  demo: {kind: demo}
aliases:
  x:
    targets: [{provider: demo, model: m}]
"""


def test_a_list_of_header_rules_replaces_the_one_that_is_there():
    import_text(BASE, dry_run=False)
    one = "{action: force, name: X-One, value: '1'}"
    two = "{action: drop, name: X-Two}"
    text = "version: 1\nproviders:\n  demo:\n    header_rules: [%s]\n"

    assert changes_of(text % f"{one}, {two}") == [
        "+ provider demo: header rule {action: force, name: X-One, value: '1'}",
        "+ provider demo: header rule {action: drop, name: X-Two}",
    ]
    first = HeaderRule.objects.get(name="X-One").pk
    assert changes_of(text % f"{two}, {one}") == ["~ provider demo: header rule: order"]
    assert HeaderRule.objects.get(name="X-Two").pk == first
    assert changes_of(text % two) == [
        "- provider demo: header rule {action: force, name: X-One, value: '1'}"
    ]
    assert changes_of("version: 1\nproviders: {demo: {}}\n") == []
    assert changes_of(text % "") == ["- provider demo: header rule {action: drop, name: X-Two}"]
    assert not HeaderRule.objects.exists()


def test_lists_of_one_scope_leave_those_of_others_alone():
    import_text(BASE, dry_run=False)
    rule = "[{action: drop, name: X-Two}]"
    text = (
        f"version: 1\nproviders: {{demo: {{header_rules: {rule}}}}}\n"
        f"aliases: {{x: {{header_rules: {rule}}}}}\nheader_rules: {rule}\n"
    )

    assert len(changes_of(text)) == 3
    assert changes_of("version: 1\nheader_rules: []") == [
        "- header rule {action: drop, name: X-Two}"
    ]
    assert sorted(rule.scope for rule in HeaderRule.objects.all()) == ["provider", "route"]


def test_a_list_of_transformations_replaces_the_one_that_is_there():
    text = "version: 1\ntransformations:\n"
    one, two = "  - {kind: regex, pattern: one}\n", "  - {kind: json_drop, pattern: $.two}\n"

    assert len(changes_of(text + one + two)) == 2
    assert changes_of(text + two + one) == ["~ transformation: order"]
    assert changes_of(text + two + one.replace("}", ", flags: i}")) == [
        "- transformation {scope: everything, direction: request, kind: regex, pattern: one}",
        "+ transformation {scope: everything, direction: request, kind: regex, pattern: one, flags: i}",
    ]
    assert changes_of("version: 1\n") == []
    assert len(changes_of("version: 1\ntransformations: []")) == 2


def test_the_short_form_is_one_route():
    import_text(BASE, dry_run=False)
    pk = Route.objects.get().pk
    routes = """\
version: 1
aliases:
  x:
    routes:
      - {when: {teams: [alder]}, targets: [{provider: demo, model: m}]}
      - {strategy: weighted, targets: [{provider: demo, model: n}]}
"""
    assert changes_of(routes) == [
        "+ deployment demo: n",
        "~ alias x, route 1: when as by default -> {'teams': ['alder']}",
        "+ alias x, route 2",
        "~ alias x, route 2: targets demo: n",
    ]
    assert Route.objects.order_by("position").first().pk == pk

    assert changes_of(BASE) == [
        "- alias x, route 2",
        "~ alias x: when {'teams': ['alder']} -> as by default",
    ]
    assert Route.objects.get().pk == pk


def test_settings_of_the_short_form_without_targets_leave_other_routes_alone():
    import_text(BASE, dry_run=False)
    alias = ModelAlias.objects.get()
    Route.objects.create(alias=alias, position=1, teams="alder")

    assert changes_of("version: 1\naliases: {x: {strategy: weighted, sticky: false}}") == [
        "~ alias x, route 1: strategy 'in_order' -> 'weighted'",
        "~ alias x, route 1: sticky as by default -> False",
    ]
    assert [(r.strategy, r.teams) for r in alias.routes.order_by("position")] == [
        ("weighted", ""),
        ("in_order", "alder"),
    ]
    assert RouteTarget.objects.count() == 1


def test_an_alias_without_a_word_on_routes_gets_none():
    assert changes_of("version: 1\naliases: {x: {}}") == ["+ alias x"]
    assert not Route.objects.exists()


def test_a_fact_that_a_file_changes_is_an_operators_from_then_on():
    import_text(BASE, dry_run=False)
    Deployment.objects.update(
        context_window_tokens=5, fact_sources={"context_window_tokens": "x list"}
    )
    text = BASE.replace("model: m", "model: m, context_window_tokens: %d")

    assert changes_of(text % 5) == []
    assert Deployment.objects.get().fact_sources == {"context_window_tokens": "x list"}
    changes_of(text % 6)
    assert Deployment.objects.get().fact_sources == {"context_window_tokens": "operator"}


def test_two_targets_that_say_different_things_of_one_deployment_are_a_fault():
    text = BASE + "  y:\n    targets: [{provider: demo, model: m, takes_tools: %s}]\n"
    text += "  z:\n    targets: [{provider: demo, model: m, takes_tools: true}]\n"

    assert faults_of(text % "false") == [
        "line 10: takes_tools: line 8 says something else of deployment demo: m"
    ]
    assert changes_of(text % "true")


def test_labels_that_differ_only_in_punctuation_have_variables_of_their_own(monkeypatch):
    provider = make_provider()
    for label in ("key-1", "key.1", "key 2"):
        make_credential(provider, label, secret=f"secret-of-{label}-0123456789")
    make_credential(make_provider("openrouter-key"), "1", secret="yet-another-secret-0123")
    tree = export()["providers"]
    names = {
        entry["label"]: entry["secret"].strip("${}") for entry in tree["openrouter"]["credentials"]
    }

    assert len(set(names.values())) == 3
    assert names["key 2"] == "OPENROUTER_KEY_2_SECRET"
    assert names["key-1"].startswith("OPENROUTER_KEY_1_SECRET_")
    other = tree["openrouter-key"]["credentials"][0]["secret"]
    assert other not in names.values()
    for label, name in names.items():
        monkeypatch.setenv(name, f"secret-of-{label}-0123456789")
    monkeypatch.setenv(other.strip("${}"), "yet-another-secret-0123")
    assert import_text(yaml.safe_dump(export()), dry_run=False).changes == []


def test_the_variable_of_a_credential_does_not_depend_on_the_order():
    pairs = [("a", "b-c"), ("a-b", "c"), ("a", "b.c")]

    assert variable_names(pairs) == variable_names(reversed(pairs))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("budgets: []", "line 2: the file has no setting 'budgets'"),
        ("teams:\n  a: {budgets: {}}", "line 3: budgets must be a list"),
        ("teams:\n  a: {budgets: [{}]}", "line 3: a budget needs usd"),
        ("teams:\n  a: {budgets: [{usd: 5, colour: red}]}", "line 3: a budget has no setting"),
        ("teams:\n  a: {budgets: [{usd: free}]}", "line 3: amount_usd: must be an amount in USD"),
        ("teams:\n  a: {budgets: [{usd: true}]}", "line 3: amount_usd: must be an amount in USD"),
        ("teams:\n  a: {budgets: [{usd: 0}]}", "line 3: amount_usd: Enter more than 0"),
        (
            "teams:\n  a: {budgets: [{usd: '0.0000000000001'}]}",
            "line 3: amount_usd: has more than 12 places",
        ),
        (
            "teams:\n  a: {budgets: [{usd: 5, window: year}]}",
            "line 3: window must be one of day, week, month, total",
        ),
        (
            "teams:\n  a: {budgets: [{usd: 5}, {usd: 6, window: month}]}",
            "line 3: team a has two budgets for the window month",
        ),
        (
            "teams:\n  a:\n    budgets:\n    - usd: 5\n      time_zone: Mars/Base",
            "line 6: time_zone: Enter a time zone's name",
        ),
        (
            "teams:\n  a:\n    budgets:\n    - usd: 5\n      thresholds: [0]",
            "line 6: alert_thresholds: Enter a list of whole percentages",
        ),
        (
            "teams:\n  a:\n    budgets:\n    - usd: 5\n      emails: [nobody]",
            "line 6: alert_emails: 'nobody' is no e-mail address.",
        ),
        (
            "teams:\n  a:\n    budgets:\n    - usd: 5\n      webhook: '${NOT_SET}'",
            "line 6: the environment variable NOT_SET is not set",
        ),
        ("teams:\n  a: {budgets: [{usd: 5, webhook: 7}]}", "line 3: webhook must be text"),
        (
            "teams:\n  a: {budgets: [{usd: 5, webhook: 'ftp://x.example'}]}",
            "line 3: alert_webhook_url: Enter an address that begins with https://",
        ),
        ("teams:\n  a: {members: [{user: nobody}]}", "line 3: there is no user 'nobody'"),
        ("teams:\n  a: {members: [{user: ada, role: boss}]}", "line 3: role: Value 'boss' is"),
        ("teams:\n  a: {members: [{user: ada, rank: 1}]}", "line 3: a member has no setting"),
        ("teams:\n  a: {members: [ada]}", "line 3: each of members must be a mapping"),
        ("teams:\n  a: {requests_per_minute: 0}", "line 3: requests_per_minute: Ensure this"),
        ("teams:\n  a: {tokens_per_minute: 1.5}", "line 3: tokens_per_minute: must be a whole"),
        (
            "teams:\n  a: {projects: [{slug: w, budgets: [{}]}]}",
            "line 3: a budget needs usd",
        ),
        (
            "prices:\n- {provider: p, model: m, valid_from_at: 2026-01-01, prompt_usd_per_mtok: 1, "
            "completion_usd_per_mtok: 1, tiers: [{prompt_tokens_above: many}]}",
            "line 3: a tier needs prompt_tokens_above",
        ),
        (
            "prices:\n- {provider: p, model: m, valid_from_at: 2026-01-01, prompt_usd_per_mtok: 1, "
            "completion_usd_per_mtok: 1, tiers: [{prompt_tokens_above: 1}]}",
            "line 3: prompt_usd_per_mtok: This field cannot be null.",
        ),
        (
            "prices:\n- {provider: p, model: m, valid_from_at: 2026-01-01, prompt_usd_per_mtok: 1, "
            "completion_usd_per_mtok: 1, tiers: [{prompt_tokens_above: 1, prompt_usd_per_mtok: 1, "
            "completion_usd_per_mtok: 1}, {prompt_tokens_above: 1}]}",
            "line 3: there are two tiers above 1 tokens",
        ),
        ("header_rules: {}", "line 2: header_rules must be a list"),
        ("header_rules:\n- {name: X}", "line 3: action: This field cannot be blank."),
        ("header_rules:\n- {action: burn, name: X}", "line 3: action: Value 'burn' is not"),
        ("header_rules:\n- action: drop\n  name: two words", "line 4: name: A header's name"),
        ("header_rules:\n- {action: force, name: X}", "line 3: value: Say what to send."),
        ("header_rules:\n- {action: force, name: X, value: on}", "line 3: value: must be text"),
        ("header_rules:\n- {action: force, name: X, value: [a]}", "line 3: value: must be text"),
        ("header_rules:\n- {action: force, name: Host, value: x}", "line 3: name: Host is no rule"),
        (
            "header_rules:\n- {action: drop, name: X, scope: everything}",
            "line 3: a header rule has",
        ),
        ("header_rules:\n- {action: drop, name: X, position: first}", "line 3: position: "),
        ("transformations: x", "line 2: transformations must be a list"),
        ("transformations:\n- {pattern: '('}", "line 3: pattern: Not an RE2 expression"),
        ("transformations:\n- {pattern: a, kind: sed}", "line 3: kind: Value 'sed' is not"),
        ("transformations:\n- {pattern: a, flags: z}", "line 3: flags: Unknown: z"),
        ("transformations:\n- {pattern: a, direction: up}", "line 3: direction: Value 'up'"),
        ("transformations:\n- {pattern: a, scope: provider}", "line 3: provider: Choose one"),
        ("transformations:\n- {pattern: a, scope: route}", "line 3: alias: Choose one"),
        ("transformations:\n- {pattern: a, provider: y}", "line 3: there is no provider 'y'"),
        ("transformations:\n- {pattern: a, alias: y}", "line 3: there is no alias 'y'"),
        ("transformations:\n- {pattern: a, alias: x}", "line 3: alias: The scope does not ask"),
        (
            "transformations:\n- {kind: json_set, pattern: $.a, value: 2026-01-01}",
            "line 3: value: ",
        ),
        ("transformations:\n- {}", "line 3: pattern: This field cannot be blank."),
        ("tiers:\n  t: {}", "line 3: tier 't' needs an alias"),
        ("tiers:\n  t: nobody", "line 3: there is no alias 'nobody'"),
        ("tiers:\n  t: {alias: nobody}", "line 3: there is no alias 'nobody'"),
        ("tiers:\n  t: {alias: any, colour: red}", "line 3: tier 't' has no setting 'colour'"),
        ("tiers:\n  t: 5", "line 3: 't' must be a mapping"),
        ("agent_types:\n  a: {tier: t}", "line 3: there is no tier 't'"),
        ("agent_types:\n  a: {header: two words}", "line 3: header: A header's name"),
        ("agent_types:\n  two words: {}", "line 3: slug: "),
        ("flags: {strict_conversion: {teams: [alder]}}", "line 2: teams must be a mapping"),
        ("flags: {strict_conversion: {teams: {alder: {on: 1}}}}", "line 2: alder has no setting"),
        ("teams:\n  a: {projects: [{name: x}]}", "line 3: a project needs a slug"),
        ("teams:\n  a: {projects: [{slug: x, colour: y}]}", "line 3: a project has no setting"),
        ("prices: {}", "line 2: prices must be a list"),
        ("prices:\n- {model: m}", "line 3: a price needs a provider"),
        ("prices:\n- {provider: demo}", "line 3: a price needs a model"),
        ("prices:\n- {provider: demo, model: m}", "line 3: a price needs valid_from_at"),
        ("prices:\n- {provider: demo, model: m, valid_from_at: soon}", "line 3: a price needs"),
        ("prices:\n- {provider: demo, model: m, valid_from_at: '2026-13-01'}", "line 3: a price"),
        ("prices:\n- {provider: p, model: m, valid_from_at: 2026-01-01}", "line 3: prompt_usd"),
        (
            "prices:\n- provider: p\n  model: m\n  valid_from_at: 2026-01-01\n  prompt_usd_per_mtok: free",
            "line 6: prompt_usd_per_mtok: ",
        ),
        (
            "prices:\n- {provider: p, model: m, valid_from_at: 2026-01-01, prompt_usd_per_mtok: 0.000000001}",
            "line 3: prompt_usd_per_mtok: Ensure that there are no more than 8 decimal places.",
        ),
        (
            "prices:\n- {provider: p, model: m, valid_from_at: 2026-01-01, prompt_usd_per_mtok: -1}",
            "line 3: prompt_usd_per_mtok: Ensure this value is greater than or equal to 0.",
        ),
        ("prices:\n- {provider: p, model: m, usd: 5}", "line 3: a price has no setting 'usd'"),
    ],
)
def test_a_fault_in_a_section_is_told_with_its_line(text, fault):
    import_text("version: 1\nproviders: {demo: {kind: demo}}\naliases: {x: {}}", dry_run=False)

    told = faults_of(f"version: 1\n{text}\n")

    assert any(found.startswith(fault) for found in told), told


@pytest.mark.parametrize(
    ("alias", "fault"),
    [
        ("routes: {}", "line 4: routes must be a list"),
        ("routes: [5]", "line 4: each of routes must be a mapping"),
        ("routes: []\n    strategy: weighted", "line 5: strategy belongs into one of the routes"),
        ("routes: []\n    targets: []", "line 5: targets belongs into one of the routes"),
        ("routes:\n    - {colour: red}", "line 5: a route has no setting 'colour'"),
        ("routes:\n    - {when: 5}", "line 5: when must be a mapping"),
        ("routes:\n    - {when: {team: [a]}}", "line 5: when has no setting 'team'"),
        ("routes:\n    - when:\n        teams: 5", "line 6: teams must be a list of words"),
        ("routes:\n    - when:\n        keys: [5]", "line 6: keys must be a list of words"),
        ("routes:\n    - when:\n        keys: ['a,b']", "line 6: keys: a comma separates words"),
        ("routes:\n    - when:\n        header: prod", "line 6: header: Write a name, a colon"),
        ("routes:\n    - strategy: random", "line 5: strategy: Value 'random' is not"),
        ("routes:\n    - sticky: perhaps", "line 5: is_sticky: "),
        (
            "targets:\n    - {provider: demo, model: m, when: {prompt_longer_than_tokens: many}}",
            "line 5: prompt_tokens_over: ",
        ),
        (
            "targets:\n    - {provider: demo, model: m, when: {longer: 5}}",
            "line 5: when has no setting 'longer'",
        ),
        (
            "targets:\n    - {provider: demo, model: m, when: {tools: perhaps}}",
            "line 5: only_with_tools: ",
        ),
        (
            "targets:\n    - {provider: demo, model: m, takes_tools: perhaps}",
            "line 5: takes_tools: ",
        ),
        ("header_rules: [{action: add, name: '*'}]", "line 4: name: A header's name"),
    ],
)
def test_a_fault_in_an_alias_is_told_with_its_line(alias, fault):
    import_text("version: 1\nproviders: {demo: {kind: demo}}", dry_run=False)

    told = faults_of(f"version: 1\naliases:\n  x:\n    {alias}\n")

    assert any(found.startswith(fault) for found in told), told


@pytest.mark.parametrize(
    ("provider", "fault"),
    [
        ("concurrency: {max: -1}", "concurrent_max: "),
        ("concurrency: {most: 1}", "concurrency has no setting 'most'"),
        ("cooldown: {first_s: 0}", "cooldown_s: "),
        ("checks: {every_s: often}", "check_every_s: "),
        ("credential_mode: shared", "credential_mode: Value 'shared' is not"),
        ("deployments: {}", "deployments must be a list"),
        ("deployments: [{}]", "a deployment needs a model"),
        ("deployments: [{model: m, credential: x}]", "provider demo has no credential 'x'"),
        ("deployments: [{model: m, weight: 1}]", "a deployment has no setting 'weight'"),
        ("deployments: [{model: m, sources: x}]", "sources must be a mapping"),
        ("deployments: [{model: m, sources: {colour: x}}]", "sources must be a mapping"),
        ("header_rules: [{action: drop}]", "name: This field cannot be blank."),
    ],
)
def test_a_fault_in_a_provider_is_told_with_its_line(provider, fault):
    (told,) = faults_of(f"version: 1\nproviders:\n  demo:\n    kind: demo\n    {provider}\n")

    assert told.startswith(f"line 5: {fault}")
