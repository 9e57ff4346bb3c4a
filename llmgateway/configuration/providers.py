"""Reads providers from a file, with their credentials, deployments and header rules."""

from llmgateway.configuration.deployments import read_deployment
from llmgateway.configuration.entries import check_keys, chosen, group_of, items_of
from llmgateway.configuration.faults import Import
from llmgateway.configuration.references import read_secret
from llmgateway.configuration.rows import differences, save, set_and_save
from llmgateway.configuration.rules import read_header_rules
from llmgateway.lined_yaml import Lined
from routing import secrets
from routing.configuration.keys import CREDENTIAL, PROVIDER, PROVIDER_FIELDS, PROVIDER_GROUPS
from routing.errors import SecretUnreadable
from routing.models import Credential, Provider


def read_provider(run: Import, slug: str, entry: Lined, line: int) -> None:
    """A provider; what is not named of it stays, except that its header rules are the ones listed."""
    check_keys(run, entry, PROVIDER, f"provider {slug!r}")
    values, lines = chosen(entry, PROVIDER_FIELDS)
    for name, fields in PROVIDER_GROUPS.items():
        of_group, lines_of_group = chosen(group_of(run, entry, name, fields), fields)
        values |= of_group
        lines |= lines_of_group
    row = save(run, Provider, {"slug": slug}, values, line, f"provider {slug}", lines=lines)
    if row is None:
        return
    for item in items_of(run, entry, "credentials"):
        _read_credential(run, row, item)
    for item in items_of(run, entry, "deployments"):
        read_deployment(run, row, item)
    read_header_rules(run, entry, f"provider {slug}", provider=row)


def _read_credential(run: Import, provider: Provider, item: Lined) -> None:
    check_keys(run, item, CREDENTIAL, "a credential")
    label = item.get("label")
    if not isinstance(label, str):
        run.fault(item.line, "a credential needs a label")
        return
    secret = _secret(run, item)
    if secret is None:
        return
    what = f"credential {provider.slug}/{label}"
    row = Credential.objects.filter(provider=provider, label=label).first()
    values, lines = chosen(item, ("weight", "enabled"))
    if row is None:
        row = Credential(provider=provider, label=label)
        row.seal(secret)
        changes = [f"+ {what}"]
    else:
        changes = list(differences(row, values, what))
        if not _holds(row, secret):
            row.seal(secret)
            changes.append(f"~ {what}: secret")
    if changes:
        run.changes.extend(changes)
        set_and_save(run, row, values, item.line, lines=lines)


def _secret(run: Import, item: Lined) -> str | None:
    text = item.get("secret")
    if not isinstance(text, str) or not text.strip():
        run.fault(
            item.line_of("secret"), "a credential needs a secret, such as ${OPENROUTER_API_KEY}"
        )
        return None
    return read_secret(run, text, item.line_of("secret"))


def _holds(row: Credential, secret: str) -> bool:
    try:
        return secrets.open_sealed(row.sealed_secret).reveal() == secret.strip()
    except SecretUnreadable:
        return False
