"""The gateway as a process before a provider that fails, what clients were told there, and whether its books are right."""

import asyncio
import contextlib
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson

from tests.faults.upstream import ASKED_AS, SECRET, FailingUpstream
from tests.processes import GatewayProcess, free_port

MESSAGES = "/v1/messages"
CHAT = "/v1/chat/completions"
PATHS = (MESSAGES, CHAT)
MEMORY_KB_MAX = 32 * 1024
"""How much more a process may hold after a fault: 16 MB are never given back (llmgateway/memory.py), the rest is a journal
and the database's pages. What a failed attempt holds is tested to the object in llmgateway/test_let_go."""
GIVEN_BACK_WITHIN_S = 90.0
SETTLED_WITHIN_S = 30.0
UNREACHABLE = {
    "refuses",
    "tls-expired",
    "tls-of-another-host",
    "tls-self-signed",
    "tls-with-none",
}
HURRIED = {"connect_s": 3, "first_byte_s": 3, "idle_s": 2, "total_s": 5}
PATIENT = {"connect_s": 5, "first_byte_s": 60, "idle_s": 60, "total_s": 120}


@dataclass
class Told:
    """What a client was told. ``is_broken``: the connection ended before its answer did."""

    path: str
    is_stream: bool
    status: int = 0
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    body: bytes = b""
    is_broken: bool = False
    took_s: float = 0.0

    @property
    def id(self) -> str:
        return self.headers.get("request-id", "")

    @property
    def error(self) -> dict[str, Any]:
        """The error, of an answer or at the end of a stream; empty where all went well."""
        if self.status == 200 and self.is_stream:
            last = self.body.rstrip().rpartition(b"\n\n")[2].rpartition(b"data: ")[2]
            found = {} if last == b"[DONE]" else orjson.loads(last)
        else:
            found = orjson.loads(self.body)
        return self._checked(found) if "error" in found else {}

    def _checked(self, found: dict[str, Any]) -> dict[str, Any]:
        """It has its dialect's shape, and the request's id."""
        error: dict[str, Any] = found["error"]
        if self.path == MESSAGES:
            assert found["type"] == "error"
            assert set(error) == {"type", "message"}
        else:
            assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        assert error["type"]
        assert found.get("request_id", self.id) == self.id
        return error

    def check_end(self) -> None:
        """It came to a proper end, in its dialect: a whole answer, an error, or a stream with an end of either sort."""
        assert not self.is_broken, self
        if self.error or not self.is_stream:
            return
        end = b'"message_stop"}' if self.path == MESSAGES else b"data: [DONE]"
        assert self.body.rstrip().endswith(end), self.body[-300:]


class Ground:
    """One gateway before the failing upstream; ``told`` is everything that clients of it were told."""

    def __init__(self, gateway: GatewayProcess, upstream: FailingUpstream, key: str) -> None:
        self.gateway = gateway
        self.upstream = upstream
        self.key = key
        self.told: list[Told] = []
        self._memory_kb: dict[int, int] = {}
        upstream.requests.clear()

    def client(self, **options: Any) -> httpx.AsyncClient:
        """A client with the key and as many connections as it wants."""
        return httpx.AsyncClient(
            base_url=self.gateway.url,
            headers={"x-api-key": self.key},
            limits=httpx.Limits(max_connections=None),
            timeout=30,
            **options,
        )

    async def ask(
        self,
        http: httpx.AsyncClient,
        model: str,
        *,
        path: str = MESSAGES,
        stream: bool = True,
        heard: Callable[[bytes], object] = lambda _piece: None,
    ) -> Told:
        """Ask, read to the end, and keep what came. ``heard`` is told of each piece."""
        told = Told(path, stream)
        began = time.monotonic()
        try:
            async with http.stream("POST", path, json=body_for(model, stream=stream)) as answer:
                told.status, told.headers = answer.status_code, answer.headers
                async for piece in answer.aiter_raw():
                    told.body += piece
                    heard(piece)
        except httpx.TransportError:
            told.is_broken = True
        told.took_s = time.monotonic() - began
        self.told.append(told)
        return told

    async def ask_in_all_ways(self, *models: str, count: int = 1) -> list[Told]:
        """Ask for each model in both dialects, streamed and whole, all at once."""
        async with self.client() as http:
            return await asyncio.gather(
                *(
                    self.ask(http, model, path=path, stream=stream)
                    for model in models
                    for path in PATHS
                    for stream in (True, False)
                    for _ in range(count)
                )
            )

    async def warm_up(self) -> None:
        """Have everything loaded that is loaded once, and remember the memory that takes."""
        for told in await self.ask_in_all_ways("chat/sound", "native/sound", count=10):
            told.check_end()
            assert told.status == 200, told
            assert not told.error
        await self.settled()
        self._memory_kb = self.memory_kb()

    def memory_kb(self) -> dict[int, int]:
        """What each process holds that serves."""
        return {pid: _memory_kb(pid) for pid in self.gateway.workers() or [self.gateway.pid]}

    def grown_kb(self) -> int:
        """How much more the process holds than when it was warm, that of several that has grown most.

        One that came in another's place is measured by what that held.
        """
        assert self._memory_kb, "never warmed up"
        most_kb = max(self._memory_kb.values())
        return max(kb - self._memory_kb.get(pid, most_kb) for pid, kb in self.memory_kb().items())

    async def settled(self) -> None:
        """Wait until the gateway is ready and has booked what it settled."""
        until = time.monotonic() + SETTLED_WITHIN_S
        report: dict[str, Any] = {}
        while True:
            with contextlib.suppress(httpx.TransportError):
                async with self.client() as http:
                    report = (await http.get("/health/ready")).json()
                if report["status"] == "ready" and not report["usage_records_waiting"]:
                    return
            assert time.monotonic() < until, report or self.gateway.log[-2000:]
            await asyncio.sleep(0.05)

    async def check(self, *, may_log_errors: bool = False) -> list[dict[str, Any]]:
        """All that must hold after a fault; the usage records.

        The gateway is alive and answers; every attempt that reached the upstream has exactly one record, and no
        request that did not has one that says it did; no secret is in anything that was said; memory is where it was.
        """
        async with self.client() as http:
            told = await self.ask(http, "chat/sound", stream=False)
        assert told.status == 200, told
        await self.settled()
        rows = await self.rows()
        self.check_secrets()
        if not may_log_errors:
            assert "Traceback" not in self.gateway.log, self.gateway.log[-5000:]
        await self._check_memory()
        return rows

    async def rows(self) -> list[dict[str, Any]]:
        """The records, once there is one for each attempt; an attempt may still be under way upstream's end first."""
        until = time.monotonic() + SETTLED_WITHIN_S
        while True:
            rows = self.gateway.records()
            reached = [row for row in rows if not is_unreached(row)]
            booked, asked = Counter(row["request_id"] for row in reached), self.upstream.asked()
            if booked == asked:
                return rows
            lost, doubled = asked - booked, booked - asked
            assert time.monotonic() < until, (
                f"{lost.total()} attempts without a record, {doubled.total()} records without an attempt",
                [list(lost)[:2], [row for row in rows if row["request_id"] in doubled][:2]],
            )
            await asyncio.sleep(0.1)

    def check_secrets(self, *more: str) -> None:
        said = [self.gateway.log.encode()]
        said += [told.body + repr(told.headers.raw).encode() for told in self.told]
        for secret in (SECRET, self.key, *more):
            assert not [text for text in said if secret.encode() in text], "a secret was told"

    async def _check_memory(self) -> None:
        until = time.monotonic() + GIVEN_BACK_WITHIN_S
        while (grown_kb := self.grown_kb()) > MEMORY_KB_MAX:
            assert time.monotonic() < until, f"{grown_kb} kB more than before"
            await asyncio.sleep(0.5)

    def check_stopped(self) -> None:
        """After it has ended the journal is clean."""
        assert list((self.gateway.data_dir / "journal").glob("*.jsonl")) == []


async def state_of(ground: Ground, part: str, expected: str) -> None:
    """Wait until the gateway says so of its part."""
    report: dict[str, Any] = {}
    async with asyncio.timeout(60), ground.client() as http:
        while not str(report.get(part, "")).startswith(expected):
            with contextlib.suppress(httpx.TransportError):
                report = (await http.get("/health/ready")).json()
            await asyncio.sleep(0.05)


def _memory_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def is_unreached(row: dict[str, Any]) -> bool:
    """Whether a record is of an attempt at a provider that nobody can reach."""
    return row["provider"] in UNREACHABLE


def body_for(model: str, *, stream: bool) -> dict[str, Any]:
    return {
        "model": model,
        "max_tokens": 100,
        "stream": stream,
        "messages": [{"role": "user", "content": "Tell me a story"}],
    }


def provider_tree(kind: str, url: str, **more: Any) -> dict[str, Any]:
    """A provider that is never skipped and asked once."""
    return {
        "kind": kind,
        "base_url": url,
        "timeouts": HURRIED,
        "retries": {"max": 0},
        "cooldown": {"after": 0},
        "credentials": [{"label": "main", "secret": "${UPSTREAM_SECRET}"}],
        **more,
    }


def configuration(upstream: FailingUpstream, **others: dict[str, Any]) -> dict[str, Any]:
    """Providers that all lead to the upstream; the alias ``<provider>/*`` leads to each, and its rest is the model."""
    native = upstream.url.removesuffix("/api/v1")
    providers = {
        "chat": provider_tree("openrouter", upstream.url, timeouts=PATIENT),
        "native": provider_tree("anthropic", native, timeouts=PATIENT),
        "hasty-chat": provider_tree("openrouter", upstream.url),
        "hasty-native": provider_tree("anthropic", native),
        "refuses": provider_tree("openrouter", f"http://127.0.0.1:{free_port()}/api/v1"),
        "stormy": provider_tree(
            "openrouter", upstream.url, retries={"max": 2, "backoff_s": 0.05, "backoff_max_s": 0.1}
        ),
        "skipped": provider_tree(
            "openrouter", upstream.url, cooldown={"after": 5, "first_s": 0.5, "longest_s": 1}
        ),
        **others,
    }
    aliases = {
        f"{slug}/*": {"match": "wildcard", "targets": [{"provider": slug, "model": "{1}"}]}
        for slug in providers
    }
    targets = [
        {"provider": "skipped", "model": "is-503"},
        {"provider": "chat", "model": "sound"},
    ]
    return {
        "version": 1,
        "providers": providers,
        "aliases": {**aliases, "sheltered": {"match": "exact", "targets": targets}},
        "teams": {"alder": {"projects": ["web"]}},
        "header_rules": [{"action": "force", "name": ASKED_AS, "value": "${request_id}"}],
    }


@dataclass(frozen=True)
class Installed:
    """A folder in which a gateway was set up and never started: to be copied."""

    folder: Path
    key: str
    upstream: FailingUpstream

    @contextlib.contextmanager
    def ground(self, data_dir: Path, **environment: str) -> Iterator[Ground]:
        """A gateway of its own, on a copy, started; stopped at the end."""
        shutil.copytree(self.folder, data_dir, symlinks=True)
        gateway = GatewayProcess(data_dir, **environment)
        try:
            gateway.start()
            yield Ground(gateway, self.upstream, self.key)
        finally:
            gateway.stop()
