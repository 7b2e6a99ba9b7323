"""Many datagrams a call: what arrives is what was sent, whichever way it passes, merged or not."""

from __future__ import annotations

import contextlib
import errno
import gc
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aionet.core._datagrams import ManyACall
from aionet.core.datagram_calls import SLOTS, OneByOne, datagram_calls
from aionet.core.datagram_queue import Datagram

Calls = ManyACall | OneByOne
HOSTS: dict[int, str] = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
UDP_SEGMENT = 103


def fail(exc: OSError) -> None:
    raise exc


def many() -> ManyACall:
    calls = datagram_calls()
    assert isinstance(calls, ManyACall)
    return calls


@contextlib.contextmanager
def pair(family: int = socket.AF_INET) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two bound sockets."""
    with socket.socket(family, socket.SOCK_DGRAM) as one, socket.socket(family, socket.SOCK_DGRAM) as other:
        for sock in (one, other):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            sock.bind((HOSTS[family], 0))
            sock.setblocking(False)
        yield one, other


def receive_all(calls: Calls, sock: socket.socket) -> list[Datagram]:
    found: list[Datagram] = []
    while True:
        datagrams, size, _ = calls.receive(sock, SLOTS, fail)
        assert size == sum(len(data) for data, _ in datagrams)
        if not datagrams:
            return found
        found += datagrams


@pytest.mark.parametrize("family", HOSTS)
@pytest.mark.parametrize("merging", [True, False])
@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.sampled_from([0, 1, 2, 700, 1200, 9000, 65000, 65507]), min_size=1, max_size=SLOTS))
def test_what_arrives_is_what_was_sent(family: int, merging: bool, sizes: list[int]) -> None:
    sizes = sizes if sum(sizes) < 1_000_000 else sizes[:8]
    with pair(family) as (one, other):
        if merging:
            many().allow_merging(other)
        sent = [(bytes([number]) * size, other.getsockname()) for number, size in enumerate(sizes)]
        taken, size, refused = many().send(one, sent, 1 << 16, fail)
        assert (taken, size, refused) == (len(sizes), sum(sizes), False)
        assert receive_all(many(), other) == [(data, one.getsockname()) for data, _ in sent]


@pytest.mark.parametrize("calls", [many, OneByOne])
def test_from_many_peers(calls: Callable[[], Calls]) -> None:
    with contextlib.ExitStack() as stack:
        receiver, _ = stack.enter_context(pair())
        senders = [stack.enter_context(pair())[0] for _ in range(9)]
        for round_ in range(3):
            for sender in senders:
                sender.sendto(b"%d" % round_, receiver.getsockname())
        found = receive_all(calls(), receiver)
    assert [data for data, _ in found] == [b"0"] * 9 + [b"1"] * 9 + [b"2"] * 9
    assert len({peer for _, peer in found}) == 9


def test_both_families_in_turn() -> None:
    with pair(socket.AF_INET) as (four, four_peer), pair(socket.AF_INET6) as (six, six_peer):
        for _ in range(3):
            for sender, receiver in ((four, four_peer), (six, six_peer), (four, four_peer)):
                many().send(sender, [(b"a", receiver.getsockname()), (b"bc", receiver.getsockname())], 0, fail)
                expected = [(b"a", sender.getsockname()), (b"bc", sender.getsockname())]
                assert receive_all(many(), receiver) == expected


def test_merged_by_the_sender_itself() -> None:
    with pair() as (one, other):
        many().allow_merging(other)
        one.sendmsg([b"abcabcab"], [(socket.SOL_UDP, UDP_SEGMENT, struct.pack("=H", 3))], 0, other.getsockname())
        found, size, merged = many().receive(other, SLOTS, fail)
        assert ([data for data, _ in found], size, merged) == ([b"abc", b"abc", b"ab"], 8, True)
        one.sendto(b"plain", other.getsockname())
        assert many().receive(other, SLOTS, fail) == ([(b"plain", one.getsockname())], 5, False)


def test_equal_datagrams_leave_as_one_message_and_arrive_as_many() -> None:
    with pair() as (one, other):
        assert many().send(one, [(b"x" * 100, other.getsockname())] * SLOTS, 1 << 16, fail)[0] == SLOTS
        assert many().messages == 1
        assert receive_all(many(), other) == [(b"x" * 100, one.getsockname())] * SLOTS  # no UDP_GRO on this side
        many().send(one, [(b"x" * 100, other.getsockname())] * 3, 99, fail)  # longer than may be merged
        assert many().messages == 3


def test_where_one_is_refused_those_before_it_were_taken() -> None:
    with pair() as (one, other):
        to = other.getsockname()
        batch = [(b"1", to), (b"22", to), (b"x" * 65508, to), (b"4", to)]  # the third is longer than UDP carries
        assert many().send(one, batch, 1 << 16, fail) == (2, 3, False)
        assert [data for data, _ in receive_all(many(), other)] == [b"1", b"22"]
        merged = [(b"x" * 30_000, to)] * 2
        one.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
        one.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_NO_CHECK", 11), 1)  # no checksum: cannot be taken apart
        assert many().send(one, merged, 1 << 16, fail) == (0, 0, True)
        assert many().send(one, merged, 0, fail) == (2, 60_000, False)


@pytest.mark.parametrize("peer", [("localhost", 9), ("127.0.0.1", 70_000), ("::1", 9), (7, 9), ("127.0.0.1",), "path"])
def test_a_peer_that_is_no_address_stops_the_batch(peer: Any) -> None:
    with pair() as (one, other):
        batch = [(b"1", other.getsockname()), (b"2", peer)]
        assert many().send(one, batch, 0, fail) == (1, 1, False)
        assert many().send(one, batch[1:], 0, fail) == (0, 0, False)


def test_an_icmp_refusal_is_told_and_nothing_is_lost() -> None:
    with pair() as (one, other):
        one.connect(other.getsockname())
        other.close()
        one.send(b"x")
        told: list[OSError] = []
        assert many().send(one, [(b"a", None), (b"b", None)], 0, told.append) == (0, 0, False)
        assert [exc.errno for exc in told] == [errno.ECONNREFUSED]
        assert many().send(one, [(b"a", None)], 0, told.append) == (1, 1, False)
        assert many().receive(one, SLOTS, told.append) == ([], 0, False)
        assert [exc.errno for exc in told] == [errno.ECONNREFUSED] * 2
        assert many().receive(one, SLOTS, fail) == ([], 0, False)


def test_addresses_of_many_peers_are_forgotten_and_learnt_anew() -> None:
    """Their number is bounded: nobody can fill our memory by forging senders."""
    with pair() as (one, other):
        for port in range(1, 3 * 4096):
            many().send(one, [(b"x", ("127.0.0.1", port))], 0, fail)
        many().send(one, [(b"x", other.getsockname())], 0, fail)
        assert receive_all(many(), other) == [(b"x", one.getsockname())]
        assert sum(len(each) for each in gc.get_referents(many()) if isinstance(each, dict)) <= 2 * 4096


def test_names_outlive_the_call_that_forgets_them() -> None:
    """More peers in one batch than are remembered at once: their addresses must not go with the memory of them."""
    with pair() as (one, other):
        for port in range(1, 4096):
            many().send(one, [(b"x", ("127.0.0.1", port))], 0, fail)
        batch = [
            (b"%d" % number, other.getsockname() if number % 2 else ("127.0.0.2", 20_000 + number))
            for number in range(64)
        ]
        assert many().send(one, batch, 0, fail)[0] == 64
        assert [data for data, _ in receive_all(many(), other)] == [b"%d" % number for number in range(1, 64, 2)]


def test_more_than_fit_into_one_call_are_left() -> None:
    with pair() as (one, other):
        assert many().send(one, [(b"x", other.getsockname())] * 100, 1 << 16, fail) == (SLOTS, SLOTS, False)
        assert len(receive_all(many(), other)) == SLOTS


def test_a_peer_that_cannot_be_looked_up_stops_the_batch() -> None:
    with pair() as (one, other):
        unhashable: Any = ("127.0.0.1", [])
        assert many().send(one, [(b"1", other.getsockname()), (b"2", unhashable)], 0, fail) == (1, 1, False)
