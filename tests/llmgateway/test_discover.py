"""Looking for model servers, and adding them."""

import io
import sys
from contextlib import ExitStack
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from llmgateway.management.commands import discover
from routing import snapshot
from routing.models import Deployment, ModelAlias, Provider
from routing.upstream import discovery
from routing.upstream.discovery import look_around, look_at, read_address
from tests.factories.routing import make_alias, make_provider
from tests.fakes.upstream import SILENCE, Answer, FakeUpstream, json_answer
from tests.routing.test_commands import running_upstream
from tests.serving import serving

NOT_FOUND = json_answer({"detail": "Not Found"}, status=404)
PAGES = {
    "litellm": {
        "/health/readiness": {"status": "healthy", "db": "Not connected"},
        "/v1/models": {"data": [{"id": "sonnet", "owned_by": "openai"}]},
        "/model/info": {
            "data": [{"model_name": "sonnet", "model_info": {"supports_vision": True}}]
        },
    },
    "ollama": {
        "/api/version": {"version": "0.13.0"},
        "/api/tags": {"models": [{"name": "qwen3:8b"}, {"name": "llama3:8b"}]},
        "/api/ps": {"models": []},
        "/api/show": {"capabilities": ["tools"]},
        "/v1/models": {"data": [{"id": "qwen3:8b", "owned_by": "library"}]},
    },
    "vllm": {
        "/v1/models": {"data": [{"id": "qwen", "owned_by": "vllm", "max_model_len": 32768}]},
    },
}


def pages(name: str, **more):
    known = {**PAGES.get(name, {}), **more}
    return lambda request: json_answer(known[request.path]) if request.path in known else NOT_FOUND


def base(upstream: FakeUpstream) -> str:
    return f"http://127.0.0.1:{upstream.port}"


@pytest.fixture
async def upstream():
    async with FakeUpstream(NOT_FOUND) as fake:
        yield fake


@pytest.mark.parametrize(
    ("name", "kind", "what", "base_url", "models"),
    [
        ("litellm", "litellm_proxy", "LiteLLM proxy", "", ["sonnet"]),
        ("ollama", "ollama", "Ollama", "", ["qwen3:8b", "llama3:8b"]),
        ("vllm", "openai_compatible", "vLLM", "/v1", ["qwen"]),
    ],
)
async def test_each_sort_of_server_is_recognised(upstream, name, kind, what, base_url, models):
    upstream.answer_with = pages(name)
    sighting = await look_at(base(upstream), 2)

    assert sighting is not None
    assert (sighting.kind, sighting.what) == (kind, what)
    assert sighting.base_url == base(upstream) + base_url
    assert [facts.id for facts in sighting.models] == models
    assert not sighting.wants_credential
    assert all("authorization" not in seen.headers for seen in upstream.requests)


@pytest.mark.parametrize("name", ["litellm", "vllm"])
async def test_a_server_that_wants_a_credential_is_recognised_too(upstream, name):
    refusal = json_answer({"error": {"message": "No key"}}, status=401)
    answer = pages(name)
    upstream.answer_with = lambda seen: refusal if seen.path == "/v1/models" else answer(seen)
    sighting = await look_at(base(upstream), 2)

    assert sighting is not None
    assert sighting.wants_credential
    assert sighting.models == ()
    assert discover.sentence(sighting).endswith(", wants a credential")


@pytest.mark.parametrize(
    "answer",
    [
        NOT_FOUND,
        Answer([b"<html>"]),
        Answer([b"[" * 100_000]),
        json_answer([]),
        json_answer({"version": 5, "status": "up"}),
        json_answer({"version": "0.1"}),  # a version, and no models
    ],
)
async def test_anybody_else_is_told_and_is_no_kind(upstream, answer):
    upstream.default = answer
    sighting = await look_at(base(upstream), 2)

    assert sighting is not None
    assert (sighting.kind, sighting.what) == ("", "somebody the gateway does not know")


async def test_this_gateway_is_recognised_and_not_added(transactional_db, tmp_path):
    async with serving(tmp_path / "journal") as gateway:
        sighting = await look_at(gateway.url, 2)

    assert sighting is not None
    assert sighting.kind == ""
    assert "gateway like this one" in sighting.what


async def test_all_are_asked_at_once_and_a_silent_one_holds_up_nobody(upstream):
    upstream.answer_with = pages("vllm")
    async with FakeUpstream(SILENCE) as silent:
        found, nobody, refused = await look_around(
            [base(upstream), base(silent), "http://127.0.0.1:1"], timeout_s=2
        )

    assert found is not None
    assert found.what == "vLLM"
    assert (nobody, refused) == (None, None)


async def test_a_server_that_never_ends_is_left(upstream):
    upstream.default = Answer([b" "] * 1000, pause_s=0.05)

    assert await look_at(base(upstream), 0.1) is None


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:4000", "http://127.0.0.1:4000"),
        ("https://host.example/v1/", "https://host.example"),
        ("http://host/api/v1", "http://host/api"),
        (" localhost:8000 ", "http://localhost:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_an_address_is_read_as_people_write_it(text, address):
    assert read_address(text) == address


@pytest.mark.parametrize(
    "text", ["ftp://host", "http://", "http://user:pw@host", "http://host:port", "http://h?a=b"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="is no address"):
        read_address(text)


@pytest.fixture
def servers(db):
    """A LiteLLM proxy, Ollama and vLLM on loopback, by name."""
    with ExitStack() as stack:
        made = {}
        for name in PAGES:
            made[name] = stack.enter_context(running_upstream())
            made[name].answer_with = pages(name)
        yield made


def run(*words: str) -> list[str]:
    out = StringIO()
    call_command("discover", *words, stdout=out)
    return out.getvalue().splitlines()


def test_what_answers_is_told_and_nothing_is_added(servers):
    lines = run(*(base(server) for server in servers.values()), "127.0.0.1:1")

    assert lines == [
        f"{base(servers['litellm'])}  LiteLLM proxy, 1 model: sonnet",
        f"{base(servers['ollama'])}  Ollama, 2 models: qwen3:8b, llama3:8b",
        f"{base(servers['vllm'])}  vLLM, 1 model: qwen",
        "http://127.0.0.1:1  nobody answers",
    ]
    assert not Provider.objects.exists()


def test_without_addresses_the_usual_ones_are_looked_at(servers, monkeypatch):
    address = base(servers["vllm"])
    monkeypatch.setattr(discover, "USUAL_ADDRESSES", (address, "http://127.0.0.1:1"))
    assert run() == [f"{address}  vLLM, 1 model: qwen"]
    monkeypatch.setattr(discover, "USUAL_ADDRESSES", ("http://127.0.0.1:1",))
    assert run() == ["Nobody answers at http://127.0.0.1:1."]
    assert len(discovery.USUAL_ADDRESSES) == 7


def test_what_is_found_becomes_providers_with_models_and_names(servers):
    make_alias("qwen")  # somebody's already
    addresses = [base(server) for server in servers.values()]
    lines = run(*addresses, "--add")

    assert lines[3:] == [
        "Added provider litellm with 1 models and 1 aliases.",
        "Added provider ollama with 2 models and 2 aliases.",
        "Added provider vllm with 1 models and 0 aliases. Aliases that exist were left as they are: qwen.",
    ]
    assert Provider.objects.get(slug="vllm").base_url == addresses[2] + "/v1"
    qwen = Deployment.objects.get(upstream_model="qwen3:8b")
    assert (qwen.takes_tools, qwen.fact_sources["takes_tools"]) == (True, "ollama list")
    assert Deployment.objects.get(upstream_model="sonnet").takes_images is True
    picture = snapshot.build()
    [target] = picture.exact["sonnet"].routes[0].targets
    assert (target.provider.slug, target.upstream_model) == ("litellm", "sonnet")
    assert not ModelAlias.objects.get(name="qwen").routes.exists()

    again = run(*addresses, "--add")
    assert again[3:] == [
        f"{addresses[0]} is provider litellm already.",
        f"{addresses[1]} is provider ollama already.",
        f"{addresses[2]} is provider vllm already.",
        "Nothing to add.",
    ]
    assert Provider.objects.count() == 3


def test_a_name_that_is_taken_gets_the_port_and_then_a_number(servers):
    port = servers["vllm"].port
    make_provider("vllm")
    run(base(servers["vllm"]), "--add")
    made = Provider.objects.exclude(slug="vllm").get()
    assert made.slug == f"vllm-{port}"

    made.base_url = "http://elsewhere/v1"
    made.save()
    run(base(servers["vllm"]), "--add")
    assert Provider.objects.filter(slug="vllm-2").exists()


@pytest.mark.parametrize("address", ["http://localhost:{}/v1", "http://127.0.0.1:{}"])
def test_an_address_that_a_provider_has_in_other_words_is_the_same(servers, address):
    port = servers["vllm"].port
    make_provider("mine", kind="openai_compatible", base_url=address.format(port))

    assert "is provider mine already." in run(f"127.0.0.1:{port}", "--add")[1]


def test_one_that_wants_a_credential_is_added_without_models(servers):
    refusal = json_answer({"error": {"message": "No key"}}, status=401)
    servers["vllm"].answer_with = lambda seen: refusal if seen.path == "/v1/models" else NOT_FOUND
    lines = run(base(servers["vllm"]), "--add")

    assert lines[1] == (
        "Added provider openai-compatible with 0 models and 0 aliases. "
        "But it wants a credential: add one, then synchronise its models."
    )


def test_one_that_lists_nothing_is_added_and_told(servers):
    servers["vllm"].answer_with = pages("none", **{"/v1/models": {"data": []}})

    assert "lists no models" in run(base(servers["vllm"]), "--add")[1]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "count"), [("y\n", 1), ("no\n", 0), ("\n", 0)])
def test_a_person_is_asked_first(servers, monkeypatch, answer, count):
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    lines = run(base(servers["vllm"]), "--add")

    assert Provider.objects.count() == count
    assert ("Nothing was added." in lines) == (count == 0)


def test_a_person_who_says_yes_beforehand_is_not(servers, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal(""))
    run(base(servers["vllm"]), "--add", "--yes")

    assert Provider.objects.exists()


@pytest.mark.parametrize("words", [["http://"], ["--timeout", "0"]])
def test_what_makes_no_sense_is_refused(words):
    with pytest.raises(CommandError):
        run(*words)
