"""Reads model tiers and agent types from a file."""

from llmgateway.configuration.entries import check_keys, chosen, entries_of
from llmgateway.configuration.faults import Import
from llmgateway.configuration.rows import save
from llmgateway.lined_yaml import Lined
from routing.configuration.keys import AGENT_TYPE, AGENT_TYPE_FIELDS, TIER
from routing.models import AgentType, ModelAlias, ModelTier


def read_tiers(run: Import, tree: Lined) -> None:
    """``name: alias``, or a mapping with ``alias`` and ``description``."""
    tiers = tree.get("tiers")
    if isinstance(tiers, Lined):
        for slug, entry in tiers.items():
            if isinstance(entry, str):
                tiers[slug] = _with_alias(entry, tiers.line_of(slug))
    for slug, entry, line in entries_of(run, tree, "tiers"):
        _read_tier(run, slug, entry, line)


def _with_alias(name: str, line: int) -> Lined:
    entry = Lined()
    entry.line = line
    entry["alias"] = name
    return entry


def _read_tier(run: Import, slug: str, entry: Lined, line: int) -> None:
    check_keys(run, entry, TIER, f"tier {slug!r}")
    values, lines = chosen(entry, ("description",))
    if "alias" in entry:
        alias = ModelAlias.objects.filter(name=str(entry["alias"])).first()
        if alias is None:
            run.fault(entry.line_of("alias"), f"there is no alias {entry['alias']!r}")
            return
        values["alias"] = alias
        lines["alias"] = entry.line_of("alias")
    elif not ModelTier.objects.filter(slug=slug).exists():
        run.fault(line, f"tier {slug!r} needs an alias")
        return
    save(run, ModelTier, {"slug": slug}, values, line, f"tier {slug}", lines=lines)


def read_agent_types(run: Import, tree: Lined) -> None:
    """Agent types; they are looked at in the order of the file, where it gives no positions."""
    for index, (slug, entry, line) in enumerate(entries_of(run, tree, "agent_types")):
        check_keys(run, entry, AGENT_TYPE, f"agent type {slug!r}")
        values, lines = chosen(entry, AGENT_TYPE_FIELDS)
        values.setdefault("position", index)
        if isinstance(values.get("header"), str):
            values["header"] = str(values["header"]).lower()  # as the row will say it
        if "tier" in entry:
            tier = ModelTier.objects.filter(slug=str(entry["tier"])).first()
            if tier is None and entry["tier"] is not None:
                run.fault(entry.line_of("tier"), f"there is no tier {entry['tier']!r}")
                continue
            values["tier"] = tier
        save(run, AgentType, {"slug": slug}, values, line, f"agent type {slug}", lines=lines)
