"""Configuration as code: every fault with its line, and a file that is applied twice changes nothing."""

import io
from decimal import Decimal

import pytest
import yaml
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from accounting.models import Project, Team
from llmgateway.configuration import ConfigurationFaulty, export, import_text, variable_name
from routing import secrets, snapshot
from routing.models import (
    Credential,
    Deployment,
    FeatureFlag,
    ModelAlias,
    Provider,
    RouteTarget,
)
from tests.factories.routing import (
    SECRET,
    make_alias,
    make_credential,
    make_deployment,
    make_provider,
)

pytestmark = pytest.mark.django_db

FULL = """\
version: 1
providers:
  openrouter:
    kind: openrouter
    base_url: https://upstream.test/v1
    timeouts: {connect_s: 1.5, total_s: 90}
    retries: {max: 1, backoff_s: 0.1, statuses: [503], network_errors: false}
    credentials:
      - {label: main, secret: "${TEST_SECRET}", weight: 2}
  demo:
    kind: demo
aliases:
  claude-*:
    match: wildcard
    strategy: weighted
    targets:
      - provider: openrouter
        model: anthropic/claude-{1}
        credential: main
        weight: 3
        context_window_tokens: 200000
        max_output_tokens: 8192
        parameters: {temperature: 0.2, provider: {order: [x]}}
        quirks: {top_k: false, efforts: [low, high]}
      - {provider: demo, model: demo-1}
  plain:
    description: A plain name
    targets:
      - {provider: demo, model: demo-1}
teams:
  alder:
    name: Alder
    projects: [web, app]
  birch:
"""


@pytest.fixture(autouse=True)
def _variable(monkeypatch):
    monkeypatch.setenv("TEST_SECRET", SECRET)


def faults_of(text: str) -> list[str]:
    """What is wrong with a file. Nothing of it may have been applied."""
    number = snapshot.version()
    with pytest.raises(ConfigurationFaulty) as caught:
        import_text(text, dry_run=False)
    assert snapshot.version() == number
    assert str(caught.value) == "\n".join(str(fault) for fault in caught.value.faults)
    return [str(fault) for fault in caught.value.faults]


def test_a_file_becomes_rows():
    run = import_text(FULL, dry_run=False)

    provider = Provider.objects.get(slug="openrouter")
    assert provider.base_url == "https://upstream.test/v1"
    assert (provider.connect_timeout_s, provider.total_timeout_s) == (Decimal("1.5"), 90)
    assert (provider.retries_max, provider.backoff_s) == (1, Decimal("0.1"))
    assert (provider.retry_statuses, provider.retry_network_errors) == ([503], False)
    credential = Credential.objects.get()
    assert (credential.label, credential.weight) == ("main", 2)
    assert secrets.open_sealed(credential.sealed_secret).reveal() == SECRET
    deployment = Deployment.objects.get(provider=provider)
    assert deployment.credential == credential
    assert (deployment.context_window_tokens, deployment.max_output_tokens) == (200_000, 8192)
    assert RouteTarget.objects.get(deployment=deployment).parameters == {
        "temperature": 0.2,
        "provider": {"order": ["x"]},
    }
    assert deployment.traits == {"top_k": False, "efforts": ["low", "high"]}
    route = ModelAlias.objects.get(name="claude-*").routes.get()
    assert route.strategy == "weighted"
    assert [(t.deployment.provider.slug, t.weight, t.position) for t in route.targets.all()] == [
        ("openrouter", 3, 0),
        ("demo", 1, 1),
    ]
    assert ModelAlias.objects.get(name="plain").description == "A plain name"
    assert [str(project) for project in Project.objects.all()] == ["alder/app", "alder/web"]
    assert Team.objects.get(slug="birch").enabled
    assert run.warnings == []
    assert run.changes[0] == "+ provider openrouter"
    assert "~ alias claude-*: targets openrouter: anthropic/claude-{1}, demo: demo-1" in run.changes
    assert SECRET not in " ".join(run.changes)


def test_a_second_application_changes_nothing():
    import_text(FULL, dry_run=False)
    number = snapshot.version()

    assert import_text(FULL, dry_run=False).changes == []
    assert Credential.objects.count() == 1
    assert RouteTarget.objects.count() == 3
    assert snapshot.version() == number


def test_a_dry_run_says_the_same_and_changes_nothing():
    dry = import_text(FULL, dry_run=True)

    assert Provider.objects.count() == Team.objects.count() == ModelAlias.objects.count() == 0
    assert snapshot.version() == 0
    assert dry.changes == import_text(FULL, dry_run=False).changes


def test_changes_are_told_with_their_old_and_new_values():
    import_text(FULL, dry_run=False)

    changed = FULL.replace("connect_s: 1.5", "connect_s: 2").replace("weight: 3", "weight: 4")
    run = import_text(changed.replace("name: Alder", "name: The alders"), dry_run=False)

    assert run.changes == [
        "~ provider openrouter: connect_timeout_s Decimal('1.500') -> 2",
        "~ alias claude-*: targets openrouter: anthropic/claude-{1}, demo: demo-1",
        "~ team alder: name 'Alder' -> 'The alders'",
    ]
    assert RouteTarget.objects.get(deployment__provider__slug="openrouter").weight == 4


def test_a_new_secret_is_sealed_and_not_told(monkeypatch):
    import_text(FULL, dry_run=False)
    monkeypatch.setenv("TEST_SECRET", "another-secret")

    run = import_text(FULL, dry_run=False)

    assert run.changes == ["~ credential openrouter/main: secret"]
    assert secrets.open_sealed(Credential.objects.get().sealed_secret).reveal() == "another-secret"


def test_what_a_file_does_not_name_stays():
    make_alias("mine", make_deployment(make_provider("mine", retries_max=7), "model"))

    import_text(FULL, dry_run=False)
    import_text("version: 1\nproviders: {mine: {enabled: false}}\n", dry_run=False)

    provider = Provider.objects.get(slug="mine")
    assert (provider.enabled, provider.retries_max) == (False, 7)
    assert ModelAlias.objects.filter(name="mine").exists()


def test_a_secret_in_clear_is_taken_with_a_warning():
    run = import_text(FULL.replace("${TEST_SECRET}", "in-clear"), dry_run=False)

    assert run.warnings == ["line 9: a secret stands in clear in the file; name a variable"]
    assert secrets.open_sealed(Credential.objects.get().sealed_secret).reveal() == "in-clear"


@pytest.mark.parametrize("value", [None, "", "   "])
def test_a_variable_that_is_not_set_is_a_fault(monkeypatch, value):
    if value is None:
        monkeypatch.delenv("TEST_SECRET")
    else:
        monkeypatch.setenv("TEST_SECRET", value)

    assert "line 9: the environment variable TEST_SECRET is not set" in faults_of(FULL)


@pytest.mark.parametrize("word", ["${1X}", "${}", "${TEST_SECRET", "${A B}"])
def test_a_reference_that_names_no_variable_is_not_taken_for_a_secret(word):
    faults = faults_of(FULL.replace("${TEST_SECRET}", word))

    assert faults[0] == f"line 9: {word} does not name an environment variable"


def test_all_faults_are_told_at_once_in_the_order_of_their_lines():
    text = """\
version: 2
provider: {}
providers:
  one: {kind: unheard-of}
  two: {kind: demo, colour: red}
aliases:
  name:
    targets: [{provider: three, model: x}]
"""
    faults = faults_of(text)

    assert [fault.split(":")[0] for fault in faults] == [
        "line 1",
        "line 2",
        "line 4",
        "line 5",
        "line 8",
    ]
    assert faults[0] == "line 1: version must be 1"
    assert "the file has no setting 'provider'" in faults[1]
    assert "kind: Value 'unheard-of' is not a valid choice." in faults[2]
    assert "provider 'two' has no setting 'colour' in this version; known are base_url" in faults[3]
    assert faults[4] == "line 8: there is no provider 'three'"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "line 1: the file must be a mapping"),
        ("[]", "line 1: the file must be a mapping"),
        ("version: 1\n\tx: 2", "line 2: "),
        ("version: 1\nversion: 1", "line 2: 'version' stands here twice"),
        ("version: 1\nteams:\n  a: {}\n  b: {}\n  a: {}", "line 5: 'a' stands here twice"),
        ("version: 1\nx: !!python/object:os.system {}", "line 2: could not determine"),
        ("version: 2026-13-45", "line 1: "),
        ("version: \x00", "line 1: not valid YAML"),
        ("providers: {}", "line 1: version must be 1"),
        ("version: 1\nproviders: []", "line 2: providers must be a mapping"),
        ("version: 1\nproviders:\n  one: 5", "line 3: 'one' must be a mapping"),
        ("version: 1\nproviders:\n  one:", "line 3: kind: This field cannot be blank."),
        ("version: 1\nproviders:\n  one: {kind: demo, timeouts: 5}", "line 3: timeouts must be"),
        (
            "version: 1\nproviders:\n  one: {kind: demo, timeouts: {idle: 5}}",
            "line 3: timeouts has no setting 'idle'",
        ),
        (
            "version: 1\nproviders:\n  one: {kind: demo, timeouts: {idle_s: soon}}",
            "line 3: idle_timeout_s: ",
        ),
        (
            "version: 1\nproviders:\n  one: {kind: demo, timeouts: {idle_s: .nan}}",
            "line 3: idle_timeout_s: ",
        ),
        ("version: 1\nproviders:\n  one: {kind: demo, timeouts: {idle_s: 0}}", "line 3: "),
        (
            "version: 1\nproviders:\n  one: {kind: demo, retries: {statuses: 503}}",
            "line 3: retry_statuses: ",
        ),
        ("version: 1\nproviders:\n  one: {kind: demo, enabled: maybe}", "line 3: enabled: "),
        ("version: 1\nproviders:\n  one: {kind: demo, base_url: null}", "line 3: base_url: "),
        ("version: 1\nproviders:\n  one two: {kind: demo}", "line 3: slug: "),
        (
            "version: 1\nproviders:\n  one: {kind: demo, credentials: {}}",
            "line 3: credentials must be a list",
        ),
        (
            "version: 1\nproviders:\n  one: {kind: demo, credentials: [x]}",
            "line 3: each of credentials must be a mapping",
        ),
        (
            "version: 1\nproviders:\n  one:\n    kind: demo\n    credentials:\n    - secret: x",
            "line 6: a credential needs a label",
        ),
        (
            "version: 1\nproviders:\n  one:\n    kind: demo\n    credentials:\n    - label: x",
            "line 6: a credential needs a secret, such as ${",
        ),
        (
            "version: 1\nproviders:\n  one:\n    kind: demo\n    credentials:\n    - {label: x, secret: y, weight: -1}",
            "line 6: weight: ",
        ),
        ("version: 1\naliases:\n  x: {match: wildcard}", "line 3: name: A wildcard alias needs"),
        ("version: 1\naliases:\n  '(': {match: regex}", "line 3: name: Not a regular expression"),
        ("version: 1\naliases:\n  x: {strategy: by-dice}", "line 3: strategy: "),
        ("version: 1\naliases:\n  x: {targets: 5}", "line 3: targets must be a list"),
        (
            "version: 1\naliases:\n  x:\n    targets:\n    - {model: m}",
            "line 5: there is no provider",
        ),
        ("version: 1\nteams:\n  a: {projects: web}", "line 3: projects must be a list"),
        ("version: 1\nteams:\n  a: {projects: [1]}", "line 3: projects must be a list"),
        ("version: 1\nteams:\n  a: {projects: [two words]}", "line 3: slug: "),
        ("version: 1\nteams:\n  two words:", "line 3: slug: "),
    ],
)
def test_a_fault_is_told_with_its_line(text, fault):
    assert any(found.startswith(fault) for found in faults_of(text)), faults_of(text)


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        ("{provider: demo}", "a target needs a model"),
        ("{provider: demo, model: 5}", "a target needs a model"),
        ("{provider: demo, model: m, weight: -1}", "weight must be a whole number"),
        ("{provider: demo, model: m, weight: true}", "weight must be a whole number"),
        ("{provider: demo, model: m, weight: 1.5}", "weight must be a whole number"),
        ("{provider: demo, model: m, credential: x}", "provider demo has no credential 'x'"),
        ("{provider: demo, model: m, quirks: {wings: 2}}", "traits: Unknown quirk wings"),
        ("{provider: demo, model: m, quirks: 5}", "traits: Enter a JSON object"),
        ("{provider: demo, model: m, parameters: [1]}", "parameters: Enter a JSON object"),
        ("{provider: demo, model: m, max_output_tokens: many}", "max_output_tokens: "),
        ("{provider: demo, model: m, parameters: {day: 2026-01-01}}", "parameters: "),
        ("{provider: demo, model: m, max_tokens: 5}", "a target has no setting 'max_tokens'"),
        ("5", "each of targets must be a mapping"),
        (
            "{provider: demo, model: m}\n    - {provider: demo, model: m}",
            "demo: m stands here twice",
        ),
    ],
)
def test_a_fault_in_a_target_is_told_with_its_line(target, fault):
    text = f"version: 1\nproviders: {{demo: {{kind: demo}}}}\naliases:\n  x:\n    targets:\n    - {target}\n"

    faults = faults_of(text)

    assert any(fault in found for found in faults), faults
    assert all(found.startswith(("line 5", "line 6", "line 7")) for found in faults)


def test_what_is_exported_can_be_imported_and_changes_nothing(monkeypatch):
    import_text(FULL, dry_run=False)
    make_alias(
        "routeless", make_deployment(make_provider("spare", verify_tls=False))
    ).routes.all().delete()
    monkeypatch.setenv("OPENROUTER_MAIN_SECRET", SECRET)
    monkeypatch.setenv("SPARE_MAIN_SECRET", SECRET)

    text = yaml.safe_dump(export(), sort_keys=False)

    assert import_text(text, dry_run=False).changes == []
    assert SECRET not in text
    assert SECRET[-8:] not in text
    assert all(row.sealed_secret not in text for row in Credential.objects.all())
    assert "${OPENROUTER_MAIN_SECRET}" in text


def test_what_is_exported_makes_the_same_rows_elsewhere(monkeypatch):
    import_text(FULL, dry_run=False)
    before = export()
    for model in (Provider, ModelAlias, Team):
        model.objects.all().delete()
    monkeypatch.setenv("OPENROUTER_MAIN_SECRET", SECRET)

    import_text(yaml.safe_dump(before, sort_keys=False), dry_run=False)

    assert export() == before


def test_a_ca_bundle_is_exported_as_it_is():
    make_provider(ca_bundle_pem="-----BEGIN CERTIFICATE-----\nabc\n")

    assert export()["providers"]["openrouter"]["ca_bundle_pem"].endswith("\nabc\n")


def test_a_variable_is_named_after_provider_and_label():
    assert variable_name("open-router", "main key") == "OPEN_ROUTER_MAIN_KEY_SECRET"


def test_a_variable_never_begins_with_a_digit(monkeypatch):
    """Such a name would be no reference, and be taken for the secret itself."""
    assert variable_name("1st", "main") == "_1ST_MAIN_SECRET"
    monkeypatch.setenv("_1ST_MAIN_SECRET", SECRET)
    make_credential(make_provider("1st"))

    assert import_text(yaml.safe_dump(export()), dry_run=False).changes == []


@pytest.mark.parametrize("secret", ["${1ST_SECRET}", "${TEST-SECRET}", "${TEST_SECRET", "${}"])
def test_what_looks_like_a_reference_and_is_none_is_never_sealed(secret):
    text = f"version: 1\nproviders:\n  one:\n    kind: demo\n    credentials:\n    - {{label: x, secret: '{secret}'}}"

    assert faults_of(text) == [f"line 6: {secret} does not name an environment variable"]


def test_an_application_without_changes_is_no_news_to_the_serving_processes():
    import_text(FULL, dry_run=False)
    number = snapshot.version()

    assert import_text(FULL, dry_run=False).changes == []
    assert snapshot.version() == number


def test_a_new_secret_and_a_new_weight_are_both_told(monkeypatch):
    import_text(FULL, dry_run=False)
    monkeypatch.setenv("TEST_SECRET", "another-secret-0123456789")

    run = import_text(FULL.replace("weight: 2}", "weight: 5}"), dry_run=False)

    assert run.changes == [
        "~ credential openrouter/main: weight 2 -> 5",
        "~ credential openrouter/main: secret",
    ]
    row = Credential.objects.get()
    assert row.weight == 5
    assert secrets.open_sealed(row.sealed_secret).reveal() == "another-secret-0123456789"


def test_a_secret_that_cannot_be_opened_any_more_is_sealed_anew(settings):
    import_text(FULL, dry_run=False)
    settings.SEALING_KEYS = [Fernet.generate_key().decode()]

    assert import_text(FULL, dry_run=False).changes == ["~ credential openrouter/main: secret"]
    assert import_text(FULL, dry_run=False).changes == []


@pytest.mark.parametrize(
    "settings",
    [
        "timeouts: {connect_s: '2', idle_s: 0.1, total_s: 7.125}",
        "retries: {max: '3', backoff_s: '0.5'}",
        "enabled: 'False'",
        "retries: {statuses: []}",
    ],
)
def test_values_in_another_spelling_change_nothing_the_second_time(settings):
    text = f"version: 1\nproviders:\n  one:\n    kind: demo\n    {settings}"
    assert import_text(text, dry_run=False).changes == ["+ provider one"]

    assert import_text(text, dry_run=False).changes == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("retries: {max", "1.5"), ("retries: {max", "true"), ("retries: {max", "2.0")],
)
def test_a_fraction_is_no_whole_number(name, value):
    text = f"version: 1\nproviders:\n  one:\n    kind: demo\n    {name}: {value}}}"

    [fault] = faults_of(text)
    assert fault.startswith("line 5: retries_max: must be a whole number, not ")
    assert Provider.objects.count() == 0


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("timeouts: {idle_s: soon}", "line 5: idle_timeout_s: “soon” value must be"),
        ("timeouts: {idle_s: [1]}", "line 5: idle_timeout_s: "),
        ("kind: [demo]", "line 3: a value is of the wrong type: "),
        ("enabled: {}", "line 5: enabled: "),
    ],
)
def test_a_value_of_the_wrong_type_changes_no_row_that_is_there(setting, fault):
    make_provider("one", kind="demo")
    before = export()
    text = f"version: 1\nproviders:\n  one:\n    base_url: http://one.test/v1\n    {setting}"

    faults = faults_of(text)

    assert any(found.startswith(fault) for found in faults), faults
    assert export() == before


def test_a_fault_in_a_group_has_the_line_of_its_own_key():
    faults = faults_of("""\
version: 1
providers:
  one:
    kind: demo
    timeouts:
      connect_s: 5
      idle_s: soon
    retries:
      max: 1
      statuses: [200]
aliases:
  x:
    description: plain
    match: odd
    targets:
      - provider: one
        model: m
        quirks:
          wings: 2
""")

    assert [fault.split(": ")[:2] for fault in faults] == [
        ["line 7", "idle_timeout_s"],
        ["line 10", "retry_statuses"],
        ["line 14", "match"],
    ]


def test_the_weight_of_a_target_has_an_end():
    text = "version: 1\nproviders: {one: {kind: demo}}\naliases:\n  x:\n    targets:\n    - {provider: one, model: m, weight: %d}"

    assert faults_of(text % 32768) == ["line 6: weight must be a whole number from 0 to 32767"]
    assert import_text(text % 32767, dry_run=False).changes


def test_a_new_order_of_targets_is_a_change():
    import_text(FULL, dry_run=False)
    text = """\
version: 1
aliases:
  claude-*:
    targets:
      - {provider: demo, model: demo-1}
"""
    assert import_text(text, dry_run=False).changes == ["~ alias claude-*: targets demo: demo-1"]
    assert import_text(
        text.replace("targets:", "targets: []").split("\n      -")[0], dry_run=False
    ).changes == ["~ alias claude-*: targets none"]
    assert RouteTarget.objects.filter(route__alias__name="claude-*").count() == 0


def test_the_commands_print_what_was_done(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(FULL.replace("${TEST_SECRET}", "in-clear"))

    def run(*words: str) -> tuple[str, str]:
        out, err = io.StringIO(), io.StringIO()
        call_command("import_config", str(path), *words, stdout=out, stderr=err)
        return out.getvalue(), err.getvalue()

    dry, _err = run("--dry-run")
    done, err = run()
    again, _err = run()

    assert dry.splitlines()[0] == done.splitlines()[0] == "+ provider openrouter"
    assert dry.splitlines()[-1].endswith("would change.")
    assert done.splitlines()[-1].endswith("changed.")
    assert again == "Nothing to change.\n"
    assert "in clear" in err
    assert "in-clear" not in dry + done + err


def test_the_commands_tell_what_they_cannot_do(tmp_path):
    path = tmp_path / "config.yaml"
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("import_config", str(path))
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("import_config", str(path))
    path.write_text("version: 2\nx: 1\n")
    with pytest.raises(CommandError, match=r"config.yaml, line 1: version must be 1\n.*line 2: "):
        call_command("import_config", str(path))
    with pytest.raises(CommandError, match="cannot be written: Is a directory"):
        call_command("export_config", str(tmp_path))


def test_the_export_command_writes_to_a_file_or_prints(tmp_path):
    make_provider()
    out = io.StringIO()

    call_command("export_config", stdout=out)
    call_command("export_config", str(tmp_path / "out.yaml"))

    assert yaml.safe_load(out.getvalue())["providers"]["openrouter"]["kind"] == "openrouter"
    assert (tmp_path / "out.yaml").read_text() == out.getvalue()


FLAGS = """\
version: 1
providers:
  proxy: {kind: litellm_proxy, base_url: "http://127.0.0.1:4000", dialect: anthropic_messages}
flags:
  strict_conversion:
    enabled: true
    percentage: 20
    teams: {alder: false}
    keys: {alder/laptop: true}
"""


def test_flags_and_dialects_are_rows_and_come_back_the_same():
    import_text(FLAGS, dry_run=False)
    words = {str(row): (row.enabled, row.percentage) for row in FeatureFlag.objects.order_by("pk")}

    assert words == {
        "strict_conversion": (True, 20),
        "strict_conversion for alder": (False, 100),
        "strict_conversion for alder/laptop": (True, 100),
    }
    assert Provider.objects.get().dialect == "anthropic_messages"
    assert export()["flags"] == yaml.safe_load(FLAGS)["flags"]
    assert export()["providers"]["proxy"]["dialect"] == "anthropic_messages"
    assert import_text(yaml.safe_dump(export()), dry_run=False).changes == []


def test_a_flag_may_be_just_on():
    import_text("version: 1\nflags: {strict_conversion: true}\n", dry_run=False)

    assert export()["flags"] == {"strict_conversion": True}


@pytest.mark.parametrize(
    ("flags", "fault"),
    [
        ("[strict_conversion]", "line 2: flags must be a mapping"),
        ("{strict_conversion: 5}", "flag 'strict_conversion' must be true, false or a mapping"),
        ("{unheard_of: true}", "unheard_of"),
        ("{strict_conversion: {colour: red}}", "has no setting 'colour'"),
        ("{strict_conversion: {keys: {alder: true}}}", "a key is written team/key"),
        ("{strict_conversion: {teams: {alder/laptop: true}}}", "a key is written team/key"),
        ("{strict_conversion: {percentage: 101}}", "100"),
    ],
)
def test_faults_of_flags_are_told_with_their_line(flags, fault):
    (told,) = faults_of(f"version: 1\nflags: {flags}\n")

    assert told.startswith("line 2: ")
    assert fault in told
