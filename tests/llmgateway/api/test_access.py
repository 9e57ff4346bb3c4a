"""Who may do what: all addresses as all five sorts of people, tokens by their scope, and a token's life."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.test import Client

from accounting import keys
from accounting.masking import Masker
from accounting.models import AuditEntry, Budget, Membership, Project, VirtualKey
from llmgateway.api import authentication, tokens
from llmgateway.api.models import ApiToken, KeptAnswer
from llmgateway.api.urls import router
from tests.factories.accounting import make_key, make_price, make_request_log, make_team, make_usage
from tests.factories.routing import make_alias, make_credential, make_deployment, make_provider
from tests.llmgateway.api.conftest import Api, api_of, person
from tests.llmgateway.api.test_rows import error

pytestmark = pytest.mark.django_db

FOR_TEAMS = {"teams", "projects", "members", "keys", "budgets", "alerts", "records", "adjustments", "audit"}  # fmt: skip
OWN = {"tokens"}
RESOURCES = {prefix: view for prefix, view, _name in router.registry}


@pytest.fixture
def cast():
    """A row of each team's kind in alder, none of which is birch's."""
    team = make_team()
    make_team("birch")
    member = person("member", "member")
    key = make_key(team, "shared").row
    own = make_key(team, "own", owner=member).row
    found = {
        "teams": "alder",
        "projects": Project.objects.create(team=team, slug="web").pk,
        "members": Membership.objects.get(user=member).pk,
        "keys": key.pk,
        "budgets": Budget.objects.create(team=team, amount_usd=5).pk,
        "records": make_usage().pk,
        "own key": own.pk,
        "own record": make_usage(member="member").pk,
        "own budget": Budget.objects.create(key=own, amount_usd=1).pk,
    }
    provider = make_provider("router")
    found |= {
        "providers": "router",
        "credentials": make_credential(provider).pk,
        "aliases": make_alias("sonnet", make_deployment(provider)).pk,
        "prices": make_price().pk,
        "logs": make_request_log().pk,
    }
    found["audit"] = AuditEntry.objects.filter(team="alder").first().pk
    return found


def role_api(role: str) -> Api:
    user = User.objects.filter(username=role).first()
    if role == "staff":
        user = User.objects.create_superuser(role)
    elif role == "outsider":
        user = person(role, "lead", team="birch")
    elif user is None:
        user = person(role, role)
    return api_of(user)


@pytest.mark.parametrize("role", ["staff", "lead", "auditor", "member", "outsider"])
def test_each_address_as_each_sort_of_person(cast, role):
    api = role_api(role)
    for name, view in RESOURCES.items():
        assert view.is_for_teams == (name in FOR_TEAMS | OWN)
        answer = api.get(f"{name}/")
        is_open = role == "staff" or name in FOR_TEAMS | OWN
        assert answer.status_code == (200 if is_open else 403), (name, answer.content)
        if role == "outsider" and name in FOR_TEAMS - {"teams", "members", "audit"}:
            assert answer.json()["results"] == [], name
        if name not in cast:
            continue
        whole = role in ("staff", "lead", "auditor") or (
            role == "member" and name in ("teams", "projects", "members")
        )
        expected = 403 if not is_open else 200 if whole else 404
        for path in (f"{name}/{cast[name]}/",):
            assert api.get(path).status_code == expected, (role, path)
            if expected != 200:
                for method in ("put", "patch", "delete"):
                    answer = api.send(method, path, {})
                    assert answer.status_code in (403, 404, 405), (role, method, path)
    for path in ("configuration/", "flags/declared/"):
        assert api.get(path).status_code == (200 if role == "staff" else 403)
    assert api.post("explain/", {"body": {"model": "sonnet"}}).status_code in (
        (200, 400) if role == "staff" else (403,)
    )
    assert api.post("configuration/", {}).status_code in ((400,) if role == "staff" else (403,))
    assert (
        api.post("providers/router/sync-models/").status_code != 403
        if role == "staff"
        else api.post("providers/router/sync-models/").status_code == 403
    )


def test_a_member_sees_what_is_their_own_and_changes_none_of_it(cast):
    api = role_api("member")
    assert [row["id"] for row in api.get("keys/").json()["results"]] == [cast["own key"]]
    assert [row["id"] for row in api.get("records/").json()["results"]] == [cast["own record"]]
    assert [row["id"] for row in api.get("budgets/").json()["results"]] == [cast["own budget"]]
    assert [row["user"] for row in api.get("members/").json()["results"]] == ["member"]
    assert api.post(f"keys/{cast['own key']}/rotate/").status_code == 403
    assert api.post("keys/", {"team": "alder", "name": "new"}).status_code == 403


def test_a_lead_manages_keys_and_members_of_their_team_only(cast):
    api = role_api("lead")
    made = api.post("keys/", {"team": "alder", "name": "new", "owner": "member", "project": "web"})
    assert made.status_code == 201, made.content
    number, secret = made.json()["id"], made.json()["secret"]
    assert keys.find(secret).pk == number
    assert made.json()["project"] == "web"
    assert (
        api.patch(f"keys/{number}/", {"requests_per_minute": 5}).json()["requests_per_minute"] == 5
    )
    rotated = api.post(f"keys/{number}/rotate/", {"overlap_s": 60})
    assert rotated.status_code == 201, rotated.content
    assert rotated["Location"] == f"/api/keys/{rotated.json()['id']}/"
    assert rotated.json()["rotated_from"] == number
    assert error(api.post(f"keys/{number}/rotate/"), 409)
    assert api.post(f"keys/{number}/revoke/").json()["state"] == "revoked"
    assert error(api.patch(f"keys/{number}/", {"enabled": False}), 409)
    assert error(api.delete(f"keys/{number}/"), 403)

    person("new")
    assert api.post("members/", {"team": "alder", "user": "new"}).status_code == 201
    assert "team" in error(api.post("members/", {"team": "birch", "user": "new"}), 400)["fields"]
    assert "team" in error(api.post("keys/", {"team": "birch", "name": "x"}), 400)["fields"]
    assert (
        "owner"
        in error(api.post("keys/", {"team": "alder", "name": "x", "owner": "nobody"}), 400)[
            "fields"
        ]
    )
    assert error(api.patch("teams/alder/", {"enabled": False}), 403)
    assert error(api.post("budgets/", {"team": "alder", "amount_usd": 9}), 403)
    entry = AuditEntry.objects.filter(kind="accounting.virtualkey", action="create").first()
    assert (entry.actor, entry.via) == ("lead (token ci)", "api")


def test_a_role_that_a_lead_changes_is_given_by_hand(cast):
    row = Membership.objects.get(pk=cast["members"])
    Membership.objects.filter(pk=row.pk).update(role="lead", origin="group")
    api = role_api("lead")
    assert api.patch(f"members/{row.pk}/", {}).json()["origin"] == "group"
    assert api.patch(f"members/{row.pk}/", {"role": "auditor"}).json()["origin"] == "hand"
    row.refresh_from_db()
    assert (row.role, row.origin) == ("auditor", "hand")


def test_a_lead_does_not_change_their_own_role(cast):
    api = role_api("lead")
    own = Membership.objects.get(user__username="lead")
    assert error(api.patch(f"members/{own.pk}/", {"role": "member"}), 403)
    assert error(api.delete(f"members/{own.pk}/"), 403)
    own.refresh_from_db()
    assert own.role == "lead"


def test_an_auditor_changes_nothing(cast):
    api = role_api("auditor")
    assert error(api.post("keys/", {"team": "alder", "name": "x"}), 403)
    assert error(api.post(f"keys/{cast['keys']}/revoke/"), 403)
    assert error(api.delete(f"members/{cast['members']}/"), 403)


def test_staff_may_what_their_permissions_say(cast):
    user = User.objects.create_user("clerk", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_team"))
    api = api_of(user)
    assert api.get("teams/").status_code == 200
    assert "accounting.view_virtualkey" in error(api.get("keys/"), 403)["message"]
    assert error(api.patch("teams/alder/", {}), 403)
    assert error(api.put("teams/new/", {}), 403)
    assert error(api.post(f"keys/{cast['keys']}/revoke/"), 403)


@pytest.mark.parametrize("kind", ["membership", "budget", "price", "route", "modeltier"])
def test_a_configuration_is_for_who_may_see_and_change_all_that_is_in_it(cast, kind):
    user = User.objects.create_user("clerk", is_staff=True)
    others = Permission.objects.exclude(content_type__model=kind)
    user.user_permissions.set(others)
    api = api_of(user)
    text = {"version": 1, "teams": {"alder": {"budgets": [{"window": "month", "usd": 9000}]}}}
    assert f".add_{kind}" in error(api.post("configuration/", text), 403)["message"]
    assert f".view_{kind}" in error(api.get("configuration/"), 403)["message"]
    assert Budget.objects.get(team__slug="alder").amount_usd == 5
    user.user_permissions.set(Permission.objects.all())
    assert api.get("configuration/").status_code == 200
    assert api.post("configuration/", text).status_code == 200


@pytest.mark.parametrize(
    ("scope", "method", "path", "body", "status"),
    [
        ("read", "get", "teams/", None, 200),
        ("read", "post", "teams/", {"slug": "new"}, 403),
        ("write", "post", "teams/", {"slug": "new"}, 201),
        ("write", "post", "credentials/", {}, 403),
        ("write", "post", "tokens/", {"name": "x"}, 403),
        ("write", "post", "configuration/", {}, 403),
        ("admin", "post", "tokens/", {"name": "x"}, 201),
    ],
    ids=["look", "add-reading", "add", "secret", "token", "import", "token-admin"],
)
def test_a_token_reaches_as_far_as_its_scope(boss, scope, method, path, body, status):
    answer = api_of(boss, scope).send(method, path, body)
    assert answer.status_code == status, answer.content


@pytest.mark.parametrize(
    ("change", "is_reserved"),
    [
        ({"base_url": "https://elsewhere.test/v1"}, True),
        ({"verify_tls": False}, True),
        ({"kind": "anthropic"}, True),
        ({"retries_max": 1, "kind": "openrouter"}, False),
    ],
    ids=["address", "tls", "kind", "retries"],
)
def test_credentials_are_led_elsewhere_by_who_may_change_them_only(cast, change, is_reserved):
    del cast
    clerk = User.objects.create_user("clerk", is_staff=True)
    clerk.user_permissions.set(Permission.objects.exclude(codename="change_credential"))
    boss = User.objects.create_superuser("boss")
    for api in (api_of(clerk), api_of(boss, "write")):
        answer = api.patch("providers/router/", change)
        assert answer.status_code == (403 if is_reserved else 200), answer.content
    assert api_of(boss, name="more").patch("providers/router/", change).status_code == 200


# A token's life.


def test_a_token_is_hashed_shown_once_and_checked_by_its_characters(boss):
    minted = tokens.mint(boss, "ci")
    assert tokens.is_well_formed(minted.secret)
    assert minted.secret not in str(ApiToken.objects.values())
    assert not tokens.is_well_formed(
        minted.secret[:-1] + ("a" if minted.secret[-1] != "a" else "b")
    )
    assert not keys.is_well_formed(minted.secret)


@pytest.mark.parametrize("chars", [50, 30], ids=["whole", "cut-off"])
def test_a_token_is_masked_wherever_it_turns_up(chars):
    secret = tokens.make_secret()[:chars]
    assert secret not in Masker().words(f"I was told to use {secret} for this.")


@pytest.mark.parametrize(
    "how", ["revoked", "expired", "inactive", "unknown", "mistyped", "none", "basic"]
)
def test_a_token_that_may_not_be_used_is_refused(boss, how):
    minted = tokens.mint(boss, "ci")
    secret = minted.secret
    match how:
        case "revoked":
            assert tokens.revoke(minted.row, now=datetime.now(UTC))
            assert not tokens.revoke(minted.row, now=datetime.now(UTC))
        case "expired":
            minted.row.expires_at = datetime.now(UTC) - timedelta(seconds=1)
            minted.row.save()
        case "inactive":
            boss.is_active = False
            boss.save()
        case "unknown":
            secret = tokens.make_secret()
        case "mistyped":
            secret = secret[:-1]
    header = {"none": "", "basic": "Basic YTpi"}.get(how, f"Bearer {secret}")
    answer = Client().get("/api/teams/", headers={"authorization": header})
    told = error(answer, 401)
    assert told["type"] == "not_authenticated"
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert secret not in answer.content.decode()


def test_refused_tokens_are_throttled_by_address(boss, monkeypatch):
    monkeypatch.setattr(authentication, "FAILURES_MAX", 2)
    good, bad = api_of(boss), Api("gwm-wrong")
    assert [bad.get("teams/").status_code for _ in range(3)] == [401, 401, 429]
    answer = good.get("teams/")
    assert error(answer, 429)["type"] == "throttled"
    assert int(answer["Retry-After"]) > 0


def test_a_use_is_noted_once_a_minute(boss, django_assert_num_queries):
    minted = tokens.mint(boss, "ci")
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    tokens.authenticate(minted.secret, now=now)
    with django_assert_num_queries(1):
        tokens.authenticate(minted.secret, now=now + timedelta(seconds=59))
    tokens.authenticate(minted.secret, now=now + timedelta(seconds=61))
    minted.row.refresh_from_db()
    assert minted.row.last_used_at == now + timedelta(seconds=61)


def test_tokens_are_made_and_revoked_through_the_api(api, as_role):
    made = api.post(
        "tokens/", {"name": "deploy", "scope": "write", "expires_at": "2027-01-01T00:00:00Z"}
    )
    assert made.status_code == 201, made.content
    new = Api(made.json()["secret"])
    assert new.get("teams/").status_code == 200
    number = made.json()["id"]
    assert made.json()["secret"] not in api.get(f"tokens/{number}/").content.decode()
    assert as_role("lead").get(f"tokens/{number}/").status_code == 404
    assert api.post(f"tokens/{number}/revoke/").json()["revoked_at"]
    assert new.get("teams/").status_code == 401
    assert "name" in error(api.post("tokens/", {}), 400)["fields"]
    assert error(api.post("tokens/", {"name": "deploy"}), 400)


def test_no_token_widens_its_own_scope(boss):
    minted = tokens.mint(boss, "ci", scope="write")
    api = Api(minted.secret)
    assert error(api.patch(f"tokens/{minted.row.pk}/", {"scope": "admin"}), 403)
    assert error(api.put(f"tokens/{minted.row.pk}/", {"name": "ci", "scope": "admin"}), 403)


def test_a_session_is_taken_and_needs_its_csrf_token(boss):
    client = Client(enforce_csrf_checks=True)
    client.force_login(boss)
    assert client.get("/api/teams/").status_code == 200
    assert error(client.post("/api/teams/", {"slug": "x"}, content_type="application/json"), 403)


def test_the_command_prints_the_token_alone(boss, capsys):
    call_command("create_token", user="boss", name="ci", scope="write", expires="90d")
    secret = capsys.readouterr().out.strip()
    assert tokens.authenticate(secret, now=datetime.now(UTC)).scope == "write"
    for wrong in ({"user": "nobody", "name": "a"}, {"user": "boss", "name": "ci"}, {"user": "boss", "name": "b", "expires": "soon"}):  # fmt: skip
        with pytest.raises(CommandError):
            call_command("create_token", **wrong)


def test_the_admin_shows_a_token_once_and_revokes_it(boss, client):
    client.force_login(boss)
    page = client.post(
        "/admin/api/apitoken/add/", {"user": boss.pk, "name": "page", "scope": "read"}
    )
    row = ApiToken.objects.get()
    assert f"…{row.last_four}" not in page.content.decode()
    assert "gwm-" in page.content.decode()
    assert page["Cache-Control"].startswith("no-store")
    assert client.get(f"/admin/api/apitoken/{row.pk}/change/").status_code == 200
    assert "gwm-" in client.get("/admin/api/apitoken/").content.decode()
    client.post("/admin/api/apitoken/", {"action": "revoke_chosen", "_selected_action": [row.pk]})
    row.refresh_from_db()
    assert row.revoked_at
    assert client.get(f"/admin/api/apitoken/{row.pk}/change/").status_code == 200


def test_the_admin_lets_nobody_make_a_token_for_a_superior(boss, client):
    clerk = User.objects.create_user("clerk", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(content_type__app_label="api"))
    client.force_login(clerk)
    tokens.mint(boss, "boss")
    client.post("/admin/api/apitoken/add/", {"user": boss.pk, "name": "grab", "scope": "admin"})
    assert not ApiToken.objects.filter(name="grab").exists()
    assert (
        "boss" not in client.get("/admin/api/apitoken/").content.decode().split("result_list")[-1]
    )


# Sent twice.


def test_a_creation_that_is_sent_again_is_made_once(api):
    head = {"idempotency-key": "one"}
    first = api.post("teams/", {"slug": "new", "name": "New"}, **head)
    again = api.post("teams/", {"name": "New", "slug": "new"}, **head)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again["Idempotent-Replayed"] == "true"
    assert again["Location"] == first["Location"]
    assert error(api.post("teams/", {"slug": "other"}, **head), 409)
    assert error(api.post("teams/", {"slug": "z"}, **{"idempotency-key": "x" * 256}), 400)


def test_a_secret_is_kept_nowhere_for_the_second_answer(api):
    make_team()
    head = {"idempotency-key": "one"}
    first = api.post("keys/", {"team": "alder", "name": "ci"}, **head).json()
    again = api.post("keys/", {"team": "alder", "name": "ci"}, **head).json()
    assert first["secret"].startswith("gw-")
    assert (again["secret"], again["secret_was_shown"], again["id"]) == (None, True, first["id"])
    assert VirtualKey.objects.count() == 1
    assert first["secret"] not in str(list(KeptAnswer.objects.values()))


def test_a_refused_creation_keeps_nothing_and_a_day_later_all_is_forgotten(api):
    head = {"idempotency-key": "one"}
    assert api.post("teams/", {"slug": "no such"}, **head).status_code == 400
    assert api.post("teams/", {"slug": "new"}, **head).status_code == 201
    KeptAnswer.objects.update(at=datetime.now(UTC) - timedelta(hours=25))
    assert api.post("teams/", {"slug": "other"}, **head).status_code == 201
    assert KeptAnswer.objects.count() == 1
