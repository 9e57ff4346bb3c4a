"""People of two teams, their tokens, and a client that speaks JSON."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from accounting.models import Membership
from llmgateway.api import tokens
from tests.factories.accounting import make_team


class Api:
    """Sends JSON with a token."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self._client = Client(raise_request_exception=False)

    def send(self, method: str, path: str, body: Any = None, **headers: str):
        options: dict[str, Any] = {"headers": {"authorization": f"Bearer {self.secret}", **headers}}
        if body is not None:
            options |= {"data": body, "content_type": "application/json"}
        return getattr(self._client, method)(f"/api/{path}", **options)

    def get(self, path: str, **headers: str):
        return self.send("get", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str):
        return self.send("post", path, {} if body is None else body, **headers)

    def put(self, path: str, body: Any, **headers: str):
        return self.send("put", path, body, **headers)

    def patch(self, path: str, body: Any, **headers: str):
        return self.send("patch", path, body, **headers)

    def delete(self, path: str, **headers: str):
        return self.send("delete", path, **headers)


@pytest.fixture(autouse=True)
def no_failures_counted():
    cache.clear()
    yield
    cache.clear()


def person(name: str, role: str = "", *, team: str = "alder", **fields: Any) -> User:
    user = User.objects.create_user(name, **fields)
    if role:
        Membership.objects.create(team=make_team(team), user=user, role=role)
    return user


def api_of(user: User, scope: str = "admin", name: str = "ci") -> Api:
    return Api(tokens.mint(user, name, scope=scope).secret)


@pytest.fixture
def boss(db) -> User:
    return User.objects.create_superuser("boss")


@pytest.fixture
def api(boss) -> Api:
    return api_of(boss)


@pytest.fixture
def as_role(db) -> Callable[[str], Api]:
    """``as_role("lead")``: a lead, auditor or member of team alder; an outsider is of team birch."""

    def make(role: str) -> Api:
        team = "birch" if role == "outsider" else "alder"
        return api_of(person(role, "lead" if role == "outsider" else role, team=team))

    return make
