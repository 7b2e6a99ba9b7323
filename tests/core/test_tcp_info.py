from __future__ import annotations

import socket
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.core.tcp_info import TCP_INFO_FIELDS, TCP_INFO_SIZE, TCP_STATES, parse_tcp_info


@given(st.binary(max_size=TCP_INFO_SIZE))
def test_any_length_gives_what_is_whole_in_it(data: bytes) -> None:
    found = parse_tcp_info(data)
    ends = {field.name: field.offset + struct.calcsize(f"={field.format}") for field in TCP_INFO_FIELDS}
    assert all(ends[name] <= len(data) for name in found)


def test_an_old_kernel_has_fewer() -> None:
    old = parse_tcp_info(bytes(104))  # Linux 2.6
    assert {"rtt", "cwnd", "total_retrans"} <= old.keys()
    assert not {"min_rtt", "delivery_rate", "bytes_acked"} & old.keys()


def test_numbers_that_are_not_yet_there_are_left_out() -> None:
    data = bytearray(200)
    struct.pack_into("=I", data, 148, 0xFFFF_FFFF)
    struct.pack_into("=I", data, 76, 0x7FFF_FFFF)
    assert not {"min_rtt", "ssthresh"} & parse_tcp_info(bytes(data)).keys()


@pytest.mark.skipif(sys.platform != "linux", reason="the structure is that of Linux")
def test_of_a_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
        with accepted:
            client.sendall(b"x" * 12_345)
            received = 0
            while received < 12_345:
                received += len(accepted.recv(65_536))
            sender, receiver = (
                parse_tcp_info(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_SIZE))
                for sock in (client, accepted)
            )
    assert TCP_STATES[sender["state"]] == "ESTABLISHED"
    assert receiver["bytes_received"] == 12_345
    assert 0 < sender["snd_mss"] <= 1000
    assert sender["rtt"] > 0
    assert sender["cwnd"] > 0
