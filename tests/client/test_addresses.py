"""Addresses: what they are, every way to write them, and whose they are to scan."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.client.addresses import address_facts, is_local, read_packed


@given(st.ip_addresses())
def test_packed_is_what_the_socket_functions_give(address: object) -> None:
    text = str(address)
    facts = address_facts(text)
    family = socket.AF_INET if facts.version == 4 else socket.AF_INET6
    assert bytes.fromhex(facts.packed) == socket.inet_pton(family, text)
    assert facts.number == int.from_bytes(bytes.fromhex(facts.packed), "big")
    assert address_facts(facts.full).number == facts.number


def test_ipv4() -> None:
    facts = address_facts("192.168.1.10")
    assert (facts.kind, facts.packed, facts.number) == ("private", "c0a8010a", 3232235786)
    assert facts.pointer == "10.1.168.192.in-addr.arpa"
    assert (facts.mapped, facts.scope, facts.full) == ("::ffff:192.168.1.10", None, "192.168.1.10")


def test_ipv6_with_a_scope() -> None:
    facts = address_facts("fe80:0::1%eth0")
    assert (facts.address, facts.scope, facts.kind) == ("fe80::1%eth0", "eth0", "link-local")
    assert facts.full == "fe80:0000:0000:0000:0000:0000:0000:0001"
    assert facts.pointer.endswith(".0.8.e.f.ip6.arpa")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("239.1.2.3", "multicast"),
        ("169.254.1.1", "link-local"),
        ("8.8.8.8", "global"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:8.8.8.8", "global"),
        ("fd00::1", "private"),
        ("192.0.2.1", "reserved"),
    ],
)
def test_kinds(text: str, kind: str) -> None:
    assert address_facts(text).kind == kind


@pytest.mark.parametrize("text", "127.9.9.9 10.1.1.1 172.31.0.1 192.168.0.1 169.254.0.1 0.0.0.0 ::1 fd00::1".split())
def test_ones_own(text: str) -> None:
    assert is_local(text)
    if ":" not in text:
        assert is_local(f"::ffff:{text}")


@pytest.mark.parametrize(
    "text", "8.8.8.8 172.32.0.1 100.64.0.1 192.0.2.1 2001:db8::1 ::ffff:8.8.8.8 224.0.0.1 64:ff9b::808:808".split()
)
def test_not_ones_own(text: str) -> None:
    assert not is_local(text)


def test_a_link_local_address_with_its_scope_is_ones_own() -> None:
    assert is_local("fe80::1%eth0")


def test_sixteen_bytes_are_an_ipv6_address() -> None:
    assert read_packed("0x" + "0" * 31 + "1") == "::1"
    assert read_packed("0x7f000001") is None
    assert read_packed("0x" + "g" * 32) is None
