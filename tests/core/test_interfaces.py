"""Own addresses: loopback is always among them, and the kernel's reply is read to its end."""

import socket
import struct

import pytest

from aionet.core import interfaces
from aionet.core.interfaces import OwnAddress, own_addresses, parse_addresses


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + body + bytes(-len(body) % 4)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def address(family: int, prefix: int, index: int, *attributes: bytes) -> bytes:
    return message(20, struct.pack("=BBBBI", family, prefix, 0, 0, index) + b"".join(attributes))


DONE = message(3, bytes(4))


def test_loopback_is_there() -> None:
    assert OwnAddress("lo", "127.0.0.1", 8) in own_addresses()


def test_ipv4_ipv6_a_link_local_one_and_a_point_to_point_link() -> None:
    ours, theirs = socket.inet_aton("10.0.0.1"), socket.inet_aton("10.0.0.2")
    data = address(socket.AF_INET, 32, 3, attribute(1, theirs), attribute(3, b"tun0\0"), attribute(2, ours))
    data += address(socket.AF_INET6, 64, 2, attribute(1, socket.inet_pton(socket.AF_INET6, "fe80::1")))
    data += address(socket.AF_INET6, 128, 9, attribute(1, socket.inet_pton(socket.AF_INET6, "2001:db8::1")))
    found, done = parse_addresses(data, {2: "eth0", 3: "tun0"})
    assert not done
    assert found == [
        OwnAddress("tun0", "10.0.0.1", 32),
        OwnAddress("eth0", "fe80::1%eth0", 64),
        OwnAddress("9", "2001:db8::1", 128),
    ]
    assert parse_addresses(DONE, {}) == ([], True)


def test_other_families_and_broken_attributes_are_passed_over() -> None:
    assert parse_addresses(address(17, 0, 1, attribute(1, bytes(6))), {}) == ([], False)
    assert parse_addresses(address(socket.AF_INET, 8, 1, bytes(4)), {}) == ([], False)
    assert parse_addresses(bytes(16), {}) == ([], True)


def test_without_netlink_the_system_is_asked_which_address_it_would_send_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_NETLINK")
    assert interfaces.own_addresses()[0] == OwnAddress("", "127.0.0.1", 8)
