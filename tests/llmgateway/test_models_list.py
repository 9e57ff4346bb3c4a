"""GET /v1/models: what a key may call, in the shape of whoever asks."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from accounting.models import VirtualKey
from tests.factories.accounting import make_key, make_team
from tests.factories.routing import make_alias, make_deployment, make_provider
from tests.serving import Serving, serving

ANTHROPIC = {"anthropic-version": "2023-06-01"}
NAMES = ["claude-a", "claude-b", "claude-c", "gpt-d", "gpt-e"]


@pytest.fixture
async def birch(transactional_db: None) -> str:
    """A key of team birch, which may ask for Claude only."""
    del transactional_db

    def add() -> str:
        deployment = make_deployment(make_provider())
        for name in reversed(NAMES):
            make_alias(name, deployment)
        make_alias("hidden", deployment, visible=False)
        make_alias("off", deployment, enabled=False)
        make_alias("llama-*", deployment, match="wildcard")
        return make_key(make_team("birch"), allowed_aliases=["claude-*"]).secret

    return await sync_to_async(add)()


@pytest.fixture
async def gateway(birch: str, key: str, tmp_path) -> AsyncIterator[Serving]:
    del birch
    async with serving(tmp_path / "journal", key=key) as running:
        yield running


async def get(gateway: Serving, path: str = "", **query: Any) -> dict[str, Any]:
    """Anthropic's shape."""
    answer = await gateway.http.get(f"/v1/models{path}", headers=ANTHROPIC, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(page: dict[str, Any]) -> list[str]:
    return [model["id"] for model in page["data"]]


async def test_openai_clients_get_their_shape(gateway: Serving):
    answer = await gateway.http.get("/v1/models")

    body = answer.json()
    assert answer.headers["x-request-id"].startswith("req_")
    assert set(body) == {"object", "data"}
    assert body["object"] == "list"
    assert ids(body) == NAMES  # no pattern, nothing hidden, nothing that is switched off
    assert body["data"][0] == {
        "id": "claude-a",
        "object": "model",
        "created": body["data"][0]["created"],
        "owned_by": "llmgateway",
    }
    assert isinstance(body["data"][0]["created"], int)


async def test_anthropic_clients_get_theirs(gateway: Serving):
    page = await get(gateway)

    assert ids(page) == NAMES
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("claude-a", "gpt-e", False)
    assert page["data"][0]["type"] == "model"
    assert page["data"][0]["display_name"] == "claude-a"
    assert page["data"][0]["created_at"].endswith("Z")


async def test_a_list_is_paged_forwards(gateway: Serving):
    first = await get(gateway, limit=2)
    second = await get(gateway, limit=2, after_id=first["last_id"])
    third = await get(gateway, limit=2, after_id=second["last_id"])

    assert [ids(page) for page in (first, second, third)] == [NAMES[:2], NAMES[2:4], NAMES[4:]]
    assert [page["has_more"] for page in (first, second, third)] == [True, True, False]


async def test_a_list_is_paged_backwards(gateway: Serving):
    page = await get(gateway, limit=2, before_id="gpt-d")
    before = await get(gateway, limit=2, before_id=page["first_id"])

    assert (ids(page), page["has_more"]) == (["claude-b", "claude-c"], True)
    assert (ids(before), before["has_more"]) == (["claude-a"], False)


async def test_an_empty_page_has_no_ends(gateway: Serving):
    page = await get(gateway, after_id="zzz")

    assert page == {"data": [], "first_id": None, "last_id": None, "has_more": False}


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "many", "", "²"])
async def test_a_limit_out_of_range_is_refused(gateway: Serving, limit):
    answer = await gateway.http.get("/v1/models", headers=ANTHROPIC, params={"limit": limit})

    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert "limit" in answer.json()["error"]["message"]


async def test_a_key_sees_only_what_it_may_ask_for(gateway: Serving, birch: str):
    gateway.http.headers["x-api-key"] = birch

    assert ids(await get(gateway)) == ["claude-a", "claude-b", "claude-c"]
    assert (await get(gateway, "/claude-a"))["id"] == "claude-a"
    answer = await gateway.http.get("/v1/models/gpt-d", headers=ANTHROPIC)
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found_error"


async def test_a_single_model_is_told_in_both_shapes(gateway: Serving):
    anthropic = await get(gateway, "/claude-a")
    openai = (await gateway.http.get("/v1/models/claude-a")).json()

    assert (anthropic["type"], anthropic["id"]) == ("model", "claude-a")
    assert (openai["object"], openai["id"]) == ("model", "claude-a")


async def test_a_model_behind_a_pattern_or_with_a_slash_is_told_too(gateway: Serving):
    assert (await get(gateway, "/llama-4"))["id"] == "llama-4"
    assert (await get(gateway, "/hidden"))["id"] == "hidden"
    answer = await gateway.http.get("/v1/models/meta/llama-4")
    assert answer.status_code == 404


async def test_an_unknown_model_is_404_in_both_shapes(gateway: Serving):
    anthropic = await gateway.http.get("/v1/models/claude-x", headers=ANTHROPIC)
    openai = await gateway.http.get("/v1/models/claude-x")

    assert (anthropic.status_code, openai.status_code) == (404, 404)
    assert anthropic.json()["error"]["type"] == "not_found_error"
    assert openai.json()["error"]["code"] == "model_not_found"
    assert "Did you mean claude-" in openai.json()["error"]["message"]


async def test_nothing_is_told_without_a_key(gateway: Serving):
    del gateway.http.headers["x-api-key"]

    for path in ("/v1/models", "/v1/models/claude-a", "/v1/models/unknown"):
        answer = await gateway.http.get(path)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"


async def test_only_reading_is_possible(gateway: Serving):
    assert (await gateway.http.post("/v1/models", json={})).status_code == 405
    head = await gateway.http.head("/v1/models")
    assert (head.status_code, head.content) == (200, b"")


async def test_the_description_is_the_display_name_and_an_edit_is_seen(gateway: Serving):
    def describe() -> None:
        from routing.models import ModelAlias

        row = ModelAlias.objects.get(name="claude-a")
        row.description = "Claude A"
        row.save()
        VirtualKey.objects.filter(team__slug="birch").delete()

    await sync_to_async(describe)()
    await gateway.runtime.refresh()

    assert (await get(gateway, "/claude-a"))["display_name"] == "Claude A"
