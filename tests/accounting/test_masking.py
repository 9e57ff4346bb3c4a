"""Secrets do not survive masking, wherever they stand and wherever the text is cut; what is no secret stays."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounting import keys
from accounting.masking import MARGIN_BYTES, MARK, Masker, make_mask, problem_with, unescaped
from accounting.secret_shapes import is_credential_header

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq\nabcd\n-----END RSA PRIVATE KEY-----"
SHAPES = [
    "sk-abcdefghijklmnopqrstuvwx",
    "sk-proj-abcDEF123_-456",
    "sk-ant-api03-abcDEF123456",
    "sk-or-v1-0123456789abcdef0123456789abcdef",
    "AKIAIOSFODNN7EXAMPLE",
    "AIzaSyA-1234567890abcdefghijklmnopqrstu",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "github_pat_11ABCDEFG0abcdefghijkl_mnopq",
    "xoxb-123456789012-abcdefghijkl",
    "gsk_abcdefghijklmnopqrstuvwxyz",
    "hf_abcdefghijklmnopqrstuvwxyz",
    "glpat-abcdefghijklmnop1234",
    JWT,
    PEM,
    keys.make_secret(),
]
KNOWN = 'odd/"own"+secret=é'


def masked(text: str, *secrets: str, bytes_max: int = 100_000) -> str:
    return Masker(secrets=secrets).body(text.encode(), bytes_max=bytes_max).decode()


@pytest.mark.parametrize("secret", SHAPES, ids=lambda secret: secret[:3])
@pytest.mark.parametrize(
    "around",
    ["{}", "key: {} and more", "a\n{}\nb", "<p>{}</p>", "x={}&y=1", "'{}'", "({})", "äö{}äö"],
)
def test_a_well_known_secret_is_masked_wherever_it_stands(secret, around):
    out = masked(around.format(secret))

    assert out == around.format(MARK)


@pytest.mark.parametrize("secret", SHAPES, ids=lambda secret: secret[:3])
@pytest.mark.parametrize("text", ["{}", "first\n{}", "\t{}\r", 'say "{}"', "ß{}"])
def test_a_secret_in_json_is_masked_and_the_json_stays_json(secret, text):
    body = {"messages": [{"role": "user", "content": text.format(secret)}], "max_tokens": 5}
    for raw in (orjson.dumps(body), orjson.dumps({"arguments": orjson.dumps(body).decode()})):
        out = masked(raw.decode())

        assert orjson.loads(out)
        assert secret not in out
        assert orjson.dumps(secret)[1:-1].decode() not in out
        assert "max_tokens" in out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer [masked]"),
        ("basic dXNlcjpwYXNzd29yZDEyMzQ1", "basic [masked]"),
        ('{"api_key": "hunter22"}', '{"api_key": "[masked]"}'),
        ('{"authorization_token":"x"}', '{"authorization_token":"[masked]"}'),
        ('{"password": "a\\"b"}', '{"password": "[masked]"}'),
        ('{"token": "abc", "tokens": "abc"}', '{"token": "[masked]", "tokens": "abc"}'),
        (r'{"a": "{\"client_secret\": \"x y\"}"}', r'{"a": "{\"client_secret\": \"[masked]\"}"}'),
        ("DB_PASSWORD=hunter2 PATH=/bin", "DB_PASSWORD=[masked] PATH=/bin"),
        ("https://me:hunter2@host/x", "https://me:[masked]@host/x"),
        ("https://host/x?key=abc&alt=sse", "https://host/x?key=[masked]&alt=sse"),
        ('"text": "a', '"text": "a'),
    ],
)
def test_a_secret_is_known_by_what_stands_before_it(text, expected):
    assert masked(text) == expected
    assert masked(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "task-management-and-risk-assessment-for-everybody",
        "a basic understanding of bearer bonds",
        '{"max_tokens": 100, "usage": {"prompt_tokens": 7}}',
        '{"signature": "ErUBCkYIBRgCIkDfQ", "type": "thinking"}',
        "http://localhost:8080/a@b",
        '{"tools": [{"input_schema": {"properties": {"password": {"type": "string"}}}}]}',
        "monkey=banana",
    ],
)
def test_what_is_no_secret_stays(text):
    assert masked(text) == text


@pytest.mark.parametrize(
    "spelled",
    [
        KNOWN,
        orjson.dumps(KNOWN).decode(),
        "odd%2F%22own%22%2Bsecret%3D%C3%A9",
        "odd/&quot;own&quot;+secret=é",
        orjson.dumps(KNOWN).decode().replace("/", "\\/"),
        '"' + "".join(f"\\u{ord(char):04x}" for char in "odd/") + '\\"own\\"+secret=é"',
    ],
)
def test_a_known_secret_is_masked_in_every_spelling(spelled):
    out = masked(f"before {spelled} after", KNOWN)

    assert "odd" not in out
    assert "secret" not in out
    assert out.startswith("before ")
    assert out.endswith(" after")


def test_a_word_too_short_to_be_a_secret_masks_nothing():
    assert masked("abc and abc", "", "abc") == "abc and abc"


@given(
    before=st.text(max_size=60),
    after=st.text(max_size=60),
    secret=st.sampled_from([*SHAPES, KNOWN]),
    cut=st.integers(0, 200),
)
def test_nothing_of_a_secret_is_left_at_the_cut(before, after, secret, cut):
    whole = orjson.dumps(before)[:-1] + b" " + secret.encode() + b" " + orjson.dumps(after)[1:]
    out = Masker(secrets=[KNOWN]).body(whole, bytes_max=cut)

    begin = len(orjson.dumps(before))
    assert secret[:8].encode() not in out[begin:] or secret[:8] in before + after


@given(
    text=st.lists(
        st.sampled_from(
            [*SHAPES, KNOWN, "Bearer ", "=", '"', "\\", "\n", "{", "data: ", "x9", MARK]
        )
        | st.text(max_size=8)
    ).map("".join),
    cut=st.integers(0, 500),
)
def test_masking_twice_is_masking_once(text, cut):
    masker = Masker([make_mask("nines", "9+", "[nine]")], secrets=[KNOWN])
    once = masker.text(text.encode())

    assert masker.text(once) == once
    kept = masker.body(text.encode(), bytes_max=cut)
    assert masker.body(kept, bytes_max=len(kept)) == kept


def test_a_secret_that_crosses_the_limit_is_masked_whole():
    text = "x" * 90 + " sk-or-v1-" + "a" * 200 + " end" + "y" * 100

    assert masked(text, bytes_max=100) == "x" * 90 + " " + MARK


def test_a_secret_that_not_even_the_margin_shows_whole_is_masked():
    captured = "x" * 90 + " -----BEGIN PRIVATE KEY-----" + "A" * MARGIN_BYTES

    assert masked(captured, bytes_max=100) == "x" * 90 + " " + MARK


def test_a_text_that_breaks_off_in_a_secret_does_not_show_its_beginning():
    assert masked("the key is sk-or-v1-ab") == "the key is " + MARK
    assert masked("the key is odd-own-sec", "odd-own-secret-1") == "the key is " + MARK


def test_configured_patterns_are_masked_with_their_own_words():
    masker = Masker([make_mask("patients", r"P-\d{6}", "[patient]"), make_mask("all", "zzz", MARK)])

    assert masker.text(b"P-123456 and zzz") == b"[patient] and [masked]"


def test_a_pattern_that_cannot_be_read_masks_everything():
    out = Masker([make_mask("broken", "(", MARK)]).text(b"anything")

    assert out == b"[masked whole: the pattern 'broken' cannot be read]"


@pytest.mark.parametrize(
    ("pattern", "replacement", "field"),
    [
        ("(", MARK, "pattern"),
        ("x*", MARK, "pattern"),
        (r"(?=look)", MARK, "pattern"),
        ("mask", MARK, "replacement"),
    ],
)
def test_a_pattern_that_would_do_harm_is_refused(pattern, replacement, field):
    problem = problem_with(pattern, replacement)

    assert problem is not None
    assert problem.field == field


def test_a_good_pattern_is_taken():
    assert problem_with(r"P-\d{6}", "[patient]") is None


@pytest.mark.parametrize(
    "name",
    [
        "Authorization", "Proxy-Authorization", "X-Api-Key", "api-key", "x-goog-api-key", "Cookie", "Set-Cookie",
        "x-llmgateway-key", "X-Auth-Token", "x-amz-security-token", "x-client-secret", "apikey", "x-vault-token",
    ],
)  # fmt: skip
def test_headers_of_credentials_keep_their_name_only(name):
    assert Masker().headers([(name, "anything at all")]) == [[name, MARK]]


@pytest.mark.parametrize(
    "name", ["content-type", "anthropic-ratelimit-tokens-remaining", "x-session-id", "user-agent"]
)
def test_other_headers_are_shown(name):
    assert not is_credential_header(name)
    assert Masker().headers([(name, "gw-plain")]) == [[name, "gw-plain"]]


def test_a_secret_in_any_other_header_is_masked():
    headers = [("referer", "https://x/?key=abc"), ("x-note", f"it is {KNOWN}")]

    assert Masker(secrets=[KNOWN]).headers(headers) == [
        ["referer", "https://x/?key=[masked]"],
        ["x-note", "it is [masked]"],
    ]


def test_escapes_are_undone_only_where_they_hide_a_plain_character():
    text = rb'"\u0041\\u0041\u0022\u005c\/\n\u00e9"'

    assert unescaped(text, len(text))[0] == rb'"A\\u0041\u0022\u005c/\n\u00e9"'


@given(text=st.text(alphabet="\\u0041/6x", max_size=40), limit=st.integers(0, 40))
def test_undoing_escapes_never_moves_the_limit_beyond_it(text, limit):
    raw = rb"\u0041" + text.encode()
    out, moved = unescaped(raw, min(limit, len(raw)))

    assert moved <= min(limit, len(raw))
    assert len(out) <= len(raw)
