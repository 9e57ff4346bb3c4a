"""Configuration as code: reads a YAML file into rows, and writes the rows as YAML.

Everything is read and validated first; each fault has its line; only a file without faults is applied, in one
transaction. What a file does not name is left as it is, except that an alias's targets are the ones listed.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction

from accounting.models import Project, Team
from llmgateway.environment import env_text
from llmgateway.lined_yaml import BadYaml, Lined, load
from routing import secrets
from routing.errors import SecretUnreadable
from routing.models import (
    Credential,
    Deployment,
    FeatureFlag,
    ModelAlias,
    Provider,
    Route,
    RouteTarget,
)

VERSION = 1
REFERENCE = re.compile(r"^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$")
TOP = {"version", "providers", "aliases", "flags", "teams"}
PROVIDER = {
    "kind",
    "base_url",
    "dialect",
    "enabled",
    "timeouts",
    "verify_tls",
    "ca_bundle_pem",
    "retries",
    "credentials",
}
TIMEOUTS = {
    "connect_s": "connect_timeout_s",
    "first_byte_s": "first_byte_timeout_s",
    "idle_s": "idle_timeout_s",
    "total_s": "total_timeout_s",
}
RETRIES = {
    "max": "retries_max",
    "backoff_s": "backoff_s",
    "backoff_max_s": "backoff_max_s",
    "statuses": "retry_statuses",
    "network_errors": "retry_network_errors",
}
CREDENTIAL = {"label", "secret", "weight", "enabled"}
ALIAS = {"match", "visible", "enabled", "description", "strategy", "targets"}
TARGET = {
    "provider",
    "model",
    "weight",
    "credential",
    "context_window_tokens",
    "max_output_tokens",
    "parameters",
    "quirks",
}
DEPLOYMENT = {
    "context_window_tokens": "context_window_tokens",
    "max_output_tokens": "max_output_tokens",
    "parameters": "parameters",
    "quirks": "traits",
}
FLAG = {"enabled", "percentage", "teams", "keys"}
TEAM = {"name", "enabled", "projects"}
WEIGHT_MAX = 32767


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """Something wrong in the file."""

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


class ConfigurationFaulty(Exception):
    """The file cannot be applied; nothing was."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in sorted(faults)))
        self.faults = sorted(faults)


class _DryRun(Exception):
    """Takes a trial application back."""


@dataclass(slots=True)
class Import:
    """One file on its way into the rows. ``changes`` are sentences, in the order in which they were made."""

    faults: list[Fault] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def fault(self, line: int, message: str) -> None:
        """Note a fault and go on reading, so that all of them can be told at once."""
        self.faults.append(Fault(line, message))


def import_text(text: str, *, dry_run: bool) -> Import:
    """Apply a file, or only say what it would change.

    Raises:
        ConfigurationFaulty: with every fault and its line; nothing was changed.
    """
    run = Import()
    try:
        tree = load(text)
    except BadYaml as error:
        raise ConfigurationFaulty([Fault(error.line, error.message)]) from error
    if not isinstance(tree, Lined):
        raise ConfigurationFaulty(
            [Fault(1, "the file must be a mapping with version, providers, aliases, teams")]
        )
    _check_keys(run, tree, TOP, "the file")
    if tree.get("version") != VERSION:
        run.fault(tree.line_of("version"), f"version must be {VERSION}")
    try:
        with transaction.atomic():
            _apply(run, tree)
            if run.faults:
                raise ConfigurationFaulty(run.faults)
            if dry_run:
                raise _DryRun
    except _DryRun:
        pass
    return run


def _apply(run: Import, tree: Lined) -> None:
    for slug, entry, line in _entries(run, tree, "providers"):
        _read_provider(run, slug, entry, line)
    for name, entry, line in _entries(run, tree, "aliases"):
        _read_alias(run, name, entry, line)
    _read_flags(run, tree)
    for slug, entry, line in _entries(run, tree, "teams"):
        _read_team(run, slug, entry, line)


def _read_flags(run: Import, tree: Lined) -> None:
    """``name: true``, or a mapping with ``enabled``, ``percentage``, and ``teams`` and ``keys`` (team/key) of their own."""
    given = tree.get("flags")
    if given is None:
        return
    if not isinstance(given, Lined):
        run.fault(tree.line_of("flags"), "flags must be a mapping")
        return
    for name, entry in given.items():
        line = given.line_of(name)
        if isinstance(entry, bool):
            _save_flag(run, name, "", "", {"enabled": entry}, line)
        elif isinstance(entry, Lined):
            _read_scoped_flag(run, name, entry, line)
        else:
            run.fault(line, f"flag {name!r} must be true, false or a mapping")


def _read_scoped_flag(run: Import, name: str, entry: Lined, line: int) -> None:
    _check_keys(run, entry, FLAG, f"flag {name!r}")
    values = {key: entry[key] for key in ("enabled", "percentage") if key in entry}
    if values:
        _save_flag(run, name, "", "", values, line)
    for section in ("teams", "keys"):
        group = _group(run, entry, section, set(entry.get(section) or ()))
        for scope, enabled in group.items():
            team, _, key = scope.partition("/")
            if bool(key) == (section == "keys"):
                _save_flag(run, name, team, key, {"enabled": enabled}, group.line_of(scope))
            else:
                run.fault(
                    group.line_of(scope), "a key is written team/key, a team by its name alone"
                )


def _save_flag(
    run: Import, name: str, team: str, key: str, values: dict[str, Any], line: int
) -> None:
    scope = "/".join(filter(None, (team, key)))
    what = f"flag {name}" + (f" for {scope}" if scope else "")
    _save(run, FeatureFlag, {"name": name, "team": team, "key": key}, values, line, what)


def _entries(run: Import, tree: Lined, section: str) -> Iterator[tuple[str, Lined, int]]:
    entries = tree.get(section)
    if entries is None:
        return
    if not isinstance(entries, Lined):
        run.fault(tree.line_of(section), f"{section} must be a mapping")
        return
    for name, entry in entries.items():
        line = entries.line_of(name)
        if entry is None:
            entry = Lined()
            entry.line = line
        if isinstance(entry, Lined):
            yield name, entry, line
        else:
            run.fault(line, f"{name!r} must be a mapping")


def _check_keys(run: Import, entry: Lined, known: set[str], what: str) -> None:
    for key in entry:
        if key not in known:
            run.fault(
                entry.line_of(key),
                f"{what} has no setting {key!r} in this version; known are {', '.join(sorted(known))}",
            )


def _read_provider(run: Import, slug: str, entry: Lined, line: int) -> None:
    _check_keys(run, entry, PROVIDER, f"provider {slug!r}")
    values = {
        name: entry[name]
        for name in ("kind", "base_url", "dialect", "enabled", "verify_tls", "ca_bundle_pem")
        if name in entry
    }
    lines = dict(entry.lines)
    for name, fields in (("timeouts", TIMEOUTS), ("retries", RETRIES)):
        group = _group(run, entry, name, set(fields))
        values |= {fields[key]: value for key, value in group.items() if key in fields}
        lines |= {fields[key]: group.line_of(key) for key in group if key in fields}
    row = _save(run, Provider, {"slug": slug}, values, line, f"provider {slug}", lines=lines)
    if row is None:
        return
    for item in _items(run, entry, "credentials"):
        _read_credential(run, row, item)


def _group(run: Import, entry: Lined, name: str, known: set[str]) -> Lined:
    group = entry.get(name)
    if isinstance(group, Lined):
        _check_keys(run, group, known, name)
        return group
    if group is not None:
        run.fault(entry.line_of(name), f"{name} must be a mapping")
    return Lined()


def _items(run: Import, entry: Lined, name: str) -> Iterator[Lined]:
    items = entry.get(name)
    if items is None:
        return
    if not isinstance(items, list):
        run.fault(entry.line_of(name), f"{name} must be a list")
        return
    for item in items:
        if isinstance(item, Lined):
            yield item
        else:
            run.fault(entry.line_of(name), f"each of {name} must be a mapping")


def _read_credential(run: Import, provider: Provider, item: Lined) -> None:
    _check_keys(run, item, CREDENTIAL, "a credential")
    label = item.get("label")
    if not isinstance(label, str):
        run.fault(item.line, "a credential needs a label")
        return
    secret = _secret(run, item)
    if secret is None:
        return
    what = f"credential {provider.slug}/{label}"
    row = Credential.objects.filter(provider=provider, label=label).first()
    values = {name: item[name] for name in ("weight", "enabled") if name in item}
    if row is None:
        row = Credential(provider=provider, label=label)
        row.seal(secret)
        changes = [f"+ {what}"]
    else:
        changes = list(_differences(row, values, what))
        if not _holds(row, secret):
            row.seal(secret)
            changes.append(f"~ {what}: secret")
    if changes:
        run.changes.extend(changes)
        _set_and_save(run, row, values, item.line, lines=item.lines)


def _secret(run: Import, item: Lined) -> str | None:
    text = item.get("secret")
    if not isinstance(text, str) or not text.strip():
        run.fault(
            item.line_of("secret"), "a credential needs a secret, such as ${OPENROUTER_API_KEY}"
        )
        return None
    reference = REFERENCE.match(text.strip())
    if reference is None and text.strip().startswith("${"):
        run.fault(item.line_of("secret"), f"{text.strip()} does not name an environment variable")
        return None
    if reference is None:
        run.warnings.append(
            f"line {item.line_of('secret')}: a secret stands in clear in the file; name a variable"
        )
        return text
    secret = env_text(reference[1]).strip()
    if not secret:
        run.fault(item.line_of("secret"), f"the environment variable {reference[1]} is not set")
        return None
    return secret


def _holds(row: Credential, secret: str) -> bool:
    try:
        return secrets.open_sealed(row.sealed_secret).reveal() == secret.strip()
    except SecretUnreadable:
        return False


def _read_alias(run: Import, name: str, entry: Lined, line: int) -> None:
    _check_keys(run, entry, ALIAS, f"alias {name!r}")
    values = {
        key: entry[key] for key in ("match", "visible", "enabled", "description") if key in entry
    }
    what = f"alias {name}"
    alias = _save(run, ModelAlias, {"name": name}, values, line, what, lines=entry.lines)
    if alias is None:
        return
    route = alias.routes.order_by("position", "pk").first()
    if route is None:
        route = Route.objects.create(alias=alias)
    if "strategy" in entry:
        changes = list(_differences(route, {"strategy": entry["strategy"]}, what))
        if changes:
            run.changes.extend(changes)
            _set_and_save(run, route, {"strategy": entry["strategy"]}, entry.line_of("strategy"))
    if "targets" in entry:
        targets: dict[Deployment, int] = {}
        for item in _items(run, entry, "targets"):
            target = _read_target(run, item)
            if target is None:
                continue
            deployment, weight = target
            if deployment in targets:
                run.fault(item.line, f"{deployment} stands here twice")
            targets[deployment] = weight
        if not run.faults:
            _set_targets(run, route, list(targets.items()), what)


def _read_target(run: Import, item: Lined) -> tuple[Deployment, int] | None:
    _check_keys(run, item, TARGET, "a target")
    provider = Provider.objects.filter(slug=item.get("provider")).first()
    if provider is None:
        run.fault(item.line_of("provider"), f"there is no provider {item.get('provider')!r}")
        return None
    model = item.get("model")
    if not isinstance(model, str):
        run.fault(item.line_of("model"), "a target needs a model")
        return None
    credential = None
    if "credential" in item:
        credential = provider.credentials.filter(label=item["credential"]).first()
        if credential is None:
            run.fault(
                item.line_of("credential"),
                f"provider {provider} has no credential {item['credential']!r}",
            )
            return None
    values = {DEPLOYMENT[key]: item[key] for key in DEPLOYMENT if key in item}
    values = {
        key: dict(value) if isinstance(value, Lined) else value for key, value in values.items()
    }
    keys = {"provider": provider, "upstream_model": model, "credential": credential}
    what = f"deployment {provider.slug}: {model}"
    lines = {DEPLOYMENT[key]: item.line_of(key) for key in DEPLOYMENT if key in item}
    deployment = _save(run, Deployment, keys, values, item.line, what, lines=lines)
    weight = item.get("weight", 1)
    is_whole = isinstance(weight, int) and not isinstance(weight, bool)
    if not is_whole or not 0 <= weight <= WEIGHT_MAX:
        run.fault(item.line_of("weight"), f"weight must be a whole number from 0 to {WEIGHT_MAX}")
        return None
    return None if deployment is None else (deployment, weight)


def _set_targets(
    run: Import, route: Route, wanted: list[tuple[Deployment, int]], what: str
) -> None:
    rows = [(row.deployment_id, row.weight) for row in route.targets.order_by("position", "pk")]
    if rows == [(deployment.pk, weight) for deployment, weight in wanted]:
        return
    for row in route.targets.all():
        row.delete()
    for position, (deployment, weight) in enumerate(wanted):
        RouteTarget.objects.create(
            route=route, deployment=deployment, weight=weight, position=position
        )
    listed = ", ".join(str(deployment) for deployment, _weight in wanted) or "none"
    run.changes.append(f"~ {what}: targets {listed}")


def _read_team(run: Import, slug: str, entry: Lined, line: int) -> None:
    _check_keys(run, entry, TEAM, f"team {slug!r}")
    values = {key: entry[key] for key in ("name", "enabled") if key in entry}
    team = _save(run, Team, {"slug": slug}, values, line, f"team {slug}", lines=entry.lines)
    projects = entry.get("projects") or []
    if not isinstance(projects, list) or not all(isinstance(word, str) for word in projects):
        run.fault(entry.line_of("projects"), "projects must be a list of short names")
        return
    for project in projects:
        if team is not None:
            keys = {"team": team, "slug": project}
            _save(run, Project, keys, {}, entry.line_of("projects"), f"project {slug}/{project}")


def _save(
    run: Import,
    model: type[models.Model],
    keys: dict[str, Any],
    values: dict[str, Any],
    line: int,
    what: str,
    *,
    lines: Mapping[str, int] | None = None,
) -> Any:
    """The row with these keys, made or changed; None after a fault. ``lines`` are those of single values."""
    row = model._default_manager.filter(**keys).first()
    if row is None:
        row = model(**keys)
        if _set_and_save(run, row, values, line, lines=lines):
            run.changes.append(f"+ {what}")
            return row
        return None
    changes = list(_differences(row, values, what))
    if not changes:
        return row
    run.changes.extend(changes)
    return row if _set_and_save(run, row, values, line, lines=lines) else None


def _differences(row: models.Model, values: Mapping[str, Any], what: str) -> Iterator[str]:
    for name, value in values.items():
        old = getattr(row, name)
        if old != _as_stored(row, name, value):
            yield f"~ {what}: {name} {old!r} -> {value!r}"


def _as_stored(row: models.Model, name: str, value: Any) -> Any:
    """The value as the column would give it back; as it is where the column does not take it."""
    try:
        return _field(row, name).to_python(_exact(value))
    except (ValidationError, TypeError, ValueError, InvalidOperation):
        return value


def _field(row: models.Model, name: str) -> "models.Field[Any, Any]":
    return row._meta.get_field(name)  # type: ignore[return-value]


def _exact(value: Any) -> Any:
    """The digits of a fraction as they stand in the file."""
    return Decimal(str(value)) if isinstance(value, float) else value


def _set_and_save(
    run: Import,
    row: models.Model,
    values: Mapping[str, Any],
    line: int,
    *,
    lines: Mapping[str, int] | None = None,
) -> bool:
    where = lines or {}
    for name, value in values.items():
        if isinstance(_field(row, name), models.IntegerField) and isinstance(value, bool | float):
            run.fault(where.get(name, line), f"{name}: must be a whole number, not {value!r}")
            return False
        if value is None and not _field(row, name).null:
            run.fault(where.get(name, line), f"{name}: may not be empty")
            return False
        setattr(row, name, _exact(value))
    try:
        row.full_clean()
    except ValidationError as error:
        for name, messages in error.message_dict.items():
            told = "" if name == "__all__" else f"{name}: "
            run.fault(where.get(name, line), told + " ".join(messages))
        return False
    except (TypeError, ValueError, InvalidOperation) as error:
        run.fault(line, f"a value is of the wrong type: {error}")
        return False
    row.save()
    return True


def export() -> dict[str, Any]:
    """The rows as a tree for YAML; secrets as references to variables, never in clear."""
    tree: dict[str, Any] = {"version": VERSION}
    tree["providers"] = {
        row.slug: _provider_tree(row) for row in Provider.objects.prefetch_related("credentials")
    }
    tree["aliases"] = {row.name: _alias_tree(row) for row in ModelAlias.objects.all()}
    flags = _flags_tree()
    if flags:
        tree["flags"] = flags
    tree["teams"] = {row.slug: _team_tree(row) for row in Team.objects.prefetch_related("projects")}
    return tree


def _flags_tree() -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for row in FeatureFlag.objects.order_by("name", "team", "key"):
        entry = tree.setdefault(row.name, {})
        if row.key:
            entry.setdefault("keys", {})[f"{row.team}/{row.key}"] = row.enabled
        elif row.team:
            entry.setdefault("teams", {})[row.team] = row.enabled
        else:
            entry["enabled"] = row.enabled
            if row.percentage != 100:
                entry["percentage"] = row.percentage
    return {
        name: entry.get("enabled") if set(entry) == {"enabled"} else entry
        for name, entry in tree.items()
    }


def _provider_tree(row: Provider) -> dict[str, Any]:
    tree: dict[str, Any] = {"kind": row.kind, "base_url": row.base_url, "enabled": row.enabled}
    if row.dialect:
        tree["dialect"] = row.dialect
    tree["timeouts"] = {key: _number(getattr(row, name)) for key, name in TIMEOUTS.items()}
    tree["verify_tls"] = row.verify_tls
    if row.ca_bundle_pem:
        tree["ca_bundle_pem"] = row.ca_bundle_pem
    tree["retries"] = {key: _number(getattr(row, name)) for key, name in RETRIES.items()}
    credentials = [
        {
            "label": c.label,
            "secret": f"${{{variable_name(row.slug, c.label)}}}",
            "weight": c.weight,
            "enabled": c.enabled,
        }
        for c in row.credentials.all()
    ]
    return {**tree, "credentials": credentials} if credentials else tree


def variable_name(slug: str, label: str) -> str:
    """The environment variable that an exported file names for a credential's secret."""
    name = re.sub(r"[^A-Z0-9]+", "_", f"{slug}_{label}_SECRET".upper())
    return f"_{name}" if name[0].isdigit() else name


def _alias_tree(row: ModelAlias) -> dict[str, Any]:
    tree: dict[str, Any] = {"match": row.match, "visible": row.visible, "enabled": row.enabled}
    if row.description:
        tree["description"] = row.description
    route = row.routes.order_by("position", "pk").first()
    if route is not None:
        tree["strategy"] = route.strategy
        targets = route.targets.select_related("deployment__provider", "deployment__credential")
        tree["targets"] = [_target_tree(target) for target in targets.order_by("position", "pk")]
    return tree


def _target_tree(target: RouteTarget) -> dict[str, Any]:
    deployment = target.deployment
    tree: dict[str, Any] = {
        "provider": deployment.provider.slug,
        "model": deployment.upstream_model,
        "weight": target.weight,
    }
    if deployment.credential:
        tree["credential"] = deployment.credential.label
    for key, name in DEPLOYMENT.items():
        if getattr(deployment, name) not in (None, {}):
            tree[key] = getattr(deployment, name)
    return tree


def _team_tree(row: Team) -> dict[str, Any]:
    tree: dict[str, Any] = {"name": row.name, "enabled": row.enabled}
    return {**tree, "projects": [project.slug for project in row.projects.all()]}


def _number(value: Any) -> Any:
    if not isinstance(value, Decimal):
        return value
    return int(value) if value == value.to_integral_value() else float(value)
