"""Which targets may answer a call, in the order to try them: from a snapshot and what is asked, without waiting.

    name -> agent type, tier -> alias -> route whose conditions hold -> targets whose conditions hold -> order

Every step can say why it chose so: a ``trace`` collects sentences for the page that explains routes, and costs nothing
where there is none.
"""

import difflib
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal

import msgspec

from conversion.call import Call
from conversion.names import matches, matches_any
from conversion.needs import Needs, read_needs
from routing import families, ordering
from routing.errors import ModelUnknown, NoTarget
from routing.flags import BYPASS_LITELLM, LITELLM_FALLBACK
from routing.live import Live
from routing.pictures import (
    AgentTypePicture,
    AliasPicture,
    Found,
    RoutePicture,
    Snapshot,
    Target,
    traits_of,
)
from routing.placeholders import PLACE

SUGGESTIONS_MAX = 3
NAME_CHARS_MAX = 200
"""No alias is longer; a longer name is neither compared with them nor repeated in a message."""
NAMES_REMEMBERED = 4096
"""Names for which a picture remembers what its patterns say; one more, and it begins anew."""
NO_GROUPS: Mapping[str, str] = {}
SESSION_FIELDS = ("session_id", "prompt_cache_key", "safety_identifier", "user")
REQUEST_CLASS_HEADER = "x-claude-code-request-class"

PriceOf = Callable[[Target, Needs], Decimal | None]
"""What a target would cost for a request, in USD; None where its price is not known."""


class Question(msgspec.Struct):
    """What is asked, by whom. ``name`` is the model's, header names are in lower case; ``session`` is the client's own id of its session."""

    name: str
    dice: random.Random
    call: Call | None = None
    team: str = ""
    project: str = ""
    key: str = ""
    session: str = ""
    request_id: str = ""
    headers: Mapping[str, str] = {}
    live: Live | None = None
    price_of: PriceOf | None = None
    trace: list[str] | None = None
    _needs: Needs | None = None

    @property
    def needs(self) -> Needs:
        """What the call needs, read when somebody asks."""
        if self._needs is None:
            self._needs = read_needs(self.call) if self.call else Needs(prompt_tokens=0)
        return self._needs

    @property
    def conversation(self) -> str:
        """What keeps a conversation to its target: the client's session, else the cache key or user its body names."""
        if self.session or self.call is None:
            return self.session
        body = self.call.body
        metadata = body.get("metadata")
        named = [body.get(name) for name in SESSION_FIELDS]
        if isinstance(metadata, dict):
            named.append(metadata.get("user_id"))
        return next((name for name in named if isinstance(name, str) and name), "")

    def say(self, sentence: str) -> None:
        """Tell the trace, where there is one."""
        if self.trace is not None:
            self.trace.append(sentence)


class Plan(msgspec.Struct, frozen=True):
    """The targets chosen for one call, in the order to try. ``alias`` is the row's name or pattern.

    ``session`` is set where the route keeps sessions to their target: who answers is to be remembered.
    """

    alias: str
    snapshot_number: int
    targets: tuple[Target, ...]
    route: int = 0
    agent_type: str = ""
    tier: str = ""
    session: str = ""


def make_plan(snapshot: Snapshot, question: Question) -> Plan:
    """The plan for a question.

    Raises:
        ModelUnknown: no alias matches.
        NoTarget: the alias that matches has nothing behind it that may be called.
    """
    agent = _agent_type(snapshot, question) if snapshot.agent_types else None
    name = question.name
    if agent is not None and agent.alias:
        question.say(
            f"Agent type {agent.slug} has the tier {agent.tier}, whose alias is {agent.alias}."
        )
        name = agent.alias
    found = _look_up(snapshot, name)
    if found is None:
        recognised = families.recognise(snapshot, name)
        if not recognised:
            raise _unknown(snapshot, name)
        question.say(
            f"No alias matches {name!r}; it was recognised as a model of {recognised[0].provider.slug}."
        )
        return Plan(alias=name, snapshot_number=snapshot.number, targets=recognised)
    alias, matched = found
    if question.trace is not None:  # few ask, and the sentence would be made for all
        question.say(f"{name!r} is matched by the alias {alias.name!r}.")
    tier = agent.tier if agent else ""
    route, targets = _choose_route(alias, question, agent.slug if agent else "", tier)
    if len(targets) > 1:
        targets = _ordered(snapshot, route, targets, question)
    if matched:
        targets = tuple(_filled(target, matched) for target in targets)
    plan = Plan(
        alias=alias.name,
        snapshot_number=snapshot.number,
        targets=targets,
        route=route.pk,
        agent_type=agent.slug if agent else "",
        tier=tier,
        session=question.conversation if _keeps_sessions(route) and len(targets) > 1 else "",
    )
    if alias.pattern is None and not snapshot.agent_types and _is_alone(alias):
        snapshot.lone[name] = plan
    return plan


def known_plan(snapshot: Snapshot, name: str) -> Plan | None:
    """The plan that every request for a name has, where there is such a one and it was made before."""
    known: Plan | None = snapshot.lone.get(name)
    return known


def _is_alone(alias: AliasPicture) -> bool:
    """Whether there is one target, and nothing that any request could change in that."""
    first = alias.routes[0]
    is_open = len(alias.routes) == 1 and first.conditions is None
    return is_open and len(first.targets) == 1 and not first.has_choosy_targets


def _keeps_sessions(route: RoutePicture) -> bool:
    return route.is_sticky and route.strategy != "in_order"


def _agent_type(snapshot: Snapshot, question: Question) -> AgentTypePicture | None:
    for agent in snapshot.agent_types:
        value = question.headers.get(agent.header)
        if value is not None and matches(agent.value, value.lower()):
            question.say(f"The header {agent.header} tells the agent type {agent.slug}.")
            return agent
    return None


def find_alias(snapshot: Snapshot, name: str) -> Found:
    """The alias for a name, an exact one before patterns, and what the pattern matched by group.

    Raises:
        ModelUnknown: with the nearest names there are.
    """
    found = _look_up(snapshot, name)
    if found is None:
        raise _unknown(snapshot, name)
    return found


def _look_up(snapshot: Snapshot, name: str) -> Found | None:
    """As ``find_alias``; None where nothing matches.

    What patterns say of a name is remembered with the picture: a thousand of them take 2 ms, and clients ask for few
    names again and again.
    """
    exact = snapshot.exact.get(name)
    if exact is not None:
        return exact, NO_GROUPS
    if not snapshot.patterns:
        return None
    try:
        return snapshot.matched[name]
    except KeyError:
        found = _match(snapshot, name)
    if len(name) <= NAME_CHARS_MAX:
        if len(snapshot.matched) >= NAMES_REMEMBERED:
            snapshot.matched.clear()
        snapshot.matched[name] = found
    return found


def _match(snapshot: Snapshot, name: str) -> Found | None:
    for alias in snapshot.patterns:
        match = alias.pattern.fullmatch(name)
        if match:
            groups = {"0": name}
            groups.update({str(n): text or "" for n, text in enumerate(match.groups(), 1)})
            groups.update({key: text or "" for key, text in match.groupdict().items()})
            return alias, groups
    return None


def _unknown(snapshot: Snapshot, name: str) -> ModelUnknown:
    if len(name) > NAME_CHARS_MAX:
        return ModelUnknown(
            f"The model {name[:NAME_CHARS_MAX]!r}… is not known here. GET /v1/models lists what is."
        )
    return ModelUnknown(f"The model {name!r} is not known here.{_nearest(snapshot, name)}")


def _nearest(snapshot: Snapshot, name: str) -> str:
    visible = [alias.name for alias in snapshot.exact.values() if alias.visible]
    near = difflib.get_close_matches(name, visible, n=SUGGESTIONS_MAX, cutoff=0.4)
    if not near:
        return " GET /v1/models lists what is."
    return f" Did you mean {', '.join(near)}? GET /v1/models lists all."


def _choose_route(
    alias: AliasPicture, question: Question, agent_type: str, tier: str
) -> tuple[RoutePicture, tuple[Target, ...]]:
    """The first route whose conditions hold and which has a target left, with these targets.

    Raises:
        NoTarget: there is none.
    """
    for number, route in enumerate(alias.routes, 1):
        unmet = _unmet_of_route(route, question, agent_type, tier)
        if unmet:
            question.say(f"Route {number} is passed over: {unmet}.")
            continue
        targets = _targets_for(route, question)
        if targets:
            question.say(
                f"Route {number} is taken; its strategy: {route.strategy.replace('_', ' ')}."
            )
            return route, targets
        question.say(f"Route {number} is passed over: it has no target for this request.")
    raise NoTarget(
        f"The model {question.name!r} has no target that can be called now for this request: its routes, deployments or "
        "providers are switched off, missing, without a credential, or have conditions that do not hold. "
        f"An administrator can mend this at Routing → Model aliases → {alias.name}."
    )


def _unmet_of_route(route: RoutePicture, question: Question, agent_type: str, tier: str) -> str:
    """Which condition does not hold; empty when all do."""
    wanted = route.conditions
    if wanted is None:
        return ""
    checks = (
        ("team", wanted.teams, question.team),
        ("project", wanted.projects, question.project),
        ("API key", wanted.keys, question.key),
        ("agent type", wanted.agent_types, agent_type),
        ("tier", wanted.tiers, tier),
        ("request class", wanted.request_classes, question.headers.get(REQUEST_CLASS_HEADER, "")),
    )
    for what, patterns, value in checks:
        if patterns and not matches_any(patterns, value):
            return f"its {what} must be {' or '.join(patterns)}, and is {value or 'none'}"
    if wanted.header:
        name, pattern = wanted.header
        if not matches(pattern, question.headers.get(name, "").lower()):
            return f"the header {name} must be {pattern}"
    return ""


def _targets_for(route: RoutePicture, question: Question) -> tuple[Target, ...]:
    """The targets that the request may go to: by their own conditions, then by what is known of their models."""
    kept = route.targets
    if not route.has_choosy_targets:
        return kept
    if any(target.conditions for target in kept):
        kept = tuple(
            target
            for target in kept
            if not _passed_over(target, _unmet_of_target(target, question), question)
        )
    if any(target.context_window_tokens or target.facts.is_known for target in kept):
        able = tuple(
            target
            for target in kept
            if not _passed_over(target, _missing_in(target, question), question)
        )
        # What is known of a model may be out of date: better to ask one that cannot than nobody.
        kept = able or kept
    return kept


def _passed_over(target: Target, reason: str, question: Question) -> bool:
    if reason:
        question.say(
            f"Target {target.provider.slug}: {target.upstream_model} is passed over: {reason}."
        )
    return bool(reason)


def _unmet_of_target(target: Target, question: Question) -> str:
    wanted, needs = target.conditions, question.needs
    if wanted is None:
        return ""
    if wanted.prompt_tokens_over is not None and needs.prompt_tokens <= wanted.prompt_tokens_over:
        return f"it is for prompts over {wanted.prompt_tokens_over} tokens, and this has about {needs.prompt_tokens}"
    if (
        wanted.prompt_tokens_at_most is not None
        and needs.prompt_tokens > wanted.prompt_tokens_at_most
    ):
        return f"it is for prompts up to {wanted.prompt_tokens_at_most} tokens, and this has about {needs.prompt_tokens}"
    if wanted.with_tools and not needs.has_tools:
        return "it is for requests with tools"
    if wanted.with_images and not needs.has_images:
        return "it is for requests with images"
    if wanted.with_reasoning and not needs.wants_reasoning:
        return "it is for requests that ask the model to think"
    return ""


def _missing_in(target: Target, question: Question) -> str:
    facts, needs = target.facts, question.needs
    window = target.context_window_tokens
    if window is not None and needs.prompt_tokens > window:
        return (
            f"its context window is {window} tokens, and the prompt has about {needs.prompt_tokens}"
        )
    if facts.takes_tools is False and needs.has_tools:
        return "its model takes no tools"
    if facts.takes_images is False and needs.has_images:
        return "its model takes no images"
    if facts.can_reason is False and needs.wants_reasoning:
        return "its model does not think"
    return ""


def _ordered(
    snapshot: Snapshot, route: RoutePicture, targets: tuple[Target, ...], question: Question
) -> tuple[Target, ...]:
    live = question.live
    if route.strategy == "weighted":
        targets = ordering.by_weight(targets, question.dice, _session_seed(route, question))
    elif route.strategy == "lowest_latency" and live is not None:
        targets = ordering.by_latency(targets, live.latencies)
    elif route.strategy == "lowest_cost" and question.price_of is not None:
        price_of, needs = question.price_of, question.needs
        targets = ordering.by_cost(targets, lambda target: price_of(target, needs))
    if live is not None and _keeps_sessions(route) and question.conversation:
        targets = ordering.stuck_to(targets, live.sessions.last(route.pk, question.conversation))
    targets = _around_litellm(snapshot, targets, question)
    if live is not None:
        targets = ordering.cooled_last(targets, live.cooldowns, time.monotonic())
    question.say(
        "Order: " + ", ".join(f"{t.provider.slug}: {t.upstream_model}" for t in targets) + "."
    )
    return targets


def _session_seed(route: RoutePicture, question: Question) -> str:
    return (
        f"{route.pk}:{question.conversation}" if route.is_sticky and question.conversation else ""
    )


def _around_litellm(
    snapshot: Snapshot, targets: tuple[Target, ...], question: Question
) -> tuple[Target, ...]:
    """Direct targets before those behind LiteLLM, or after them, as the flags say."""
    behind = tuple(target for target in targets if target.provider.kind.is_litellm)
    if not behind or len(behind) == len(targets):
        return targets
    direct = tuple(target for target in targets if not target.provider.kind.is_litellm)
    who = {"team": question.team, "key": question.key, "request_id": question.request_id}
    first, then = (
        (direct, behind) if snapshot.flags.is_on(BYPASS_LITELLM, **who) else (behind, direct)
    )
    question.say(
        f"The flag bypass_litellm puts {'direct targets' if first is direct else 'LiteLLM'} first."
    )
    if not snapshot.flags.is_on(LITELLM_FALLBACK, **who):
        question.say("The flag litellm_fallback is off: there is no fallback to the other path.")
        return first
    return first + then


def _filled(target: Target, groups: Mapping[str, str]) -> Target:
    """The target with ``{1}`` and ``{name}`` in its model replaced by what the alias matched."""
    if "{" not in target.upstream_model:
        return target
    # In one go, so that what the client wrote is never itself read as a place to fill.
    model = PLACE.sub(lambda place: groups.get(place[1], place[0]), target.upstream_model)
    # What a kind says of a model depends on its name, which is only known now.
    traits = traits_of(target.provider, model, target.overrides)
    return replace(target, upstream_model=model, traits=traits)
