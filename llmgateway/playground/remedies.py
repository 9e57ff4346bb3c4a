"""What to do about an error at the playground: a sentence by the error's name, and the page where it is done."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from django.urls import reverse

from llmgateway.playground.sending import Outcome


class _Row(NamedTuple):
    """A remedy with its page's name. ``for_staff`` marks pages that only staff can open."""

    words: str
    page: str = ""
    label: str = ""
    for_staff: bool = False


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do; ``address`` is empty where no page helps that this person can open."""

    words: str
    address: str = ""
    label: str = ""


_KEY = _Row("Choose another key, or have one made.", "accounting:teams", "Teams & keys")
_CREDENTIAL = _Row(
    "The gateway's own account at the provider is at fault: an administrator mends it at the provider's credentials.",
    "admin:routing_credential_changelist",
    "Credentials",
    for_staff=True,
)
_PROVIDER = _Row(
    "The provider was asked and did not answer as it should. Send it again; if that does not help, an administrator "
    "looks at the provider, or adds a second target to the route.",
    "admin:routing_provider_changelist",
    "Providers",
    for_staff=True,
)
_ASK = _Row("Change what is sent: the message says which part is at fault.")
_ROWS: Mapping[str, _Row] = {
    "KeyRefused": _KEY,
    "ModelUnknown": _Row(
        "Choose a model from the list: those are open to the key. A lead can open others to it.",
        "accounting:teams",
        "Teams & keys",
    ),
    "BudgetExceeded": _Row(
        "A hard budget has no room for this call. Lower max tokens, wait for the next window, or have the budget raised.",
        "accounting:budgets",
        "Budgets",
    ),
    "RateLimited": _Row(
        "A limit of the key, its project or team is reached. Wait a minute, or have the limit raised.",
        "accounting:teams",
        "Teams & keys",
    ),
    "NoTarget": _Row(
        "Nothing behind this model can be called now. Explain, below, says why each target was left out.",
        "admin:routing_modelalias_changelist",
        "Model aliases",
        for_staff=True,
    ),
    "CredentialNotSent": _Row(
        "This provider is called with the client's own credential, which the playground does not have: send it from a client."
    ),
    "RequestInvalid": _ASK,
    "RequestInexpressible": _ASK,
    "UpstreamRejected": _ASK,
    "PromptTooLong": _Row("Send less, or choose a model with a larger context window."),
    "UpstreamUnauthorized": _CREDENTIAL,
    "UpstreamOutOfCredit": _CREDENTIAL,
    "SecretUnreadable": _CREDENTIAL,
    "UpstreamRateLimited": _Row("The provider asks to slow down. Wait a little and send it again."),
    "UpstreamOverloaded": _Row(
        "The provider has no capacity now. Wait a little and send it again."
    ),
    "InternalFault": _Row(
        "This is a fault of the gateway. Its log has the reason, under the request's id."
    ),
}


def remedy_of(outcome: Outcome, *, is_staff: bool) -> Remedy | None:
    """What to do about an outcome that is no success; None for one that is."""
    if outcome.succeeded:
        return None
    row = _ROWS.get(outcome.error, _PROVIDER)
    if not row.page or (row.for_staff and not is_staff):
        return Remedy(row.words)
    return Remedy(row.words, reverse(row.page), row.label)
