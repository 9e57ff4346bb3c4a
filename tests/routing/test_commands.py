"""The commands that look providers up."""

import asyncio
import threading
from contextlib import contextmanager
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from tests.factories.routing import make_credential, make_provider
from tests.fakes.upstream import FakeUpstream, json_answer

pytestmark = pytest.mark.django_db


@contextmanager
def running_upstream():
    """The scripted provider in a thread: the commands have event loops of their own."""
    fake = FakeUpstream()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(fake.__aenter__(), loop).result()
    try:
        yield fake
    finally:
        asyncio.run_coroutine_threadsafe(fake.__aexit__(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def run(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def test_each_provider_gets_a_line_and_a_problem_fails_the_command():
    with running_upstream() as upstream:
        make_credential(make_provider("router", base_url=upstream.url))
        make_provider("bare", base_url=upstream.url)
        make_provider("demo", kind="demo")
        upstream.default = json_answer({"data": {"limit_remaining": 3, "is_free_tier": True}})
        out = StringIO()
        with pytest.raises(CommandError, match="problem"):
            call_command("check_providers", stdout=out)
        lines = out.getvalue().splitlines()

        assert lines[0] == "bare    PROBLEM: no credential is switched on"
        assert lines[1] == "demo    ok, answers inside the gateway"
        assert lines[2].startswith("router  ok, free tier, 3 USD left, ")
        assert run("check_providers", "demo").splitlines() == [
            "demo  ok, answers inside the gateway"
        ]


def test_a_name_that_is_not_there_is_told_with_those_that_are():
    make_provider("demo", kind="demo")
    with pytest.raises(CommandError, match="there are: demo"):
        run("check_providers", "odd")


def test_without_providers_it_says_so():
    assert run("check_providers") == "No provider is switched on.\n"


def test_models_are_listed_with_what_is_known():
    model = {
        "id": "a/large",
        "context_length": 1000,
        "top_provider": {"max_completion_tokens": 9},
        "pricing": {"prompt": "0.000001", "completion": "0.0000025"},
    }
    with running_upstream() as upstream:
        make_credential(make_provider("router", base_url=upstream.url))
        upstream.default = json_answer({"data": [model, {"id": "b"}]})

        assert run("list_models", "router").splitlines() == [
            "a/large  context 1000, output 9, USD 1 / 2.5 per million",
            "b",
        ]
        assert '"prompt_usd_per_mtok": "1"' in run("list_models", "router", "--json")
        upstream.default = json_answer({"data": []})
        assert run("list_models", "router") == "router lists no models.\n"
        upstream.default = json_answer({"error": {"message": "No."}}, status=500)
        with pytest.raises(CommandError, match="No"):
            run("list_models", "router")
