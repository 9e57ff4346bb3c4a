"""Writes the rows as a tree for YAML."""

from typing import Any

from llmgateway.configuration.budgets import webhook_variables
from llmgateway.configuration.prices import prices_tree
from llmgateway.configuration.teams import team_tree, teams
from routing.configuration.keys import VERSION
from routing.configuration.tree import routing_tree


def export() -> dict[str, Any]:
    """The rows as a tree for YAML; secrets as references to variables, never in clear."""
    webhooks = webhook_variables()
    tree = {
        "version": VERSION,
        **routing_tree(),
        "teams": {row.slug: team_tree(row, webhooks) for row in teams()},
    }
    prices = prices_tree()
    return {**tree, "prices": prices} if prices else tree
