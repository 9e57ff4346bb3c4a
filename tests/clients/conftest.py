"""One gateway for all tests of a module, with providers of every sort behind it, and a clean upstream for each test."""

import os
from collections.abc import AsyncIterator, Iterator

import anthropic
import openai
import pytest
import pytest_asyncio

from tests.clients import pairs
from tests.clients.house import House
from tests.fakes.upstream import FakeUpstream
from tests.serving import serving
from tests.waiting import PATIENCE_S

CLIENT_VARIABLES = ("ANTHROPIC_", "OPENAI_", "CLAUDE_")
PROXY_VARIABLES = {"http_proxy", "https_proxy", "all_proxy"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(django_db_setup, django_db_blocker, tmp_path_factory) -> AsyncIterator[House]:
    """The gateway, started once for a module: its rows are all that its tests need."""
    del django_db_setup
    with django_db_blocker.unblock():
        async with FakeUpstream() as fake:
            try:
                key = await pairs.add_rows(fake.url)
                journal = tmp_path_factory.mktemp("clients") / "journal"
                async with serving(journal, key=key) as gateway:
                    yield House(gateway, fake, key)
            finally:  # also where it did not start: what is left would fail all that comes after
                await pairs.remove_rows()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def claude(running: House) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """Anthropic's SDK, which repeats nothing by itself here, and refuses answers that are not as its types say."""
    async with anthropic.AsyncAnthropic(
        base_url=running.url,
        api_key=running.key,
        max_retries=0,
        timeout=PATIENCE_S,
        _strict_response_validation=True,
    ) as sdk:
        yield sdk


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gpt(running: House) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's SDK, likewise."""
    async with openai.AsyncOpenAI(
        base_url=f"{running.url}/v1",
        api_key=running.key,
        max_retries=0,
        timeout=PATIENCE_S,
        _strict_response_validation=True,
    ) as sdk:
        yield sdk


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lenient_gpt(running: House) -> AsyncIterator[openai.AsyncOpenAI]:
    """The same for answers that its types know less of than its code: packed embeddings, streams of completions."""
    async with openai.AsyncOpenAI(
        base_url=f"{running.url}/v1", api_key=running.key, max_retries=0, timeout=PATIENCE_S
    ) as sdk:
        yield sdk


@pytest.fixture
def db(django_db_setup) -> None:
    """The database with no transaction around the test, which would keep the gateway's own threads from writing.

    By this name pytest-django knows that a database is to be made.
    """
    del django_db_setup


@pytest_asyncio.fixture(loop_scope="module")
async def house(running: House, db: None) -> House:
    """The gateway, with an upstream that has been asked nothing yet."""
    del db
    running.begin_test()
    return running


@pytest.fixture(autouse=True, scope="module")
def no_other_environment() -> Iterator[None]:
    """The clients are told everything by the test: no key, address or proxy comes from whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(CLIENT_VARIABLES) or name.lower() in PROXY_VARIABLES:
                patch.delenv(name)
        yield
