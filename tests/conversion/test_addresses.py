"""Which addresses may be called: the notations of one address must get one answer."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion.addresses import AddressRules, read_networks

AT_FIRST = AddressRules()
ONLY_OUTSIDE = AddressRules(denied=read_networks(["loopback", "private"]))
LISTED_ONLY = AddressRules(
    allowed=read_networks(["192.0.2.0/24"]), denied=read_networks(["everything"])
)
METADATA_OPEN = AddressRules(allowed=read_networks(["169.254.169.254"]))


@pytest.mark.parametrize(
    "url",
    [
        "https://openrouter.ai/api/v1",
        "http://127.0.0.1:4000",
        "http://localhost:11434",
        "http://10.1.2.3:8000/v1",
        "http://192.168.1.5",
        "http://[::1]:4000",
        "http://[fd12:3456::1]/v1",
        "http://litellm:4000",
        "http://gpu-7.rack.example",
        "http://0.0.0.0:11434",
        "http://[::]:11434",
    ],
)
def test_servers_outside_and_of_ones_own_may_be_called(url):
    assert AT_FIRST.refusal_of_url(url) == ""


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://169.254.170.2/v2/credentials",
        "http://[fe80::1]/",
        "http://[fe80::1%25eth0]/",
        "http://[fd00:ec2::254]/",
        "http://[fd20:ce::254]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[64:ff9b:1::a9fe:a9fe]/",  # a network's own NAT64 (RFC 8215), by a prefix of 96 bits
        "http://[64:ff9b:1:abcd::a9fe:a9fe]/",
        "http://[64:ff9b:1:a9fe:a9:fe00::]/",  # 48 bits: around byte 8
        "http://[64:ff9b:1:a9:fe:a9fe::]/",  # 56 bits
        "http://[64:ff9b:1:0:a9:fea9:fe00:0]/",  # 64 bits
        "http://[64:ff9b:1::a83f:8110]/",
        "http://[::ffff:0:a9fe:a9fe]/",  # "IPv4-translated", RFC 2765
        "http://[::ffff:0:6464:64c8]/",
        "http://[2001:db8::5efe:a9fe:a9fe]/",  # ISATAP, RFC 5214
        "http://[2001:db8::200:5efe:a9fe:a9fe]/",
        "http://[2002:a9fe:a9fe::]/",
        "http://[::169.254.169.254]/",
        "http://[2001:0:4136:e378:8000:63bf:5601:5601]/",  # Teredo hides the client inverted
        "http://100.100.100.200/",
        "http://168.63.129.16/",
        "http://metadata.google.internal/computeMetadata/v1/",
        "http://METADATA.google.internal./",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://[ff02::1]/",
    ],
)
def test_metadata_and_what_is_no_machine_is_refused_in_every_notation(url):
    assert AT_FIRST.refusal_of_url(url)


@pytest.mark.parametrize(
    "host", ["2852039166", "0xA9FEA9FE", "0251.0376.0251.0376", "169.254.43518", "127.1", "0x7f.1"]
)
def test_numbers_in_an_unusual_notation_are_refused_whatever_they_mean(host):
    assert "unusual notation" in AT_FIRST.refusal_of_url(f"http://{host}/")


@pytest.mark.parametrize(
    "url", ["http://", "http://host:99999/", "http://[::1/", "nothing", "http:///path"]
)
def test_what_is_no_address_is_refused(url):
    assert AT_FIRST.refusal_of_url(url).startswith("no address")


@pytest.mark.parametrize(
    "url", ["http://u@host/", "http://u:p@host/", "http://:p@host/", "http://@host/"]
)
def test_a_user_name_is_refused(url):
    assert "user name" in AT_FIRST.refusal_of_url(url)


@pytest.mark.parametrize(
    "packed",
    ["64:ff9b::{}", "64:ff9b:1::{}", "64:ff9b:1:9::{}", "::ffff:0:{}", "2001:db8::5efe:{}"],
)
def test_what_leads_to_an_address_that_may_be_called_may_be_called(packed):
    for rules in (AT_FIRST, ONLY_OUTSIDE):
        assert rules.refusal(ip_address(packed.format("808:808"))) == ""
    assert ONLY_OUTSIDE.refusal(ip_address(packed.format("a00:1")))
    assert ONLY_OUTSIDE.refusal(ip_address(packed.format("7f00:1")))


def test_no_machine_is_this_machine_also_where_it_is_packed():
    assert ONLY_OUTSIDE.refusal(ip_address("64:ff9b::"))


def test_networks_can_be_denied():
    assert ONLY_OUTSIDE.refusal_of_url("http://127.0.0.1:4000")
    assert ONLY_OUTSIDE.refusal_of_url("http://0.0.0.0:4000")
    assert ONLY_OUTSIDE.refusal_of_url("http://[::ffff:10.0.0.1]")
    assert "GATEWAY_OUTBOUND_DENY" in ONLY_OUTSIDE.refusal(ip_address("fd12::1"))
    assert ONLY_OUTSIDE.refusal(ip_address("8.8.8.8")) == ""


def test_what_is_allowed_goes_before_what_is_denied():
    assert LISTED_ONLY.refusal(ip_address("192.0.2.7")) == ""
    assert LISTED_ONLY.refusal(ip_address("198.51.100.7"))
    assert LISTED_ONLY.refusal(ip_address("2001:db8::1"))


def test_a_metadata_address_can_be_allowed_by_its_number_and_is_then_allowed_by_name_too():
    assert METADATA_OPEN.refusal_of_url("http://169.254.169.254/") == ""
    assert METADATA_OPEN.refusal_of_url("http://metadata.google.internal/") == ""
    assert METADATA_OPEN.refusal_of_url("http://169.254.170.2/")


def test_an_unknown_word_is_told():
    with pytest.raises(ValueError, match="intranet"):
        read_networks(["intranet"])


@given(st.integers(min_value=0, max_value=2**32 - 1))
def test_an_address_and_the_same_address_mapped_get_one_answer(number):
    for rules in (AT_FIRST, ONLY_OUTSIDE, LISTED_ONLY):
        plain = rules.refusal(ip_address(number))
        assert rules.refusal(ip_address((0xFFFF << 32) | number)) == plain


@pytest.mark.parametrize(
    "prefix", ["64:ff9b::", "64:ff9b:1::", "::ffff:0:0:0", "2001:db8::5efe:0:0"]
)
@given(number=st.integers(min_value=1 << 24, max_value=2**32 - 1))
def test_what_a_translator_leads_to_is_refused_where_it_would_be_alone(prefix, number):
    for rules in (AT_FIRST, ONLY_OUTSIDE):
        plain = rules.refusal(ip_address(number))
        assert rules.refusal(ip_address(int(ip_address(prefix)) | number)) == plain


@given(st.text(max_size=60))
def test_any_text_gets_an_answer(text):
    assert isinstance(AT_FIRST.refusal_of_url("http://" + text), str)
