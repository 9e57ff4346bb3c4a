"""What fuzzing begins with: the recorded requests and answers of the tests."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CASES = ROOT / "tests" / "conversion" / "cases"
FIXTURES = ROOT / "tests" / "fixtures"
SEED_BYTES_MAX = 64 * 1024


def seeds_of(target: str) -> Iterator[bytes]:
    """The seeds of one target, short ones only: a fuzzer learns little from long ones."""
    for data in _all(target):
        if len(data) <= SEED_BYTES_MAX:
            yield data


def _all(target: str) -> Iterator[bytes]:
    match target:
        case "sse" | "streams":
            for path in sorted([*CASES.rglob("*.sse"), *FIXTURES.rglob("*.sse")]):
                yield b"\x40" + path.read_bytes()  # the first byte says where to cut
        case "answers":
            for path in sorted(CASES.rglob("upstream.json")):
                yield path.read_bytes()
        case "headers":
            yield from (
                b"Bearer sk-x",
                b"a, b:c, d",
                b"gzip, identity",
                b"http://[::ffff:a9fe:a9fe]:80/x",
            )
        case "bodies":
            yield from (gzip.compress(b"hello" * 99, mtime=0), b"x\x9c\x03\x00\x00\x00\x00\x01")
        case _:
            yield from _requests()


def _requests() -> Iterator[bytes]:
    for path in sorted(CASES.rglob("*.json")):
        if path.name in {"client.json", "request.json", "upstream_request.json"}:
            yield path.read_bytes()
    for path in sorted(FIXTURES.rglob("*.request.json")):
        yield path.read_bytes()
    for path in sorted(FIXTURES.glob("*-*/*.json")):
        told = json.loads(path.read_bytes())
        for request in told.get("requests", []) if isinstance(told, dict) else []:
            body = request.get("body")
            if body:
                yield body.encode() if isinstance(body, str) else json.dumps(body).encode()
