"""Claude Code drives the gateway: whole agent loops, sub agents, trouble, and the list of models."""

import asyncio
import base64
import json
import signal

import pytest

from tests.clients import claude_code
from tests.clients.answers import SIGNATURE, Called, Said, answer_to
from tests.clients.house import in_the_house
from tests.clients.pairs import CHAT, COMPATIBLE, DEMO, MESSAGES, NATIVE, OLLAMA, SHORT_PNG
from tests.fakes.upstream import json_answer, stream_answer, text_stream
from tests.waiting import PATIENCE_S, until

pytestmark = [
    in_the_house,
    pytest.mark.processes,
]
TOOLS = ("--allowedTools", "Bash,Read,Write,Agent")
WRITTEN = "grüße, 漢字\n"


@pytest.fixture(scope="module")
def installed():
    claude_code.install()


@pytest.fixture
def claude_at_work(installed, house, tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "notes.txt").write_text("alpha\nbeta\n")
    return claude_code.ClaudeCode(house, tmp_path)


def step_of(request):
    """How many turns the model has had in the conversation that goes on in a request."""
    return sum(turn["role"] == "assistant" for turn in request.json["messages"])


def loops_through(*steps):
    """The model's turns, one after the other, and a title for whoever asks without tools."""

    def answer(request):
        if not request.json.get("tools"):
            return answer_to(request, Said("A title"))
        return answer_to(request, steps[min(step_of(request), len(steps) - 1)])

    return answer


def bash_and_read(project, ids):
    return (
        Called(ids[0], "Bash", {"command": "echo $((6 * 7))", "description": "Add"}),
        Called(ids[1], "Read", {"file_path": str(project / "notes.txt")}),
    )


def write_out(project, ids):
    arguments = {"file_path": str(project / "out.txt"), "content": WRITTEN}
    return (Called(ids[2], "Write", arguments),)


# A whole loop


@pytest.mark.parametrize("pair", [CHAT, COMPATIBLE, NATIVE, MESSAGES, OLLAMA], ids=str)
async def test_a_whole_agent_loop_runs(house, claude_at_work, pair):
    project = claude_at_work.project
    # Some upstreams make ids that Claude Code would not take.
    ids = ("functions.Bash:0", "functions.Read:1", "functions.Write:2")
    ids = ("toolu_1", "toolu_2", "toolu_3") if pair in (NATIVE, MESSAGES) else ids
    thought = "" if pair in (OLLAMA, COMPATIBLE) else "Two things at once."
    both, one = bash_and_read(project, ids), write_out(project, ids)
    house.upstream.answer_with = loops_through(
        Said("I look.", thought, both, finish="tool_calls", prompt_tokens=1000),
        Said("", thought, one, finish="tool_calls", prompt_tokens=2000),
        Said("All is written.", prompt_tokens=3000, cached_tokens=2000, completion_tokens=7),
    )
    run = await claude_at_work.ask("Copy the notes", *TOOLS, model=pair.model)

    assert (run.code, run.result["is_error"]) == (0, False)
    assert run.result["result"] == "All is written."
    assert (project / "out.txt").read_text() == WRITTEN
    loop = [seen for seen in house.upstream.requests if seen.json.get("tools")]
    assert [step_of(seen) for seen in loop] == [0, 1, 2]
    last = json.dumps(loop[-1].json["messages"], ensure_ascii=False)
    for result in ("42", "alpha", "File created successfully"):
        assert result in last
    assert last.count(SIGNATURE) == (2 if thought else 0)

    records = await house.records(len(house.upstream.requests))
    assert {(record.provider, record.status) for record in records} == {(pair.name, "succeeded")}
    assert {record.session for record in records} == {run.result["session_id"]}
    # What Claude Code adds up is what the gateway has booked.
    told = run.result["usage"]
    cached = 0 if pair is OLLAMA else 2000
    assert told["cache_read_input_tokens"] == cached
    assert told["input_tokens"] + cached == sum(record.prompt_tokens for record in records) == 6000
    assert told["output_tokens"] == sum(record.completion_tokens for record in records) == 17


async def test_an_image_that_it_reads_reaches_the_model(house, claude_at_work):
    picture = claude_at_work.project / "dot.png"
    picture.write_bytes(base64.b64decode(SHORT_PNG))
    look = Called("call_1", "Read", {"file_path": str(picture)})
    house.upstream.answer_with = loops_through(
        Said(calls=(look,), finish="tool_calls"), Said("A dot.")
    )
    run = await claude_at_work.ask("Look", *TOOLS, model=CHAT.model)

    assert run.result["result"] == "A dot."
    (parts,) = [
        turn["content"]
        for turn in house.upstream.requests[-1].json["messages"]
        if "image_url" in json.dumps(turn)
    ]
    assert any(part["type"] == "image_url" for part in parts)


async def test_an_answer_in_a_form_is_taken(house, claude_at_work):
    schema = {"type": "object", "properties": {"km": {"type": "integer"}}, "required": ["km"]}
    call = Called("call_1", "StructuredOutput", {"km": 2857})
    house.upstream.answer_with = loops_through(
        Said(calls=(call,), finish="tool_calls"), Said("Done.")
    )
    run = await claude_at_work.ask(
        "How long?", "--json-schema", json.dumps(schema), model=CHAT.model
    )

    assert run.result["structured_output"] == {"km": 2857}


async def test_a_sub_agent_is_booked_under_its_own_id(house, claude_at_work):
    task = {
        "description": "Say hello",
        "prompt": "marker-of-the-sub-agent",
        "subagent_type": "general-purpose",
        "run_in_background": False,
    }
    house.upstream.answer_with = answers_both(
        Said(calls=(Called("call_1", "Agent", task),), finish="tool_calls"),
        final=Said("It said hello."),
        of_the_sub_agent=Said("Hello from below."),
    )
    run = await claude_at_work.ask("Delegate", *TOOLS, model=CHAT.model)

    assert run.result["result"] == "It said hello."
    records = await house.records(len(house.upstream.requests))
    agents = {record.agent for record in records}
    assert "" in agents
    assert len(agents) == 2
    assert {record.session for record in records} == {run.result["session_id"]}


def answers_both(first, *, final, of_the_sub_agent):
    """The main agent's turns, and the only one of the agent below it."""

    def answer(request):
        if "You are an agent for Claude Code" in json.dumps(request.json["messages"][0]):
            return answer_to(request, of_the_sub_agent)
        return answer_to(request, final if step_of(request) else first)

    return answer


async def test_the_demo_is_enough_for_a_first_try(claude_at_work):
    run = await claude_at_work.ask("good morning", model=DEMO.model)

    assert run.code == 0
    assert "You said: good morning" in run.result["result"]


async def test_it_counts_its_context(house, claude_at_work):
    run = await claude_at_work.ask("/context", model=CHAT.model)

    assert "System tools" in run.result["result"]
    assert house.upstream.requests == []
    assert await house.records(0) == []


# Trouble


async def test_it_waits_and_goes_on_after_a_rate_limit(house, claude_at_work):
    error = {"error": {"message": "slow down", "code": 429}}
    house.upstream.answers(json_answer(error, status=429, headers={"retry-after": "1"}))
    house.upstream.answer_with = loops_through(Said("At last."))
    run = await claude_at_work.ask("Hi", model=CHAT.model)

    assert run.result["result"] == "At last."
    statuses = [record.status for record in await house.records(len(house.upstream.requests))]
    assert statuses == ["failed", "succeeded"]


async def test_it_goes_on_after_a_stream_that_broke(house, claude_at_work):
    broken = stream_answer([{"error": {"code": 502, "message": "the model fell over"}}], done=False)
    house.upstream.answers(broken)
    house.upstream.answer_with = loops_through(Said("At last."))
    run = await claude_at_work.ask("Hi", model=CHAT.model)

    assert run.result["result"] == "At last."


async def test_the_upstream_is_left_when_it_is_interrupted(house, claude_at_work):
    opening = stream_answer(text_stream("Some", " words")[:2], done=False, ending="stall")
    house.upstream.answers(opening)
    async with claude_at_work.at_work("Hi", model=CHAT.model) as process:
        await until(lambda: house.upstream.requests)
        await asyncio.sleep(0.2)  # time for the first words to arrive
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), PATIENCE_S)

    assert (await house.record()).status == "client_closed"
    assert len(house.upstream.requests) == 1


async def test_a_prompt_that_is_too_long_is_understood(house, claude_at_work):
    message = (
        "This endpoint's maximum context length is 1000 tokens. However, you requested about 2000"
        " tokens (1990 of text input, 10 in the output)."
    )
    house.upstream.default = json_answer({"error": {"message": message, "code": 400}}, status=400)
    run = await claude_at_work.ask("Hi", model=CHAT.model)

    assert run.result["is_error"]
    assert run.result["result"].startswith("Prompt is too long")


async def test_a_model_that_is_not_there_is_named(house, claude_at_work):
    run = await claude_at_work.ask("Hi", model="nobody-knows")

    assert run.result["is_error"]
    assert "nobody-knows" in run.result["result"]
    assert house.upstream.requests == []


async def test_a_wrong_key_is_said_to_be_one(house, claude_at_work):
    wrong = {"ANTHROPIC_AUTH_TOKEN": "gw-wrong", "CLAUDE_CODE_MAX_RETRIES": "0"}
    run = await claude_at_work.ask("Hi", model=CHAT.model, **wrong)

    assert run.result["is_error"]
    assert "401" in run.result["result"]
    assert house.upstream.requests == []


# Discovery


async def test_it_finds_the_models_of_the_gateway(house, claude_at_work):
    house.upstream.answer_with = loops_through(Said("Hi."))
    await claude_at_work.ask(
        "Hi", model=CHAT.model, CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY="1",
    )  # fmt: skip

    found = claude_at_work.home / ".claude" / "cache" / "gateway-models.json"
    names = found.read_text()
    assert "claude-elm" in names
    assert "birch-large" not in names
