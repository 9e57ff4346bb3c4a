"""Which addresses the gateway may call: a judgment over numbers and names, which asks nobody.

Theory of operation. A provider's base URL and a budget's webhook are words that somebody entered, and the gateway
calls them from inside the network. Loopback and private networks are allowed at first, because LiteLLM and Ollama
live there. Link-local addresses, where clouds hand out credentials to whoever asks, other metadata addresses, and
what is no address of one machine are refused, unless the operator allows them by number. A URL is judged when it is
saved, which tells people early; what a name leads to is judged again, as a number, each time a connection is opened,
which is what protects (a name may lead elsewhere tomorrow).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LOOPBACK = ("127.0.0.0/8", "::1/128")
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
EVERYTHING = ("0.0.0.0/0", "::/0")
WORDS = {
    word: tuple(ip_network(text) for text in texts)
    for word, texts in {
        "loopback": LOOPBACK,
        "private": PRIVATE,
        "everything": EVERYTHING,
    }.items()
}

LINK_LOCAL = "link-local, where clouds keep their metadata"
METADATA = "a cloud's metadata address"
NO_MACHINE = "no address of one machine"
# Read on the clouds' own pages, November 2026.
REFUSED_AT_FIRST: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(text), why)
    for text, why in (
        ("169.254.0.0/16", LINK_LOCAL),  # AWS, Google, Azure, Oracle, DigitalOcean, ECS tasks
        ("fe80::/10", LINK_LOCAL),
        ("fd00:ec2::/32", METADATA),  # AWS over IPv6: instances, EKS pods, DNS, time
        ("fd20:ce::254/128", METADATA),  # Google over IPv6
        ("100.100.100.200/32", METADATA),  # Alibaba
        ("168.63.129.16/32", METADATA),  # Azure's wire server
        ("192.0.0.192/32", METADATA),  # Oracle, older shapes
        ("224.0.0.0/4", NO_MACHINE),
        ("240.0.0.0/4", NO_MACHINE),
        ("ff00::/8", NO_MACHINE),
    )
)
METADATA_NAMES = frozenset(
    {"metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"}
)
METADATA_ADDRESS = IPv4Address("169.254.169.254")
THIS_NETWORK = ip_network("0.0.0.0/8")
# Prefixes whose last 32 bits are the IPv4 address: RFC 6052's well-known one, and RFC 2765's "IPv4-translated".
ENDS_IN_IPV4 = (ip_network("64:ff9b::/96"), ip_network("::ffff:0:0:0/96"))
COMPATIBLE = ip_network("::/96")
# RFC 8215: a network's own translator, which may use any of RFC 6052's lengths below it.
LOCAL_NAT64 = ip_network("64:ff9b:1::/48")
LOCAL_NAT64_BYTES = ((6, 7, 9, 10), (7, 9, 10, 11), (9, 10, 11, 12), (12, 13, 14, 15))
"""Where the IPv4 address stands for prefixes of 48, 56, 64 and 96 bits (RFC 6052, 2.2); byte 8 is left out."""
ISATAP = frozenset({0x00005EFE, 0x02005EFE})
"""What stands before the IPv4 address in the last 64 bits (RFC 5214, 6.1), whatever the prefix."""
LIKE_A_NUMBER = re.compile(r"(?:.*\.)?(?:0[xX][0-9a-fA-F]*|[0-9]+)")
"""A host whose last part is a number is read as an address by browsers and resolvers alike, also in octal or hex."""


@dataclass(frozen=True, slots=True)
class AddressRules:
    """What the operator says: allowed goes before denied, and both before what is refused at first."""

    allowed: tuple[Network, ...] = ()
    denied: tuple[Network, ...] = ()

    def refusal(self, address: Address) -> str:
        """Why the address may not be called; empty where it may."""
        for form in forms_of(address):
            why = self._refusal(form)
            if why:
                return why
        return ""

    def _refusal(self, address: Address) -> str:
        if any(address in network for network in self.allowed):
            return ""
        if any(address in network for network in self.denied):
            return "in a network of GATEWAY_OUTBOUND_DENY"
        return next((why for network, why in REFUSED_AT_FIRST if address in network), "")

    def refusal_of_url(self, url: str) -> str:
        """Why the URL may not be saved, as far as it can be told without asking for its name; empty where it may."""
        try:
            parts = urlsplit(url)
            host = (parts.hostname or "").rstrip(".")
            _port = parts.port  # a wrong one is told here
        except ValueError as error:
            return f"no address: {error}"
        if not host:
            return "no address: it names no host"
        if parts.username is not None or parts.password is not None:
            return "with a user name, which hides where it leads"
        return self._refusal_of_host(host)

    def _refusal_of_host(self, host: str) -> str:
        try:
            address = ip_address(host)
        except ValueError:
            if LIKE_A_NUMBER.fullmatch(host):
                return "a number in an unusual notation: write it as four decimal numbers"
            is_metadata = host in METADATA_NAMES and self.refusal(METADATA_ADDRESS)
            return METADATA if is_metadata else ""
        return self.refusal(address)


def forms_of(address: Address) -> list[Address]:
    """The address, and those that are packed into it: what an IPv6 address leads to may be an IPv4 one."""
    if isinstance(address, IPv4Address):
        return [IPv4Address("127.0.0.1") if address in THIS_NETWORK else address]
    if address.ipv4_mapped is not None:  # the same thing in other words
        return forms_of(address.ipv4_mapped)
    if address == IPv6Address("::"):
        return [IPv6Address("::1")]
    return [address, *(form for inside in _packed_into(address) for form in forms_of(inside))]


def _packed_into(address: IPv6Address) -> list[IPv4Address]:
    """Every IPv4 address that a relay or translator may read out of it."""
    found = []
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address.teredo is not None:
        found.append(address.teredo[1])
    number = int(address)
    if (
        any(address in network for network in ENDS_IN_IPV4)
        or (address in COMPATIBLE and number > 0xFFFF)
        or (number >> 32 & 0xFFFFFFFF) in ISATAP
    ):
        found.append(IPv4Address(number & 0xFFFFFFFF))
    if address in LOCAL_NAT64:
        # Which length is in use cannot be told from outside, so that all count; the zeros of a longer prefix do not.
        read = (IPv4Address(bytes(address.packed[at] for at in at_s)) for at_s in LOCAL_NAT64_BYTES)
        found += [inside for inside in read if inside not in THIS_NETWORK]
    return found


def read_networks(words: Sequence[str]) -> tuple[Network, ...]:
    """Addresses, networks, and the words loopback, private and everything.

    Raises:
        ValueError: a word is none of them.
    """
    networks: list[Network] = []
    for word in words:
        networks += WORDS.get(word) or (ip_network(word, strict=False),)
    return tuple(networks)
