"""Binding: all addresses or none, the right options, and errors that say what to do."""

import asyncio
import errno
import os
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from aionet.core import sockets as module
from aionet.core.sockets import apply_options, bind_datagram, bind_stream
from aionet.endpoint import Endpoint
from aionet.errors import EndpointError

from .sockets_tools import accept_one, bind, open_sockets, refused

pytestmark = pytest.mark.usefixtures("no_leaks")

TCP, SOL = socket.IPPROTO_TCP, socket.SOL_SOCKET


async def test_tcp_is_bound_listening_and_non_blocking() -> None:
    (sock,) = await bind("tcp://127.0.0.1:0")
    with sock:
        assert sock.getsockname()[1] > 0
        assert sock.gettimeout() == 0
        assert sock.proto == TCP
        assert sock.getsockopt(SOL, socket.SO_ACCEPTCONN)
        assert sock.getsockopt(SOL, socket.SO_REUSEADDR)


async def test_accepted_sockets_inherit_the_defaults() -> None:
    (sock,) = await bind("tcp://127.0.0.1:0")
    with sock, accept_one(sock) as accepted:
        assert accepted.getsockopt(TCP, socket.TCP_NODELAY)
        assert accepted.getsockopt(SOL, socket.SO_KEEPALIVE)
        assert accepted.getsockopt(TCP, socket.TCP_KEEPIDLE) == 60
        assert accepted.getsockopt(TCP, socket.TCP_KEEPINTVL) == 15
        assert accepted.getsockopt(TCP, socket.TCP_KEEPCNT) == 4


async def test_accepted_sockets_inherit_every_option_set() -> None:
    query = (
        "keepalive_idle=7&keepalive_interval=3&keepalive_count=2&user_timeout=1234&rcvbuf=30000&sndbuf=40000&nodelay=0"
    )
    (sock,) = await bind(f"tcp://127.0.0.1:0?{query}")
    with sock, accept_one(sock) as accepted:
        assert not accepted.getsockopt(TCP, socket.TCP_NODELAY)
        assert accepted.getsockopt(TCP, socket.TCP_KEEPIDLE) == 7
        assert accepted.getsockopt(TCP, socket.TCP_KEEPINTVL) == 3
        assert accepted.getsockopt(TCP, socket.TCP_KEEPCNT) == 2
        assert accepted.getsockopt(TCP, socket.TCP_USER_TIMEOUT) == 1234
        assert accepted.getsockopt(SOL, socket.SO_RCVBUF) == 60000  # the kernel doubles it (socket(7))
        assert accepted.getsockopt(SOL, socket.SO_SNDBUF) == 80000


async def test_keepalive_can_be_switched_off() -> None:
    (sock,) = await bind("tls://127.0.0.1:0?keepalive=0")
    with sock, accept_one(sock) as accepted:
        assert not accepted.getsockopt(SOL, socket.SO_KEEPALIVE)


def test_options_hold_for_clients_too() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, TCP) as sock:
        apply_options(sock, Endpoint.parse("tcp://127.0.0.1:1?keepalive_count=9"))
        assert sock.getsockopt(TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(TCP, socket.TCP_KEEPCNT) == 9
        assert not sock.getsockopt(SOL, socket.SO_REUSEADDR)


async def test_a_name_is_bound_at_all_its_addresses_on_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "127.0.0.1", "127.0.0.2", "::1")
    for scheme in ("tcp", "udp"):
        with ExitStack() as stack:
            found = [
                stack.enter_context(closing(sock)).getsockname()[:2] for sock in await bind(f"{scheme}://some.name:0")
            ]
            assert [host for host, _ in found] == ["127.0.0.1", "127.0.0.2", "::1"]
            assert len({port for _, port in found}) == 1


async def test_another_port_is_tried_when_the_second_address_has_it_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "127.0.0.1", "127.0.0.2")
    real, calls = module._bind_one, []

    def taken_at_first(*args: object) -> socket.socket:
        calls.append(args)
        if len(calls) == 2:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_bind_one", taken_at_first)
    first, second = await bind("tcp://some.name:0")
    with first, second:
        assert len(calls) == 4
        assert first.getsockname()[1] == second.getsockname()[1]


async def test_one_address_taken_means_none_is_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "127.0.0.1", "127.0.0.2")
    with socket.create_server(("127.0.0.2", 0)) as other:
        port = other.getsockname()[1]
        error = await refused(f"tcp://some.name:{port}")
        assert error.errno == errno.EADDRINUSE
        with socket.create_server(("127.0.0.1", port)):
            pass  # given back


async def test_an_ipv6_address_this_machine_lacks_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "2001:db8::1", "127.0.0.1")
    (sock,) = await bind("tcp://some.name:0")
    with sock:
        assert sock.getsockname()[0] == "127.0.0.1"


async def test_localhost() -> None:
    with ExitStack() as stack:
        found = [stack.enter_context(closing(sock)) for sock in await bind("tcp://localhost:0")]
        assert "127.0.0.1" in {sock.getsockname()[0] for sock in found}


async def test_every_address_is_one_dual_stack_socket() -> None:
    (sock,) = await bind("tcp://*:0")
    with sock:
        port = sock.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()
        if sock.family == socket.AF_INET6:
            socket.create_connection(("::1", port)).close()


async def test_ipv6only_leaves_ipv4_alone() -> None:
    (sock,) = await bind("tcp://*:0?ipv6only=1")
    with sock, socket.create_server(("0.0.0.0", sock.getsockname()[1])):
        assert sock.family == socket.AF_INET6


async def test_without_ipv6_every_address_is_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    (sock,) = await bind("udp://*:0")
    with sock:
        assert sock.family == socket.AF_INET


async def test_reuse_port_lets_two_bind() -> None:
    (first,) = await bind("udp://127.0.0.1:0?reuse_port=1")
    with first:
        (second,) = await bind(f"udp://127.0.0.1:{first.getsockname()[1]}?reuse_port=1")
        second.close()


async def test_udp_does_not_share_its_port_unasked() -> None:
    (first,) = await bind("udp://127.0.0.1:0")
    with first:
        error = await refused(f"udp://127.0.0.1:{first.getsockname()[1]}")
    assert "ss -lunp" in str(error.hint)


async def test_backlog_of_the_endpoint_wins() -> None:
    (sock,) = await bind("tcp://127.0.0.1:0?backlog=1")
    with sock:
        unacked_sacked = sock.getsockopt(TCP, socket.TCP_INFO, 104)[24:32]  # of a listener: queued, and the backlog
        assert int.from_bytes(unacked_sacked[4:], sys.byteorder) == 1


# -- errors -----------------------------------------------------------------------------------------------------------


async def test_port_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        error = await refused(f"tcp://127.0.0.1:{port}")
    assert str(error) == f"cannot listen on tcp://127.0.0.1:{port}: address already in use"
    assert error.errno == errno.EADDRINUSE
    assert "ss -ltnp" in str(error.hint)


@pytest.mark.parametrize(
    ("code", "text", "hint"),
    [
        (errno.EACCES, "permission denied", "below 1024"),
        (errno.EMFILE, "too many open files", "ulimit -n"),
        (errno.EAFNOSUPPORT, "address family not supported by protocol", "IPv4"),
    ],
)
async def test_refusals(monkeypatch: pytest.MonkeyPatch, code: int, text: str, hint: str) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(module, "_bind_one", refuse)
    error = await refused("tcp://127.0.0.1:80")
    assert str(error) == f"cannot listen on tcp://127.0.0.1:80: {text}"
    assert error.errno == code
    assert hint in str(error.hint)


async def test_no_such_address() -> None:
    error = await refused("tcp://192.0.2.77:0")
    assert error.errno == errno.EADDRNOTAVAIL
    assert "'*'" in str(error.hint)


async def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    error = await refused("tcp://no.such.name.invalid:0")
    assert str(error).endswith("name or service not known")
    assert "no.such.name.invalid" in str(error.hint)
    assert error.errno is None


async def test_what_is_no_name_at_all() -> None:
    error = await refused(f"tcp://{'a' * 70}.invalid:0")
    assert "check the name" in str(error.hint)


async def test_an_option_the_system_refuses() -> None:
    error = await refused("tcp://127.0.0.1:0?keepalive_count=1000")
    assert error.errno == errno.EINVAL


async def test_stream_and_datagram_are_not_mixed_up() -> None:
    with pytest.raises(EndpointError, match="is no stream"):
        await bind_stream(Endpoint.parse("udp://127.0.0.1:0"), backlog=1)
    with pytest.raises(EndpointError, match="carries no datagrams"):
        await bind_datagram(Endpoint.parse("tcp://127.0.0.1:0"))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("udp://239.1.2.3:0?interface=nosuch0", "no interface 'nosuch0'"),
        ("udp://127.0.0.1:0?ttl=256", "at most 255"),
        ("udp://[ff02::4242]:0?interface=127.0.0.1", "interface's name"),
    ],
)
async def test_datagram_options_that_cannot_be(text: str, match: str) -> None:
    before = open_sockets()
    with pytest.raises(EndpointError, match=match):
        await bind(text)
    assert open_sockets() == before


# -- fd ---------------------------------------------------------------------------------------------------------------


async def test_fd_is_duplicated_and_stays_its_owners() -> None:
    with socket.create_server(("127.0.0.1", 0)) as owner:
        (sock,) = await bind(f"fd://{owner.fileno()}")
        with sock:
            assert (sock.family, sock.type, sock.proto) == (socket.AF_INET, socket.SOCK_STREAM, TCP)
            assert sock.fileno() != owner.fileno()
            with accept_one(sock) as accepted:
                assert accepted.getsockopt(TCP, socket.TCP_NODELAY)
        assert owner.getsockopt(SOL, socket.SO_ACCEPTCONN)


async def test_fd_of_a_unix_socket(tmp_path: Path) -> None:
    (owner,) = await bind(f"unix://{tmp_path}/s")
    with owner:
        (sock,) = await bind(f"fd://{owner.fileno()}?backlog=5")
        with sock:
            assert sock.family == socket.AF_UNIX


async def test_fd_that_is_inherited(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\nfrom aionet.core.sockets import bind_stream\nfrom aionet.endpoint import Endpoint\n"
        "(sock,) = asyncio.run(bind_stream(Endpoint.parse('fd://' + sys.argv[1]), backlog=5))\n"
        "print(sock.getsockname()[1])"
    )
    with socket.create_server(("127.0.0.1", 0)) as owner:
        number = owner.fileno()
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, str(number), pass_fds=[number], stdout=subprocess.PIPE
        )
        assert int((await child.communicate())[0]) == owner.getsockname()[1]


async def test_fd_that_is_no_listening_stream() -> None:
    with socket.socket() as sock:
        assert "not listening" in str(await refused(f"fd://{sock.fileno()}"))
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        assert "no stream" in str(await refused(f"fd://{sock.fileno()}"))
    reading, writing = os.pipe()
    assert (await refused(f"fd://{reading}")).errno == errno.ENOTSOCK
    os.close(reading)
    os.close(writing)
    error = await refused("fd://1048576")
    assert error.errno == errno.EBADF
    assert "pass_fds" in str(error.hint)


# -- multicast --------------------------------------------------------------------------------------------------------


async def test_two_receivers_of_a_group() -> None:
    (first,) = await bind("udp://239.255.42.42:0?interface=127.0.0.1&reuse_address=1")
    with first:
        port = first.getsockname()[1]
        assert "reuse_address" in str((await refused(f"udp://239.255.42.42:{port}?interface=127.0.0.1")).hint)
        (second,) = await bind(f"udp://239.255.42.42:{port}?interface=lo&reuse_address=1&ttl=3")
        with second:
            assert second.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) == 3


async def test_broadcast() -> None:
    (sock,) = await bind("udp://127.0.0.1:0?broadcast=1")
    with sock:
        assert sock.getsockopt(SOL, socket.SO_BROADCAST)


def resolve_to(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    """Let ``some.name`` resolve to these addresses, for both loops."""

    async def resolve(endpoint: Endpoint, *_: object, **__: object) -> list[tuple[int, tuple[object, ...]]]:
        assert endpoint.host == "some.name"
        return [(socket.AF_INET6 if ":" in host else socket.AF_INET, (host, endpoint.port)) for host in hosts]

    monkeypatch.setattr(module, "resolve", resolve)
