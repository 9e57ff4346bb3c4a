"""Every folder of ``cases/openai_over_anthropic`` that holds an upstream's answer."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import asdict

from conversion.errors import GatewayError
from tests.conversion.chat_rules import accumulate, check_completion, check_stream, told
from tests.conversion.openai_over_anthropic.answering import Answering

CASES = Path(__file__).parent.parent / "cases" / "openai_over_anthropic"


def folders(name: str) -> list[Path]:
    return sorted(path.parent for path in CASES.glob(f"*/{name}"))


def read_json(folder: Path, name: str, default=None):
    path = folder / name
    return json.loads(path.read_text()) if path.exists() else default


def begin(folder: Path) -> Answering:
    return Answering(read_json(folder, "client_request.json"))


def check_facts(folder: Path, answering: Answering, failure: GatewayError | None) -> None:
    known = {
        name: value
        for name, value in asdict(answering.usage).items()
        if value is not None and value is not False
    }
    expected = read_json(folder, "usage.json")
    if "cost_usd" in expected:
        expected["cost_usd"] = Decimal(expected["cost_usd"])
    assert known == expected
    failed = failure and {"error": type(failure).__name__, "message": failure.message}
    assert failed == read_json(folder, "failure.json")
    notes = [[note.kind, note.path] for note in answering.report.notes]
    assert notes == read_json(folder, "report.json", [])


@pytest.mark.parametrize("folder", folders("upstream.sse"), ids=lambda folder: folder.name)
def test_stream_becomes_what_the_case_says(folder):
    answering = begin(folder)
    stream = answering.feed((folder / "upstream.sse").read_bytes()) + answering.finish()
    assert stream.decode() == (folder / "client.sse").read_text()
    check_facts(folder, answering, answering.failure)
    failed = answering.failure is not None
    chunks = check_stream(stream, failed=failed, include_usage=answering.include_usage)
    if not failed:
        accumulate(chunks)


@pytest.mark.parametrize("folder", folders("upstream.sse"), ids=lambda folder: folder.name)
def test_stream_fed_byte_by_byte_becomes_the_same(folder):
    answering = begin(folder)
    data = (folder / "upstream.sse").read_bytes()
    pieces = [answering.feed(data[at : at + 1]) for at in range(len(data))]
    stream = b"".join(pieces) + answering.finish()
    assert stream.decode() == (folder / "client.sse").read_text()
    check_facts(folder, answering, answering.failure)


@pytest.mark.parametrize("folder", folders("upstream.json"), ids=lambda folder: folder.name)
def test_whole_answer_becomes_what_the_case_says(folder):
    answering = begin(folder)
    failure = None
    try:
        body = answering.read_answer((folder / "upstream.json").read_bytes())
        assert check_completion(body) == read_json(folder, "client.json")
    except GatewayError as error:
        failure = error
        assert not (folder / "client.json").exists()
    check_facts(folder, answering, failure)


@pytest.mark.parametrize(
    "folder",
    sorted(set(folders("client.json")) & set(folders("client.sse"))),
    ids=lambda folder: folder.name,
)
def test_whole_and_streamed_answer_agree(folder):
    include_usage = begin(folder).include_usage
    chunks = check_stream(
        (folder / "client.sse").read_bytes(), failed=False, include_usage=include_usage
    )
    streamed, whole = told(accumulate(chunks)), told(read_json(folder, "client.json"))
    if not include_usage:
        del streamed["usage"], whole["usage"]
    assert streamed == whole


def test_every_case_says_where_it_is_from():
    for folder in {*folders("upstream.sse"), *folders("upstream.json")}:
        assert (folder / "source.md").read_text().strip()
