"""``serve ENDPOINT=one,two``: one process, one port, and clients of every kind."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import trustme

from aionet.endpoint import Endpoint
from tests.routing.hellos import real_hello
from tests.tools import require

from .conftest import ROOT, endpoints, spawn

Connect = Callable[[Endpoint], socket.socket]
PROMPT = b"Enter your username: "


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """An ``auto://`` port of echo, chat and files, with a certificate for localhost."""
    directory = tmp_path_factory.mktemp("shared")
    (directory / "shared_files").mkdir()
    (directory / "shared_files" / "hello.txt").write_bytes(b"hi\n")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(directory / "a.pem")
    process = spawn("serve", f"auto://127.0.0.1:0?cert={directory}/a.pem=echo,chat,files", "--json", cwd=directory)
    try:
        bound = endpoints(process)
        assert set(bound) == {"echo", "chat", "files"}
        assert len(set(bound.values())) == 1
        place = Endpoint.parse(bound["echo"])
        yield Endpoint.parse(f"tls://localhost:{place.port}?ca={directory}/ca.pem")
    finally:
        process.terminate()
        _, err = process.communicate(timeout=20)
        assert process.returncode == 0, err
        assert "Traceback" not in err


def dial(where: Endpoint) -> socket.socket:
    return socket.create_connection(("127.0.0.1", where.port), timeout=20)


def secure(where: Endpoint) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(where.options["ca"]))
    return context.wrap_socket(dial(where), server_hostname="localhost")


def aionet(*args: str, stdin: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-m", "aionet", *args], cwd=ROOT, input=stdin, capture_output=True, text=True, timeout=40,
        check=True,
    )  # fmt: skip
    return done.stdout


def exchange(sock: socket.socket, data: bytes, size: int) -> bytes:
    with sock:
        sock.sendall(data)
        answer = b""
        while len(answer) < size and (more := sock.recv(4096)):
            answer += more
        return answer


@pytest.mark.parametrize("connect", [dial, secure], ids=["plain", "tls"])
@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"hello\n", b"hello\n"),
        (b"z" * 64, b"z" * 64),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        (b"HELLO\n", b"OK "),
        (b"GET nothing\n", b"ERR NOT_FOUND"),
        (b"/who\n", PROMPT),
        (b"", PROMPT),
    ],
    ids=["text", "64-bytes", "two-hosts", "hello", "get", "command", "silence"],
)
def test_first_bytes_reach_their_service(where: Endpoint, connect: Connect, data: bytes, answer: bytes) -> None:
    assert exchange(connect(where), data, len(answer)).startswith(answer)


@pytest.mark.parametrize(("data", "answer"), [(b"GET nothing\n", b"ERR NOT_FOUND"), (b"GETTING\n", b"GETTING\n")])
def test_bytes_that_come_one_by_one_reach_the_same(where: Endpoint, data: bytes, answer: bytes) -> None:
    sock = dial(where)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in data[:-1]:
        sock.sendall(bytes((byte,)))
    assert exchange(sock, data[-1:], len(answer)).startswith(answer)


def test_a_hello_in_many_segments_is_tls_all_the_same(where: Endpoint) -> None:
    context = ssl.create_default_context(cafile=str(where.options["ca"]))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    engine = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with dial(where) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        done = False
        while not done:
            try:
                engine.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            for byte in outgoing.read():
                sock.sendall(bytes((byte,)))
            if not done:
                incoming.write(sock.recv(4096))
        engine.write(b"hello\n")
        sock.sendall(outgoing.read())
        received = b""
        while not received:
            incoming.write(sock.recv(4096))
            try:
                received = engine.read()
            except ssl.SSLWantReadError:
                continue
        assert received == b"hello\n"


def test_half_a_hello_gets_nothing_and_holds_up_nobody(where: Endpoint) -> None:
    hello = real_hello("localhost")
    with dial(where) as half:
        half.sendall(hello[: len(hello) // 2])
        assert exchange(dial(where), b"hello\n", 6) == b"hello\n"
        half.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            assert half.recv(4096) == b""


def test_the_commands_reach_it(where: Endpoint) -> None:
    plain = f"tcp://127.0.0.1:{where.port}"
    assert aionet("send", plain, "hello\n") == "hello\n"
    for url in (plain, str(where)):
        assert "hello.txt" in aionet("ls", url)
        assert "[SERVER] 1 here: ada" in aionet("chat", url, "--name", "ada", stdin="/who\n")


def test_netcat_reaches_it(where: Endpoint) -> None:
    require("nc")
    run = ["nc", "-N", "127.0.0.1", str(where.port)]
    echoed = subprocess.run(run, input=b"hello\n", capture_output=True, timeout=20, check=True).stdout
    assert echoed == b"hello\n"
    listed = subprocess.run(run, input=b"GET hello.txt\n", capture_output=True, timeout=20, check=True).stdout
    assert listed.endswith(b"\nhi\n")
