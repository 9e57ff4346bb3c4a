"""Real processes: what survives a kill, how a stop drains, and what the commands refuse."""

import asyncio
import signal
import time

import httpx
import pytest

from tests.fakes.upstream import FakeUpstream, chunk, stream_answer, text_stream
from tests.processes import GatewayProcess, gateway_process
from tests.services import listens
from tests.waiting import PATIENCE_S, assert_within, wait_until

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(600),
]

STREAM = {
    "model": "some/model",
    "max_tokens": 100,
    "stream": True,
    "messages": [{"role": "user", "content": "Hello"}],
}
SLOW = stream_answer([chunk({"content": f"word{number} "}) for number in range(3000)], pause_s=0.05)


async def first_piece(
    http: httpx.AsyncClient, key: str, model: str, reached: asyncio.Semaphore
) -> str:
    """Read a stream until it ends or breaks; count it in once its first content has come. Its request id."""
    body = {**STREAM, "model": model}
    async with http.stream("POST", "/v1/messages", json=body, headers={"x-api-key": key}) as answer:
        assert answer.status_code == 200
        is_counted = False
        try:
            async for piece in answer.aiter_raw():
                if b"text_delta" in piece and not is_counted:
                    is_counted = True
                    reached.release()
        except httpx.TransportError:
            pass
        return answer.headers["request-id"]


async def streams_under_way(
    gateway: GatewayProcess, key: str, count: int, *, model: str = STREAM["model"]
) -> tuple[httpx.AsyncClient, list[asyncio.Task[str]]]:
    """``count`` streams, each of which has had content."""
    limits = httpx.Limits(max_connections=None)
    http = httpx.AsyncClient(base_url=gateway.url, timeout=PATIENCE_S, limits=limits, verify=False)
    reached = asyncio.Semaphore(0)
    tasks = [asyncio.ensure_future(first_piece(http, key, model, reached)) for _ in range(count)]
    for _ in range(count):
        await asyncio.wait_for(reached.acquire(), PATIENCE_S)
    return http, tasks


async def test_a_kill_in_the_middle_of_50_streams_loses_and_doubles_no_record(tmp_path):
    async with FakeUpstream(SLOW) as upstream:
        with gateway_process(tmp_path / "data") as gateway:
            key = await asyncio.to_thread(gateway.set_up, upstream.url)
            await asyncio.to_thread(gateway.start)
            http, tasks = await streams_under_way(gateway, key, 50)
            gateway.kill()
            ids = await asyncio.gather(*tasks)
            await http.aclose()
            assert gateway.records() == []

            await asyncio.to_thread(gateway.start)
            rows = await asyncio.to_thread(gateway.wait_for_records, 50)
            await asyncio.sleep(0.5)
            again = gateway.records()

            assert len(again) == 50
            assert {row["request_id"] for row in rows} == set(ids)
            assert {row["status"] for row in rows} == {"interrupted"}
            assert {row["cost_source"] for row in rows} == {"unpriced"}
            assert {row["cost_usd"] for row in rows} == {None}

            gateway.kill()
            await asyncio.to_thread(gateway.start)
            assert len(gateway.records()) == 50  # a second replay books nothing twice


async def test_records_settled_just_before_a_kill_are_kept_with_their_figures(tmp_path):
    async with FakeUpstream(stream_answer(text_stream("done"))) as upstream:
        with gateway_process(tmp_path / "data") as gateway:
            key = await asyncio.to_thread(gateway.set_up, upstream.url)
            await asyncio.to_thread(gateway.start)
            async with httpx.AsyncClient(
                base_url=gateway.url, timeout=PATIENCE_S, verify=False
            ) as http:
                answers = await asyncio.gather(
                    *(
                        http.post("/v1/messages", json=STREAM, headers={"x-api-key": key})
                        for _ in range(20)
                    )
                )
            gateway.kill()  # within the writer's batch, as a rule
            assert {answer.status_code for answer in answers} == {200}

            await asyncio.to_thread(gateway.start)
            rows = await asyncio.to_thread(gateway.wait_for_records, 20)

            assert {row["status"] for row in rows} == {"succeeded"}
            assert {row["cost_usd"] for row in rows} == {125_000_000}  # 0.000125 USD in picodollars


async def test_sigterm_lets_running_streams_finish_and_books_them(tmp_path):
    words = [chunk({"content": f"word{number} "}) for number in range(40)]
    default = stream_answer([*words, *text_stream()[1:]], pause_s=0.03)
    async with FakeUpstream(default) as upstream:
        with gateway_process(tmp_path / "data") as gateway:
            key = await asyncio.to_thread(gateway.set_up, upstream.url)
            await asyncio.to_thread(gateway.start)
            http, tasks = await streams_under_way(gateway, key, 10)
            gateway.signal(signal.SIGTERM)
            ids = await asyncio.gather(*tasks)
            await http.aclose()
            assert await asyncio.to_thread(gateway.wait) == 0

            rows = gateway.records()
            assert {row["request_id"] for row in rows} == set(ids)
            assert {row["status"] for row in rows} == {"succeeded"}
            assert list((tmp_path / "data" / "journal").glob("*.jsonl")) == []
            assert "Traceback" not in gateway.log


async def ask(http: httpx.AsyncClient, key: str) -> httpx.Response:
    return await http.post(
        "/v1/messages", json={**STREAM, "stream": False}, headers={"x-api-key": key}
    )


async def test_an_edit_in_another_process_is_live_within_a_second(tmp_path):
    async with FakeUpstream() as upstream:
        with gateway_process(tmp_path / "data") as gateway:
            await asyncio.to_thread(gateway.set_up, upstream.url)
            await asyncio.to_thread(gateway.start)
            names = iter(
                ("second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
            )

            async def accepted_s() -> float:
                words = ("create_key", "--team", "alder", "--name", next(names))
                made = (await asyncio.to_thread(gateway.manage, *words)).strip()
                began_s = time.monotonic()
                while (await ask(http, made)).status_code != 200:
                    assert time.monotonic() - began_s < PATIENCE_S
                return time.monotonic() - began_s

            async with httpx.AsyncClient(
                base_url=gateway.url, timeout=PATIENCE_S, verify=False
            ) as http:
                await assert_within(1, accepted_s)


def test_several_workers_without_shared_state_are_refused(tmp_path):
    with gateway_process(tmp_path / "data") as gateway:
        said = gateway.manage("serve", "--workers", "2", fails=True)

    assert "Several workers need Redis (REDIS_URL)" in said


def test_first_run_makes_everything_once_and_prints_lines_that_work(tmp_path):
    with gateway_process(tmp_path / "data") as gateway:
        said = gateway.manage("first_run", "--port", str(gateway.port))
        again = gateway.manage("first_run", "--port", str(gateway.port))
        gateway.start()
        key = (tmp_path / "data" / "secrets" / "first_key").read_text().strip()
        answer = httpx.post(
            f"{gateway.url}/v1/messages",
            json={**STREAM, "model": "demo"},
            headers={"x-api-key": key},
            timeout=PATIENCE_S,
        )

    assert said == again
    assert key in said
    assert "curl -N" in said
    assert "ANTHROPIC_BASE_URL" in said
    assert b"message_stop" in answer.content


def test_the_development_server_is_daphne_and_serves_the_hot_path(tmp_path):
    import subprocess
    import sys

    from tests.processes import ROOT, START_S_MAX

    with gateway_process(tmp_path / "data") as gateway:
        gateway.begin_prepared()
        gateway.manage("first_run", "--port", str(gateway.port))
        key = (tmp_path / "data" / "secrets" / "first_key").read_text().strip()
        server = subprocess.Popen(
            [sys.executable, "manage.py", "runserver", "--noreload", str(gateway.port)],
            cwd=ROOT,
            env=gateway.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until(lambda: listens("127.0.0.1", gateway.port), within_s=START_S_MAX)
            answer = httpx.post(
                f"{gateway.url}/v1/messages",
                json={**STREAM, "model": "demo"},
                headers={"x-api-key": key},
                timeout=PATIENCE_S,
            )
        finally:
            server.terminate()
            said, _nothing = server.communicate(timeout=PATIENCE_S)

    assert b"message_stop" in answer.content
    assert b"daphne" in said.lower()
