"""Applies a file to the rows: all of it, or nothing where there is a fault."""

from llmgateway.configuration.aliases import read_alias
from llmgateway.configuration.entries import check_keys, entries_of
from llmgateway.configuration.faults import ConfigurationFaulty, Fault, Import
from llmgateway.configuration.flags import read_flags
from llmgateway.configuration.prices import read_prices
from llmgateway.configuration.providers import read_provider
from llmgateway.configuration.rules import read_header_rules, read_transformations
from llmgateway.configuration.teams import read_team
from llmgateway.configuration.tiers import read_agent_types, read_tiers
from llmgateway.lined_yaml import BadYaml, Lined, load
from routing import versions
from routing.configuration.keys import VERSION

TOP = {
    "version",
    "providers",
    "aliases",
    "header_rules",
    "transformations",
    "tiers",
    "agent_types",
    "flags",
    "teams",
    "prices",
}


class _DryRun(Exception):
    """Takes a trial application back."""


def import_text(
    text: str, *, dry_run: bool, author: str = "import_config", closed: tuple[str, ...] = ()
) -> Import:
    """Apply a file, or only say what it would change. ``author`` is whose version of the configuration it becomes.

    It may not refer to environment variables whose names begin as one of ``closed``.

    Raises:
        ConfigurationFaulty: with every fault and its line; nothing was changed.
    """
    run = Import(closed=closed)
    try:
        tree = load(text)
    except BadYaml as error:
        raise ConfigurationFaulty([Fault(error.line, error.message)]) from error
    if not isinstance(tree, Lined):
        raise ConfigurationFaulty(
            [Fault(1, "the file must be a mapping with version, providers, aliases, teams")]
        )
    check_keys(run, tree, TOP, "the file")
    if tree.get("version") != VERSION:
        run.fault(tree.line_of("version"), f"version must be {VERSION}")
    try:
        with versions.changes_by(author) as note:
            _apply(run, tree)
            if run.faults:
                raise ConfigurationFaulty(run.faults)
            if dry_run:
                raise _DryRun
            note.summary = "; ".join(run.changes)
    except _DryRun:
        pass
    return run


def _apply(run: Import, tree: Lined) -> None:
    """In this order, because each may name what comes before it."""
    for slug, entry, line in entries_of(run, tree, "providers"):
        read_provider(run, slug, entry, line)
    for name, entry, line in entries_of(run, tree, "aliases"):
        read_alias(run, name, entry, line)
    read_header_rules(run, tree, "")
    read_transformations(run, tree)
    read_tiers(run, tree)
    read_agent_types(run, tree)
    read_flags(run, tree)
    for slug, entry, line in entries_of(run, tree, "teams"):
        read_team(run, slug, entry, line)
    read_prices(run, tree)
