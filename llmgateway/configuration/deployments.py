"""Reads what a file says of deployments: in a provider's list, or at the target of a route."""

from collections.abc import Mapping
from typing import Any

from llmgateway.configuration.entries import check_keys, chosen
from llmgateway.configuration.faults import Import
from llmgateway.configuration.rows import as_stored, save
from llmgateway.lined_yaml import Lined
from routing.configuration.keys import DEPLOYMENT, DEPLOYMENT_FIELDS
from routing.models import Credential, Deployment, Provider
from routing.synchronisation import FACTS, OPERATOR


def read_deployment(run: Import, provider: Provider, item: Lined) -> None:
    """An entry of a provider's list."""
    check_keys(run, item, DEPLOYMENT, "a deployment")
    save_deployment(run, provider, item, DEPLOYMENT_FIELDS, "a deployment")


def save_deployment(
    run: Import, provider: Provider, item: Lined, fields: Mapping[str, str], what: str
) -> Deployment | None:
    """The deployment that an entry names, made if need be, and with those of the fields that it gives; None after a fault."""
    model = item.get("model")
    if not isinstance(model, str):
        run.fault(item.line_of("model"), f"{what} needs a model")
        return None
    credential = None
    if item.get("credential") is not None:
        credential = _credential(run, provider, item)
        if credential is None:
            return None
    values, lines = chosen(item, fields)
    keys = {"provider": provider, "upstream_model": model, "credential": credential}
    row = Deployment.objects.filter(**keys).first() or Deployment(**keys)
    sources = _sources(run, row, item, values)
    if sources != row.fact_sources:
        values["fact_sources"] = sources
    told = f"deployment {provider.slug}: {model}"
    saved = save(run, Deployment, keys, values, item.line, told, lines=lines)
    if saved is not None:
        _say_it_once(run, saved, item, fields)
    return saved


def _credential(run: Import, provider: Provider, item: Lined) -> Credential | None:
    label = item["credential"]
    row = provider.credentials.filter(label=label).first() if isinstance(label, str) else None
    if row is None:
        run.fault(item.line_of("credential"), f"provider {provider} has no credential {label!r}")
    return row


def _sources(
    run: Import, row: Deployment, item: Lined, values: Mapping[str, Any]
) -> dict[str, str]:
    """Who says so: as the entry tells, or, where it changes what somebody told, the operator."""
    given = item.get("sources")
    noted: dict[str, str] = row.fact_sources
    if given is None:
        changed = {
            name: OPERATOR
            for name in FACTS
            if name in values
            and name in noted
            and getattr(row, name) != as_stored(row, name, values[name])
        }
        return noted | changed
    if isinstance(given, Lined) and all(
        name in FACTS and isinstance(source, str) for name, source in given.items()
    ):
        return {name: str(source) for name, source in given.items()}
    run.fault(
        item.line_of("sources"),
        f"sources must be a mapping of who told a fact; facts are {', '.join(FACTS)}",
    )
    return noted


def _say_it_once(run: Import, row: Deployment, item: Lined, fields: Mapping[str, str]) -> None:
    """Two places that say different things of one deployment would change it at every import."""
    for key in fields:
        if key not in item:
            continue
        value, line = run.told.setdefault((row.pk, key), (item[key], item.line_of(key)))
        if value != item[key]:
            message = f"{key}: line {line} says something else of deployment {row}"
            run.fault(item.line_of(key), message)
