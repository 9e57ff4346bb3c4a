"""Transformations of rows: what is refused, what is compiled, and what an edit does."""

import copy
from pathlib import Path

import orjson
import pytest
import re2
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from conversion.call import read_call
from conversion.dialects import Dialect
from conversion.editing.calls import edit_call
from conversion.editing.windows import EditedText
from conversion.errors import RequestInvalid, TransformationFailed
from routing import json_paths, regexes, transformations
from routing.models import Transformation
from routing.transformations import TransformationUnusable, build_pictures, for_target, problem_with
from tests.factories.routing import make_alias, make_provider


def make(pattern: str = "sk-[a-z0-9]+", replacement: str = "[key]", **fields) -> Transformation:
    return Transformation(pattern=pattern, replacement=replacement, **fields)


def edit_text(text: str, pattern: str, replacement: str = "", flags: str = "") -> str:
    return regexes.text_edit("rule", pattern, flags, replacement)(text)


def change(kind: str, path: str, body, value=None):
    before = copy.deepcopy(body)
    changed = json_paths.change_for(kind, "rule", path, value)(body)
    assert body == before
    return changed


@pytest.mark.parametrize(
    ("pattern", "flags", "replacement", "text", "edited"),
    [
        ("sk-[a-z]+", "", "[key]", "my sk-abc and sk-d.", "my [key] and [key]."),
        (r"(\w+)@(\w+)", "", r"\2 at \1", "mail ann@host", "mail host at ann"),
        (r"(?P<name>\w+)=\S+", "", r"\g<name>=…", "a=1 b=2", "a=… b=…"),
        (r"\d+", "", r"<\0>\g<0>", "a 12", "a <12>12"),
        ("KEY", "i", "ключ", "Key, key", "ключ, ключ"),
        ("^a", "", "b", "a\na", "b\na"),
        ("^a", "m", "b", "a\na", "b\nb"),
        ("a.b", "", "-", "a\nb", "a\nb"),
        ("a.b", "s", "-", "a\nb", "-"),
        ("b", "", r"\\1\n\t\r", "abc", "a\\1\n\t\rc"),
        ("(a)|(b)", "", r"[\1\2]", "ab", "[a][b]"),
        (r"\bcat\b", "", "dog", "cat concat cats cat", "dog concat cats dog"),
        ("a$", "", "b", "a a", "a b"),
        ("🙂+", "", "é", "so 🙂🙂 it 🙂", "so é it é"),
        ("", "", "x", "ab", "ab"),
    ],
)
def test_an_expression_is_replaced(pattern, flags, replacement, text, edited):
    assert edit_text(text, pattern, replacement, flags) == edited


RULES = [
    ("sk-[a-z]{2,8}", ""),
    (r"\bk-\w{1,4}\b", ""),
    (r"\B-", ""),
    ("(?:^|s)k", "m"),
    ("^s", ""),
    ("a{1,3}$", ""),
    (r"[aé🙂]{1,4}", "i"),
    ("SK-?", "i"),
    (r"\b\n", ""),
    ("a.b", "s"),
    ("ab|a", ""),
]


@given(
    rules=st.lists(st.sampled_from(RULES), min_size=1, max_size=3),
    pieces=st.lists(st.text(alphabet="sk-ab é🙂\n", max_size=6), max_size=40),
)
def test_a_text_in_pieces_is_edited_as_the_whole_is(rules, pieces):
    edits = [regexes.text_edit("rule", pattern, flags, r"<\0>") for pattern, flags in rules]
    edited = EditedText(edits, window_chars=40)
    said = "".join([*map(edited.push, pieces), edited.finish()])
    whole = "".join(pieces)
    for edit in edits:
        whole = edit(whole)

    assert said == whole


@pytest.mark.parametrize(
    ("pattern", "flags", "beginning"),
    [
        ("sk-[a-z]+", "", "sk-"),
        (r"\bsk-(ant|or)-[a-z]{20,}\b", "", "sk-"),
        ("ghp_.*", "", "ghp_"),
        ("^ab", "m", "ab"),
        ("ключ+", "", "ключ"),
        ("[äå]b", "", ""),
        ("sk|pk", "", ""),
        ("sk-", "i", ""),
        (".*x", "", ""),
        (r"a\\b", "", r"a\b"),
        (r"\Qa\b\E", "", ""),
        (r"\Ba", "", "a"),
        ("a" * 90, "", "a" * 31),
        ("", "", ""),
        (r"x\b{2}y", "", "xy"),
    ],
)
def test_how_every_match_begins_is_known_where_it_can_be(pattern, flags, beginning):
    assert regexes.beginning_of(pattern, flags) == beginning


def test_a_beginning_that_cannot_be_told_is_none():
    assert regexes.beginning_of(r"\C*a", "") == ""


SHORT = st.sampled_from(
    ["a", "b", "-", "é", "[ab]", "[^a]", ".", "^", "$", r"\b", r"\B", r"\w", r"\\b", r"\z", "ab-"]
)
PATTERNS = st.recursive(
    SHORT,
    lambda inner: (
        st.tuples(inner, inner).map("".join)
        | st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})")
        | st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "*?"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        )
    ),
    max_leaves=8,
)


@given(PATTERNS, st.text(alphabet="abéÉAB-\\\n ", max_size=30), st.sampled_from(["", "i", "m", "s", "ims"]))  # fmt: skip
def test_no_match_begins_otherwise(pattern, text, flags):
    beginning = regexes.beginning_of(pattern, flags)

    for match in regexes.compile_regex(pattern, flags).finditer(text):
        assert not match.group() or match.group().startswith(beginning)


BODY = {
    "model": "m",
    "metadata": {"user_id": "u", "n": 1},
    "tools": [{"name": "a", "strict": True}, {"name": "b"}, {"name": "c", "strict": False}],
    "list": [1, 2, 3, 4],
}


@pytest.mark.parametrize(
    ("kind", "path", "value", "changes"),
    [
        ("json_drop", "$.metadata", None, {"metadata": ...}),
        ("json_drop", "$.metadata.user_id", None, {"metadata": {"n": 1}}),
        ("json_drop", "$.tools[*].strict", None, {"tools": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}),
        ("json_drop", "$.tools[?@.strict == true]", None, {"tools": BODY["tools"][1:]}),
        ("json_drop", "$.tools[?$.model == 'm' && length(@.name) == 1]", None, {"tools": []}),
        ("json_drop", "$.list[0,0,2]", None, {"list": [2, 4]}),
        ("json_drop", "$.list[-1]", None, {"list": [1, 2, 3]}),
        ("json_drop", "$.list[::-2]", None, {"list": [1, 3]}),
        ("json_drop", "$..*", None, dict.fromkeys(BODY, ...)),
        ("json_drop", "$.tools[?search(@.name, '[ab]')]", None, {"tools": BODY["tools"][2:]}),
        ("json_drop", "$.tools[?match(@.name, '(a|c)')]", None, {"tools": BODY["tools"][1:2]}),
        ("json_drop", "$.tools[?match(@.strict, 'a') || search(@.name, '(')]", None, {}),
        ("json_drop", "$.absent[0].name", None, {}),
        ("json_add", "$.user", "x", {"user": "x"}),
        ("json_add", "$.model", "x", {}),
        ("json_add", "$.metadata['team']", {"a": 1}, {"metadata": {**BODY["metadata"], "team": {"a": 1}}}),
        ("json_add", "$.tools[*].strict", None, {"tools": [BODY["tools"][0], {"name": "b", "strict": None}, BODY["tools"][2]]}),
        ("json_add", "$.absent.name", 1, {}),
        ("json_add", "$.model.name", 1, {}),
        ("json_add", "$.list[4]", 5, {"list": [1, 2, 3, 4, 5]}),
        ("json_add", "$.list[5]", 5, {}),
        ("json_add", "$.list.name", 5, {}),
        ("json_add", "$.metadata[2]", 5, {}),
        ("json_set", "$.model", "x", {"model": "x"}),
        ("json_set", "$.model", "m", {}),
        ("json_set", "$.metadata.n", True, {"metadata": {"user_id": "u", "n": True}}),
        ("json_set", "$.top_k", 4, {"top_k": 4}),
        ("json_set", "$.tools[*].strict", False, {"tools": [{"name": name, "strict": False} for name in "abc"]}),
        ("json_set", "$.list[*]", 0, {"list": [0, 0, 0, 0]}),
        ("json_set", "$.list[4]", 5, {"list": [1, 2, 3, 4, 5]}),
        ("json_set", "$.list[-1]", 5, {"list": [1, 2, 3, 5]}),
        ("json_set", "$['model','user']", "x", {"model": "x"}),
        ("json_set", "$..name", "x", {"tools": [{**tool, "name": "x"} for tool in BODY["tools"]]}),
    ],
)  # fmt: skip
def test_a_path_is_dropped_added_and_set(kind, path, value, changes):
    wanted = {**BODY, **changes}
    changed = change(kind, path, BODY, value)

    assert changed == {name: member for name, member in wanted.items() if member is not ...}
    assert (changed is BODY) is (changes == {})


def test_what_is_set_inside_of_what_is_set_is_no_contradiction():
    body = {"x": {"x": {"y": {"x": {}}}}}

    assert change("json_set", "$..x", body, 5) == {"x": 5}
    assert change("json_set", "$..x.x", body, 5) == {"x": {"x": 5}}


def test_what_a_path_does_not_name_is_shared_with_the_old_body():
    changed = change("json_set", "$.metadata.n", BODY, 2)

    assert changed["tools"] is BODY["tools"]


def test_a_body_that_is_too_deep_for_a_path_is_the_clients_mistake():
    raw = b'{"model":"m","messages":[],"a":' + b'{"a":' * 400 + b"1" + b"}" * 401
    edit = build_pictures([make(kind="json_set", pattern="$..b", value=1)])[0].edit

    with pytest.raises(RequestInvalid):
        edit_call(read_call(Dialect.OPENAI_CHAT, raw), [edit])


def test_a_path_that_fails_on_a_body_names_its_transformation():
    def fail(_body):
        raise json_paths.JSONPathError("odd", token=None)

    with pytest.raises(TransformationFailed, match=r"“rule”.* failed: odd"):
        json_paths._guarded("rule", fail)({})


@pytest.mark.parametrize(
    ("fields", "field", "sentence"),
    [
        ({"pattern": "("}, "pattern", "Not an RE2 expression: missing"),
        ({"pattern": "(?=a)"}, "pattern", "Not an RE2 expression: invalid perl operator"),
        ({"pattern": "a*"}, "pattern", "matches the empty text"),
        ({"pattern": r"\b"}, "pattern", "matches the empty text"),
        ({"flags": "ix"}, "flags", "Unknown: x. Known are i, m and s."),
        ({"replacement": r"\1"}, "replacement", r"\1 is a group that the expression does not have"),
        ({"replacement": r"\g<a>"}, "replacement", r"\g<a> is a group"),
        ({"replacement": r"\g<7>"}, "replacement", r"\g<7> is a group"),
        ({"replacement": r"\d"}, "replacement", r"\d means nothing here"),
        ({"replacement": "a\\"}, "replacement", "\\ means nothing here"),
        ({"kind": "json_drop", "pattern": "metadata"}, "pattern", "Not a JSONPath (RFC 9535)"),
        ({"kind": "json_drop", "pattern": "$.a | $.b"}, "pattern", "Not a JSONPath (RFC 9535)"),
        ({"kind": "json_drop", "pattern": "$"}, "pattern", "names the whole body"),
        ({"kind": "json_drop", "pattern": "$..a..b..c"}, "pattern", "“..” takes long"),
        ({"kind": "json_drop", "pattern": "$.a[?@..b]"}, "pattern", "“..” takes long"),
        ({"kind": "json_drop", "pattern": "$.a[?!(@[?@..c] && @.b)]"}, "pattern", "“..” takes long"),
        ({"kind": "json_drop", "pattern": "$.a[?$.b[*]]"}, "pattern", "may ask for one value"),
        ({"kind": "json_drop", "pattern": "$" + "['a','b']" * 7}, "pattern", "too many things side by side"),
        ({"kind": "json_add", "pattern": "$.a[*]"}, "pattern", "must end in one name or index"),
        ({"kind": "json_add", "pattern": "$..a"}, "pattern", "must end in one name or index"),
        ({"kind": "json_set", "pattern": "$.a", "value": "\ud800"}, "value", "cannot be written as JSON"),
        ({"kind": "json_drop", "pattern": "$[?" + "(" * 3000 + "@.a" + ")" * 3000 + "]"}, "pattern", "Not a JSONPath"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_used_says_why_at_its_field(fields, field, sentence):
    row = make(**fields)
    with pytest.raises(ValidationError) as caught:
        row.clean()

    assert sentence in caught.value.message_dict[field][0]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"pattern": "("}, "“of old” cannot be used: Not an RE2 expression"),
        ({"replacement": r"\1"}, r"“of old” cannot be used: \1 is a group"),
        ({"replacement": "\ud800"}, "“of old” cannot be used: It holds half a character"),
        ({"kind": "json_drop", "pattern": "x"}, "“of old” cannot be used: Not a JSONPath"),
        ({"kind": "json_set", "pattern": "$.x", "value": "\ud800"}, "“of old” cannot be used: It cannot"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_compiled_is_named(fields, sentence):
    with pytest.raises(TransformationUnusable) as caught:
        build_pictures([make(), make(name="of old", **fields)])

    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"kind": "regex", "pattern": "a"}, "on a text of 100,000 characters"),
        ({"kind": "json_drop", "pattern": "$.a"}, "on a body of 200 messages"),
    ],
)
def test_what_takes_long_is_refused(monkeypatch, fields, sentence):
    monkeypatch.setattr(transformations, "TRIAL_S_MAX", -1)
    problem = problem_with(flags="", replacement="", direction="request", **fields)

    assert sentence in problem.message


def test_a_path_that_fails_on_the_trial_body_is_refused(monkeypatch):
    def fail(_body):
        raise TransformationFailed("odd")

    monkeypatch.setattr(json_paths, "change_for", lambda *_row: fail)
    problem = problem_with(
        kind="json_drop", pattern="$.a", flags="", replacement="", direction="request"
    )

    assert problem.field == "pattern"


def test_the_trials_are_quick_for_what_people_write():
    for pattern in (r"\bsk-(?:ant-|or-)?[A-Za-z0-9_-]{20,}\b", r"(?i)[\w.+-]+@[\w-]+\.[\w.]+", r"\b(?:\d[ -]?){13,19}\b"):  # fmt: skip
        assert problem_with(kind="regex", pattern=pattern, flags="", replacement="", direction="request") is None  # fmt: skip
    for path in ("$..cache_control", "$.messages[?@.role == 'system']", "$.tools[*].strict"):
        assert problem_with(kind="json_drop", pattern=path, flags="", replacement="", direction="request") is None  # fmt: skip


def test_compiled_forms_are_kept():
    assert regexes.compile_regex("abc", "i") is regexes.compile_regex("abc", "i")
    assert json_paths.compile_path("$.a") is json_paths.compile_path("$.a")
    with pytest.raises(re2.error):
        regexes.compile_regex("(", "")


@pytest.mark.django_db
def test_those_of_a_target_come_by_position_and_then_from_wide_to_narrow():
    provider, other = make_provider(), make_provider("other")
    alias = make_alias("claude")
    rows = [
        make(name="route", scope="route", alias=alias),
        make(name="late", position=9),
        make(name="provider", scope="provider", provider=provider),
        make(name="elsewhere", scope="provider", provider=other),
        make(name="everything"),
        make(name="answers", direction="response"),
        make(name="again"),
    ]
    for row in rows:
        row.save()
    pictures = build_pictures(Transformation.objects.all())

    def labels(*target):
        requests, responses = for_target(pictures, *target)
        assert [edit.label for edit in responses] == ["answers"]
        return [edit.label for edit in requests]

    assert labels(provider.pk, alias.pk) == ["everything", "again", "provider", "route", "late"]
    assert labels(other.pk, None) == ["everything", "again", "elsewhere", "late"]
    assert labels(0, alias.pk) == ["everything", "again", "route", "late"]


@pytest.mark.django_db
def test_a_row_without_a_name_is_named_by_its_number():
    row = make()
    row.save()

    assert build_pictures([row])[0].label == f"regex sk-[a-z0-9]+ (number {row.pk})"
    assert build_pictures([make()])[0].label == "regex sk-[a-z0-9]+"


def test_a_request_is_edited_by_the_pictures_of_its_target():
    rows = [
        make(),
        make(kind="json_drop", pattern="$.metadata.user_id"),
        make(kind="json_set", pattern="$.temperature", value=0),
    ]
    requests, responses = for_target(build_pictures(rows), 1, 1)
    call = read_call(
        Dialect.OPENAI_CHAT,
        b'{"model":"m","messages":[{"role":"user","content":"sk-abc"}],"metadata":{"user_id":"u"}}',
    )

    assert orjson.loads(edit_call(call, requests).raw) == {
        "model": "m",
        "messages": [{"role": "user", "content": "[key]"}],
        "metadata": {},
        "temperature": 0,
    }
    assert responses == ()


def test_every_example_of_the_manual_can_be_used():
    manual = Path(__file__).parents[2] / "docs" / "operators" / "transformations.md"
    rows = [line.strip("|").split("|") for line in manual.read_text().splitlines()]
    rows = [[cell.strip().strip("`") for cell in row] for row in rows]
    paths = [row for row in rows if len(row) == 4 and row[2].startswith("$")]
    expressions = [row for row in rows if len(row) == 3 and row[1].startswith(("\\", "["))]
    for row in paths + expressions:
        is_path = len(row) == 4
        fields = {
            "kind": f"json_{row[1]}" if is_path else "regex",
            "pattern": row[2] if is_path else row[1],
            "replacement": "" if is_path else row[2],
            "value": orjson.loads(row[3]) if is_path and row[3] else None,
        }
        assert problem_with(flags="", direction="request", **fields) is None
    assert (len(paths), len(expressions)) == (6, 4)
