"""What is audited: which rows, what of them is secret, and the places where the programs' own doings are listened to.

Rows that are saved or deleted are noted by the signals that Django sends; a save and what is noted of it are one
transaction. ``PASSED_OVER`` names every other model with the reason why its rows are not noted.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial, wraps
from typing import Any

from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Group, User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import models, transaction
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save

from accounting import models as accounts
from accounting.audit import trail, watch
from accounting.audit.sign_ins import note_failure, note_sign_in, note_sign_out
from accounting.audit.values import Kind, Raw
from accounting.secret_shapes import is_credential_header
from llmgateway.api.models import ApiToken
from routing import models as routing
from routing import witnesses

USER_SECRETS = frozenset({"password"})


def _hides_credential_value(name: str, raw: Raw) -> bool:
    """A header rule may put a credential into a header."""
    return name == "value" and is_credential_header(raw["name"])


def _own_slug(row: Any) -> str:
    return str(row.slug)


def _slug_of_team(row: Any) -> str:
    return str(row.team.slug)


def _slug_of_holder(row: Any) -> str:
    """A budget's team: its own, or that of its project or key."""
    holder = row.project or row.key
    return str(row.team.slug if row.team else holder.team.slug)


def _team_word(row: Any) -> str:
    return str(row.team)


KINDS = (
    Kind(routing.Provider),
    Kind(routing.Credential, secrets=frozenset({"sealed_secret"})),
    Kind(routing.Deployment),
    Kind(routing.ModelAlias),
    Kind(routing.Route),
    Kind(routing.RouteTarget),
    Kind(routing.FeatureFlag, team_of=_team_word),
    Kind(routing.ModelTier),
    Kind(routing.AgentType),
    Kind(routing.HeaderRule, hides=_hides_credential_value),
    Kind(routing.Transformation),
    Kind(accounts.Team, team_of=_own_slug),
    Kind(accounts.Project, team_of=_slug_of_team),
    Kind(accounts.Membership, team_of=_slug_of_team),
    Kind(accounts.GroupGrant, team_of=_slug_of_team),
    Kind(accounts.VirtualKey, secrets=frozenset({"digest"}), team_of=_slug_of_team),
    Kind(
        accounts.Budget,
        addresses=frozenset({"alert_webhook_url"}),
        team_of=_slug_of_holder,
    ),
    Kind(accounts.Price),
    Kind(accounts.PriceTier),
    Kind(accounts.MaskPattern),
    Kind(User, secrets=USER_SECRETS, passed_over=frozenset({"last_login", "date_joined"})),
    Kind(Group),
    Kind(Authenticator, passed_over=frozenset({"data", "last_used_at"})),
    Kind(ApiToken, secrets=frozenset({"digest"}), passed_over=frozenset({"last_used_at"})),
)
"""Every row of these is noted when it is created, changed or deleted."""

PASSED_OVER: Mapping[str, str] = {
    "routing.configurationversion": "is itself the record of what changed, written by the program",
    "routing.providercheck": "what the last look at a provider found; nothing that somebody set",
    "routing.routingversion": "counts changes for the serving processes",
    "accounting.keysversion": "counts changes for the serving processes",
    "accounting.usagerecord": "the ledger: rows that are only added, by the program",
    "accounting.adjustment": "the ledger: each says by whom and why, and is only added",
    "accounting.usagearchive": "written by the archiving, each says by whom",
    "accounting.dailyusage": "sums of the ledger, kept by the program and verified against it",
    "accounting.dailylatency": "sums of the ledger, kept by the program",
    "accounting.hourlyusage": "sums of the ledger, kept by the program and verified against it",
    "accounting.hourlyttft": "sums of the ledger, kept by the program and verified against it",
    "accounting.budgetalert": "whom the program told of a budget; nobody sets one",
    "accounting.requestlog": "what crossed, written by the program; opening one is noted",
    "accounting.auditentry": "the trail itself",
    "api.keptanswer": "answers of the API to requests that may be sent twice, for a day",
    "accounting.auditcheck": "what the last verification of the trail found",
    "auth.permission": "made by migrations, as the models are",
    "auth.user_groups": "noted as a change of the user",
    "auth.user_user_permissions": "noted as a change of the user",
    "auth.group_permissions": "noted as a change of the group",
    "admin.logentry": "the admin's own short history",
    "contenttypes.contenttype": "made by migrations, as the models are",
    "axes.accessattempt": "wrong passwords that are counted; sign-ins that were refused are noted",
    "axes.accessattemptexpiration": "until when a name and address are locked, by the program",
    "axes.accessfailurelog": "not written; sign-ins that were refused are noted",
    "axes.accesslog": "not written; sign-ins and sign-outs are noted",
    "account.emailaddress": "what an identity provider said of an account; changes no right",
    "account.emailconfirmation": "not written; nobody confirms addresses here",
    "socialaccount.socialaccount": "whom an identity provider let in; sign-ins, and accounts made so, are noted",
    "socialaccount.socialapp": "not written; the environment says which identity providers there are",
    "socialaccount.socialtoken": "not written; tokens of identity providers are not kept",
    "sessions.session": "sign-ins and sign-outs are noted",
}
"""Why the rows of all other models are not noted."""


def listen() -> None:
    """Note from now on what happens to the rows of ``KINDS``, to secrets of routing, and who signs in."""
    for kind in KINDS:
        watch.register(kind)
        _listen_to_rows(kind.model)
        for field in kind.model._meta.many_to_many:
            _listen_to_links(watch.Links(kind.model, field.name), field.remote_field.through)
    user_logged_in.connect(_signed_in, dispatch_uid="audit-signed-in")
    user_logged_out.connect(_signed_out, dispatch_uid="audit-signed-out")
    user_login_failed.connect(_refused, dispatch_uid="audit-refused")
    witnesses.call(AuditWitness())


def _listen_to_rows(model: type[models.Model]) -> None:
    _save_in_one_transaction(model)
    name = model.__name__
    pre_save.connect(_saving, sender=model, dispatch_uid=f"audit-saving-{name}")
    post_save.connect(_saved, sender=model, dispatch_uid=f"audit-saved-{name}")
    pre_delete.connect(_deleting, sender=model, dispatch_uid=f"audit-deleting-{name}")
    post_delete.connect(_deleted, sender=model, dispatch_uid=f"audit-deleted-{name}")


def _save_in_one_transaction(model: type[models.Model]) -> None:
    """Let a save commit together with what its listeners write.

    Django commits a row that is saved outside of a transaction before it tells the listeners: a change whose entry
    cannot be written would stay. Not needed any more once Django sends the signals within the save's transaction.
    """
    plain: Callable[..., None] = model.save_base

    @wraps(plain)
    def save_base(self: models.Model, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic(savepoint=False):
            plain(self, *args, **kwargs)

    model.save_base = save_base  # type: ignore[method-assign]


def _listen_to_links(links: watch.Links, through: Any) -> None:
    m2m_changed.connect(
        partial(_links_changing, links),
        sender=through,
        weak=False,
        dispatch_uid=f"audit-links-{links.model.__name__}-{links.name}",
    )


def _saving(instance: models.Model, update_fields: Any = None, **_kwargs: Any) -> None:
    watch.before_save(instance, update_fields)


def _saved(instance: models.Model, **_kwargs: Any) -> None:
    watch.after_save(instance)


def _deleting(instance: models.Model, origin: object = None, **_kwargs: Any) -> None:
    watch.before_delete(instance, origin)


def _deleted(instance: models.Model, **_kwargs: Any) -> None:
    watch.after_delete(instance)


def _links_changing(
    links: watch.Links, instance: models.Model, action: str, pk_set: Any = None, **_kwargs: Any
) -> None:
    watch.links_changing(links, instance, action, pk_set)


def _signed_in(user: Any, **_kwargs: Any) -> None:
    note_sign_in(user)


def _signed_out(user: Any, **_kwargs: Any) -> None:
    if user is not None:
        note_sign_out(user)


def _refused(credentials: Mapping[str, Any], **_kwargs: Any) -> None:
    note_failure(str(credentials.get("username") or ""))


class AuditWitness:
    """What routing tells of, in the trail."""

    def changes_begin(self) -> None:
        """Take the trail's turn before any row of routing is locked, or two transactions could wait for each other."""
        trail.take_turn()

    def replacing(self, rows: witnesses.Rows) -> AbstractContextManager[None]:
        """Note what becomes of the rows."""
        return watch.noting(rows)

    def secret_used(self, row: models.Model, how: str) -> None:
        """Note it as a use of the row."""
        watch.note_use(row, how)
