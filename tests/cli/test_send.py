"""``send`` against real peers: bytes out, bytes back, and a defined answer to every peer that misbehaves."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aionet.cli import main

from ..conftest import TLSFiles
from .conftest import ROOT, Feed, Served


@contextmanager
def peer(serve: Callable[[socket.socket], object]) -> Iterator[str]:
    """A TCP server for one connection, as plain as can be; gives its endpoint."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(10)
                serve(sock)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join(10)


def read_all(sock: socket.socket) -> bytes:
    data = b""
    while chunk := sock.recv(65_536):
        data += chunk
    return data


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def test_text_goes_out_and_comes_back_as_it_is(served: Served, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["send", served.endpoints["echo"], "caf\u00e9 \udcff"]) == 0
    assert capfdbinary.readouterr() == ("caf\u00e9 ".encode() + b"\xff", b"")


def test_stdin_is_binary_safe(served: Served, feed: Feed, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    data = bytes(range(256)) * 200
    feed(data)
    assert main(["send", served.endpoints["echo"]]) == 0
    assert capfdbinary.readouterr().out == data


@pytest.mark.parametrize(
    ("codec", "typed", "wire", "printed"),
    [
        ("line", b"a\nb", b"a\nb\n", b"a\nb\n"),
        ("length:2", b"a\n\xff", b"\0\1a\0\1\xff", b"a\n\xff\n"),
        ("json:netstring", b'{"a": [1]}\n', b'9:{"a":[1]},', b'{"a": [1]}\n'),
    ],
)
def test_lines_typed_are_messages_and_messages_are_printed_as_lines(
    codec: str, typed: bytes, wire: bytes, printed: bytes, feed: Feed, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    got = []

    def echo(sock: socket.socket) -> None:
        got.append(read_all(sock))
        sock.sendall(got[0])

    feed(typed)
    with peer(echo) as endpoint:
        assert main(["send", "--codec", codec, endpoint]) == 0
    assert got == [wire]
    assert capfdbinary.readouterr().out == printed


def test_udp_one_datagram_and_its_answer(served: Served, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["send", served.endpoints["datagram"], "hello"]) == 0
    assert capfdbinary.readouterr().out == b"hello"


def test_udp_a_datagram_a_line(served: Served, feed: Feed, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    feed(b"one\n\xff\n")
    assert main(["send", served.endpoints["datagram"]]) == 0
    assert sorted(capfdbinary.readouterr().out.splitlines()) == [b"one", b"\xff"]


def test_udp_without_an_answer_or_a_listener(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        assert main(["send", f"udp://127.0.0.1:{silent.getsockname()[1]}", "hi", "--timeout", "0.05"]) == 1
        port = silent.getsockname()[1]
    assert capfd.readouterr().err == "error: 0 of 1 datagrams answered within 0.05 s\n"
    assert main(["send", f"udp://127.0.0.1:{port}", "hi"]) == 1
    assert capfd.readouterr().err.startswith("error: the datagram was refused: Connection refused\nhint: nobody")


def test_udp_what_no_datagram_can_carry(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["send", served.endpoints["datagram"], "x" * 70_000]) == 1
    assert capfd.readouterr().err == "error: a datagram has at most 65507 bytes, not 70000\n"
    assert main(["send", served.endpoints["datagram"], "hi", "--codec", "line"]) == 2
    assert "a datagram is a message already" in capfd.readouterr().err


def test_unix_sockets(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    path = tmp_path / "app.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def shout() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.sendall(read_all(sock).upper())

        thread = threading.Thread(target=shout)
        thread.start()
        assert main(["send", f"unix://{path}", "hi"]) == 0
        thread.join(10)
    assert capfdbinary.readouterr().out == b"HI"


def tls_shout(files: TLSFiles) -> Callable[[socket.socket], None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server_cert, files.server_key)
    context.load_verify_locations(files.ca)
    context.verify_mode = ssl.CERT_OPTIONAL

    def shout(sock: socket.socket) -> None:
        try:
            with context.wrap_socket(sock, server_side=True) as wrapped:
                certificate: Any = wrapped.getpeercert() or {}
                subject = dict(pair[0] for pair in certificate.get("subject", ()))
                wrapped.sendall(wrapped.recv(100).upper() + subject.get("commonName", "").encode())
        except OSError:
            return  # the client did not like our certificate

    return shout


def test_tls(tls_files: TLSFiles, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    client = ["--cert", str(tls_files.client_cert), "--key", str(tls_files.client_key)]
    for options, answer in (
        (["--ca", str(tls_files.ca)], b"HI"),
        (["--insecure"], b"HI"),
        (["--ca", str(tls_files.ca), *client], b"HIclient.example.com"),
    ):
        with peer(tls_shout(tls_files)) as endpoint:
            assert main(["send", endpoint.replace("tcp", "tls"), "hi", *options]) == 0
        assert capfdbinary.readouterr().out == answer


def test_tls_that_is_not_to_be_trusted(tls_files: TLSFiles, capfd: pytest.CaptureFixture[str]) -> None:
    with peer(tls_shout(tls_files)) as endpoint:
        assert main(["send", endpoint.replace("tcp", "tls"), "hi", "--ca", str(tls_files.other_ca)]) == 3
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert "certificate" in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["tpc://127.0.0.1:1", "hi"], 4, "hint: did you mean 'tcp'"),
        (["127.0.0.1:1", "hi"], 4, "hint: try tcp://127.0.0.1:1"),
        (["tcp://127.0.0.1:1", "hi", "--ca", "ca.pem"], 4, "tcp has no option 'ca'"),
        (["tls://127.0.0.1:1", "hi", "--ca", "no_such.pem"], 3, "no_such.pem"),
        (["tcp://127.0.0.1:1", "hi", "--codec", "lien"], 2, "did you mean 'line'?"),
        (["unix:///no/such/app.sock", "hi"], 3, "/no/such/app.sock"),
    ],
)
def test_what_cannot_be_asked_for(args: list[str], code: int, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["send", *args]) == code
    err = capfd.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_nobody_listens(capfd: pytest.CaptureFixture[str]) -> None:
    port = closed_port()
    assert main(["send", f"tcp://127.0.0.1:{port}", "hi"]) == 3
    err = capfd.readouterr().err
    assert err.startswith(f"error: cannot reach tcp://127.0.0.1:{port}")
    assert "hint: nobody listens there" in err


def test_text_that_is_no_message(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["send", served.endpoints["echo"], "{", "--codec", "json"]) == 2
    assert "is no message of this codec" in capfd.readouterr().err


def test_a_peer_that_never_answers(capfd: pytest.CaptureFixture[str]) -> None:
    done = threading.Event()
    with peer(lambda sock: (read_all(sock), done.wait(10))) as endpoint:
        assert main(["send", endpoint, "hi", "--timeout", "0.05"]) == 1
        done.set()
    assert capfd.readouterr().err == "error: no answer within 0.05 s\nhint: --timeout waits longer\n"


def test_a_peer_that_answers_and_stays(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    done = threading.Event()

    def stay(sock: socket.socket) -> None:
        sock.sendall(b"so it is")
        done.wait(10)

    with peer(stay) as endpoint:
        assert main(["send", endpoint, "hi", "--timeout", "0.2"]) == 0
        done.set()
    assert capfdbinary.readouterr() == (b"so it is", b"")


def test_a_peer_that_resets(capfd: pytest.CaptureFixture[str]) -> None:
    def reset(sock: socket.socket) -> None:
        sock.recv(2)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with peer(reset) as endpoint:
        assert main(["send", endpoint, "hi"]) == 1
    err = capfd.readouterr().err
    assert err.startswith("error: the connection failed")
    assert "Traceback" not in err


@pytest.mark.parametrize(("reply", "printed"), [(b"5:hello,x", b"hello\n"), (b"5:hello,3:a", b"hello\n")])
def test_a_peer_that_breaks_the_grammar(
    reply: bytes, printed: bytes, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with peer(lambda sock: sock.sendall(reply if read_all(sock) else b"")) as endpoint:
        assert main(["send", endpoint, "hi", "--codec", "netstring"]) == 1
    captured = capfdbinary.readouterr()
    assert captured.out == printed
    assert captured.err.startswith(b"error: the connection failed: ")


def test_a_peer_that_closes_before_it_has_everything(capfd: pytest.CaptureFixture[str]) -> None:
    kept = os.dup(0)
    with Path("/dev/zero").open("rb") as endless:
        os.dup2(endless.fileno(), 0)
    try:
        with peer(lambda sock: sock.sendall(b"enough\n")) as endpoint:
            assert main(["send", endpoint]) == 1
    finally:
        os.dup2(kept, 0)
        os.close(kept)
    err = capfd.readouterr().err
    assert err.startswith(("error: the peer closed the connection before everything", "error: the connection failed"))
    assert "Traceback" not in err


def test_a_peer_that_says_goodbye_but_reads_on_gets_everything(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    got = []

    def sink(sock: socket.socket) -> None:
        sock.sendall(b"go on")
        sock.shutdown(socket.SHUT_WR)
        got.append(len(read_all(sock)))

    (tmp_path / "input").write_bytes(b"x" * 3_000_000)
    kept = os.dup(0)
    with (tmp_path / "input").open("rb") as file:
        os.dup2(file.fileno(), 0)
    try:
        with peer(sink) as endpoint:
            assert main(["send", endpoint]) == 0
    finally:
        os.dup2(kept, 0)
        os.close(kept)
    assert got == [3_000_000]
    assert capfdbinary.readouterr().out == b"go on"


def test_a_peer_that_closes_while_nobody_types(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    reading, writing = os.pipe()
    kept = os.dup(0)
    os.dup2(reading, 0)
    try:
        with peer(lambda sock: sock.sendall(b"bye\n")) as endpoint:
            assert main(["send", endpoint]) == 0
    finally:
        os.dup2(kept, 0)
        for descriptor in (kept, reading, writing):
            os.close(descriptor)
    assert capfdbinary.readouterr() == (b"bye\n", b"")


def test_a_reader_that_leaves_is_no_error(served: Served, tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"x" * 10_000_000)
    with (tmp_path / "input").open("rb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "aionet", "send", served.endpoints["echo"]],
            cwd=ROOT,
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        assert process.stdout.read(10) == b"x" * 10
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.wait(20) == 141


def test_ctrl_c_is_quiet(served: Served) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "aionet", "send", served.endpoints["echo"]],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdin, process.stdout, process.stderr:
        process.stdin.write(b"x")
        assert process.stdout.read(1) == b"x"  # it runs, and waits for more input
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b""
    assert process.wait(20) == 130
