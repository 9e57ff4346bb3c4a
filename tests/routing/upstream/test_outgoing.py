"""Tests of routing/upstream/outgoing.py: what is sent to an upstream, and which heads are kept."""

from dataclasses import replace

import msgspec
import pytest

from conversion.dialects import Dialect
from routing.header_rules import Rule
from routing.providers.kind import ProviderKind
from routing.upstream import outgoing as outgoing_module
from routing.upstream.connection import HeaderBroken
from routing.upstream.errors import UpstreamUnreachable
from routing.upstream.outgoing import Heads, Outgoing, write_headers
from tests.factories.pictures import SECRET, picture_credential, picture_provider

ASK = Outgoing(b"{}", Dialect.OPENAI_CHAT)


def test_a_kind_may_add_headers_of_its_own():
    provider = picture_provider()
    kind = ProviderKind(
        name="other",
        label="Other",
        paths={provider.kind.dialect: ""},
        credential_headers=lambda secret: (("X-Api-Key", secret),),
        traits=provider.kind.traits,
        read_error=provider.kind.read_error,
        fixed_headers=(("X-Title", "llmgateway"), ("user-agent", "other")),
    )
    headers = write_headers(
        replace(provider, kind=kind), picture_credential(), Outgoing(b"", provider.dialect)
    )

    assert headers["X-Title"] == "llmgateway"
    assert headers.getall("User-Agent") == ["other"]
    assert headers["X-Api-Key"] == SECRET


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://a.example/v1", b"a.example"),
        ("https://a.example/v1", b"a.example"),
        ("https://a.example:8443", b"a.example:8443"),
        ("http://[::1]:80/v1", b"[::1]"),
        ("http://[::1]:81/v1", b"[::1]:81"),
    ],
)
def test_a_head_names_the_host_as_its_address_does(url, host):
    head = Heads().head_of(ASK, picture_provider(url), None)

    assert b"\r\nHost: %b\r\n" % host in head


def test_a_head_is_written_once_for_the_same_provider_credential_and_headers():
    heads, provider, credential = (
        Heads(),
        picture_provider("http://a.example"),
        picture_credential(),
    )

    first = heads.head_of(ASK, provider, credential)

    assert b"Bearer " + SECRET.encode() in first
    assert heads.head_of(msgspec.structs.replace(ASK, body=b"[]"), provider, credential) is first


@pytest.mark.parametrize(
    "change",
    [
        {"stream": True},
        {"path": "/models"},
        {"query": "beta=true"},
        {"headers": {"anthropic-beta": "a"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_else_is_sent_makes_another_head(change):
    heads, provider, credential = (
        Heads(),
        picture_provider("http://a.example"),
        picture_credential(),
    )
    first = heads.head_of(ASK, provider, credential)

    other = heads.head_of(msgspec.structs.replace(ASK, **change), provider, credential)

    assert other != first
    assert other == Heads().head_of(msgspec.structs.replace(ASK, **change), provider, credential)


def test_a_provider_or_credential_that_was_edited_gets_a_head_of_its_own():
    heads, provider, credential = (
        Heads(),
        picture_provider("http://a.example"),
        picture_credential(),
    )
    heads.head_of(ASK, provider, credential)

    moved = heads.head_of(ASK, replace(provider, base_url="http://b.example"), credential)
    changed = heads.head_of(
        ASK, provider, replace(credential, secret=picture_credential(secret="other").secret)
    )

    assert b"b.example" in moved
    assert b"Bearer other\r\n" in changed
    assert SECRET.encode() not in changed


def test_what_a_rule_fills_in_is_not_kept():
    rule = Rule("force", "x-id", "${request_id}")
    heads, provider = Heads(), picture_provider("http://a.example")

    told = [
        heads.head_of(
            msgspec.structs.replace(ASK, rules=(rule,), places={"request_id": name}), provider, None
        )
        for name in ("one", "two")
    ]

    assert b"x-id: one\r\n" in told[0]
    assert b"x-id: two\r\n" in told[1]


def test_no_secret_is_kept_longer_than_its_credential():
    heads, provider = Heads(), picture_provider("http://a.example")
    own = msgspec.structs.replace(ASK, headers={"authorization": "Bearer the-clients-own"})

    heads.head_of(own, replace(provider, is_pass_through=True), None)
    assert not heads._kept

    heads.head_of(ASK, provider, picture_credential())
    heads.forget()
    assert not heads._kept


def test_many_different_headers_fill_no_memory(monkeypatch):
    monkeypatch.setattr(outgoing_module, "HEADS_KEPT", 3)
    heads, provider = Heads(), picture_provider("http://a.example")

    for number in range(10):
        ask = msgspec.structs.replace(ASK, headers={"anthropic-beta": str(number)})
        assert b"anthropic-beta: %d\r\n" % number in heads.head_of(ask, provider, None)

    assert len(heads._kept) <= 3


def test_a_header_that_would_end_early_and_an_address_that_is_none_are_refused():
    with pytest.raises(HeaderBroken):
        Heads().head_of(
            ASK, picture_provider("http://a.example"), picture_credential(secret="a\nb")
        )
    with pytest.raises(UpstreamUnreachable, match="base URL is no address"):
        Heads().head_of(ASK, picture_provider("nowhere"), None)
