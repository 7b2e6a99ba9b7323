from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from aionet.core.socket_facts import SocketOption, read_socket_facts
from aionet.endpoint import OPTIONS

from .sockets_tools import open_sockets


def options(sock: socket.socket) -> dict[str, SocketOption]:
    return {option.name: option for option in read_socket_facts(sock.fileno()).options}


def test_a_tcp_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as sock:
        before = open_sockets()
        facts = read_socket_facts(sock.fileno())
        assert open_sockets() == before
        assert (facts.family, facts.local, facts.peer) == ("IPv4", sock.getsockname(), listener.getsockname())
        assert facts.credentials is None
        assert facts.tcp["cwnd"] > 0
        assert options(sock)["TCP_NODELAY"].value is False
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 17)
        found = options(sock)
    assert found["TCP_NODELAY"] == SocketOption(
        "TCP_NODELAY", True, "", "send small writes at once (default on)", "nodelay"
    )
    assert (found["TCP_KEEPIDLE"].value, found["TCP_KEEPIDLE"].unit) == (17, "s")
    assert found["TCP_CONGESTION"].key is None


@pytest.mark.parametrize(
    ("family", "kind"), [(socket.AF_INET, "tcp"), (socket.AF_INET, "udp"), (socket.AF_UNIX, "unix")]
)
def test_every_option_says_what_it_means_and_its_key_is_one_of_its_scheme(family: int, kind: str) -> None:
    with socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as sock:
        found = options(sock)
    assert {"SO_RCVBUF", "SO_SNDBUF"} <= found.keys()
    for option in found.values():
        assert option.meaning
        assert option.key is None or kind in OPTIONS[option.key].schemes


def test_udp_has_no_tcp_info() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        facts = read_socket_facts(sock.fileno())
    assert (facts.tcp, facts.peer) == ({}, None)
    assert "SO_BROADCAST" in {option.name for option in facts.options}


def test_unix_says_who_listens(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as sock:
        listener.bind(path)
        listener.listen()
        sock.connect(path)
        facts = read_socket_facts(sock.fileno())
    assert (facts.family, facts.peer, facts.tcp) == ("Unix", path, {})
    assert facts.credentials is not None
    assert (facts.credentials.pid, facts.credentials.uid) == (os.getpid(), os.getuid())


def test_what_the_system_does_not_have_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TCP_INFO", "TCP_USER_TIMEOUT", "TCP_KEEPIDLE", "SO_PEERCRED"):
        monkeypatch.delattr(socket, name)
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as sock:
        facts = read_socket_facts(sock.fileno())
    assert facts.tcp == {}
    assert "TCP_NODELAY" in {option.name for option in facts.options}


def test_no_socket() -> None:
    with pytest.raises(OSError, match=r"."):
        read_socket_facts(-1)
    with Path(os.devnull).open("rb") as file, pytest.raises(OSError, match=r"."):
        read_socket_facts(file.fileno())
