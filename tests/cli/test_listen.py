"""``send --listen`` against the tools it is to replace, and against itself."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aionet.cli import main

from ..conftest import TLSFiles
from ..tools import require
from .conftest import ROOT


class Listener:
    """A running ``send --listen``: where it listens, and what became of it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        self.process = process
        line = process.stderr.readline().decode()
        assert line.startswith("listening on "), line
        self.endpoint = line.removeprefix("listening on ").strip()
        self.port = int(self.endpoint.rpartition(":")[2]) if not self.endpoint.startswith("unix") else 0

    def finish(self) -> tuple[int, bytes, str]:
        """Exit code, standard output, and the rest of standard error."""
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err.decode()


@contextmanager
def listening(endpoint: str, *args: str, feed: bytes | None = None) -> Iterator[Listener]:
    process = subprocess.Popen(
        [sys.executable, "-m", "aionet", "send", "--listen", endpoint, *args],
        cwd=ROOT,
        stdin=subprocess.DEVNULL if feed is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        if feed is not None:
            assert process.stdin is not None
            process.stdin.write(feed)
            process.stdin.close()
            process.stdin = None
        yield Listener(process)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def read_all(sock: socket.socket) -> bytes:
    data = b""
    while chunk := sock.recv(65_536):
        data += chunk
    return data


def test_nc_sends_a_file() -> None:
    data = bytes(range(256)) * 200  # less than a pipe holds
    with listening("tcp://127.0.0.1:0") as listener:
        subprocess.run([require("nc"), "-N", "127.0.0.1", str(listener.port)], input=data, check=True, timeout=20)
        code, out, err = listener.finish()
    assert (code, out) == (0, data)
    assert err.startswith("connected: 127.0.0.1:")


def test_the_input_goes_to_the_peer_who_is_listened_to_until_it_closes() -> None:
    with (
        listening("tcp://127.0.0.1:0", feed=b"question\n") as listener,
        socket.create_connection(("127.0.0.1", listener.port), 10) as sock,
    ):
        assert sock.makefile("rb").readline() == b"question\n"
        sock.sendall(b"answer")
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == b""
        assert listener.finish()[:2] == (0, b"answer")


def test_with_wait_silence_ends_it() -> None:
    with listening("tcp://127.0.0.1:0", "hello", "--wait", "0") as listener:
        with socket.create_connection(("127.0.0.1", listener.port), 10) as sock:
            assert read_all(sock) == b"hello"
        assert listener.finish()[:2] == (0, b"")


def test_unix_and_a_codec(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening(f"unix://{path}", "--codec", "netstring", feed=b"one\ntwo\n") as listener:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(path))
            got = b""
            while len(got) < 12:
                got += sock.recv(100)
            sock.sendall(b"3:abc,")
            sock.shutdown(socket.SHUT_WR)
            assert got + read_all(sock) == b"3:one,3:two,"
        assert listener.finish()[:2] == (0, b"abc\n")
    assert not path.exists()


def test_tls(tls_files: TLSFiles) -> None:
    options = ["--cert", str(tls_files.server_cert), "--key", str(tls_files.server_key), "--wait", "0.2"]
    context = ssl.create_default_context(cafile=str(tls_files.ca))
    with listening("tls://localhost:0", "hello", *options) as listener:
        plain = socket.create_connection(("localhost", listener.port), 10)
        with context.wrap_socket(plain, server_hostname="localhost") as sock:
            sock.sendall(b"hi")
            assert read_all(sock) == b"hello"
        assert listener.finish()[:2] == (0, b"hi")


def test_one_peer_after_another() -> None:
    with listening("tcp://127.0.0.1:0", "hello", "--keep") as listener:
        for name in (b"one", b"two"):
            with socket.create_connection(("127.0.0.1", listener.port), 10) as sock:
                sock.sendall(name)
                sock.shutdown(socket.SHUT_WR)
                assert read_all(sock) == b"hello"
        listener.process.send_signal(signal.SIGINT)
        code, out, err = listener.finish()
    assert (code, out) == (130, b"onetwo")
    assert err.count("connected: ") == 2


def test_a_peer_that_resets_is_said_and_with_keep_the_next_one_is_served() -> None:
    linger = b"\1\0\0\0\0\0\0\0"
    with listening("tcp://127.0.0.1:0", "--keep") as listener:
        for name in (b"", b"two"):
            with socket.create_connection(("127.0.0.1", listener.port), 10) as sock:
                assert listener.process.stderr is not None
                assert listener.process.stderr.readline().startswith(b"connected")
                sock.sendall(name)
                if not name:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    sock.close()
                    assert b"error: the connection failed" in listener.process.stderr.readline()
        assert listener.process.stdout is not None
        assert listener.process.stdout.read(3) == b"two"
        listener.process.send_signal(signal.SIGINT)
        assert listener.finish()[0] == 130


def test_a_peer_that_breaks_the_grammar() -> None:
    with listening("tcp://127.0.0.1:0", "--codec", "netstring") as listener:
        with socket.create_connection(("127.0.0.1", listener.port), 10) as sock:
            sock.sendall(b"nonsense")
            read_all(sock)
        code, _, err = listener.finish()
    assert code == 1
    assert "error: the connection failed" in err


def test_udp_the_first_sender_is_the_peer() -> None:
    with (
        listening("udp://127.0.0.1:0", "--wait", "0.5", feed=b"one\ntwo\n") as listener,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second,
    ):
        first.settimeout(10)
        first.sendto(b"hi", ("127.0.0.1", listener.port))
        assert [first.recv(100), first.recv(100)] == [b"one", b"two"]
        second.sendto(b"me too", ("127.0.0.1", listener.port))
        first.sendto(b"bye", ("127.0.0.1", listener.port))
        assert listener.finish()[:2] == (0, b"hi\nbye\n")


def test_udp_everybody_is_answered_with_keep(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with listening("udp://127.0.0.1:0", "ACK", "--keep") as listener:
        for _ in range(2):
            assert main(["send", listener.endpoint, "hi", "--repeat", "2"]) == 0
        listener.process.send_signal(signal.SIGINT)
        code, out, _ = listener.finish()
    assert (code, out) == (130, b"hi" * 4)
    assert capfdbinary.readouterr().out == b"ACK" * 4


def test_hexadecimal_both_ways() -> None:
    with listening("tcp://127.0.0.1:0", "--hex", "ff 00", "--wait", "0.2") as listener:
        with socket.create_connection(("127.0.0.1", listener.port), 10) as sock:
            sock.sendall(b"\x1b[2J")
            assert read_all(sock) == b"\xff\0"
        code, out, err = listener.finish()
    assert code == 0
    assert out.startswith(b"< 00000000  1b 5b 32 4a ")
    assert "> 00000000  ff 00 " in err


@pytest.mark.parametrize("scheme", ["tcp", "udp"])
def test_nobody_comes(scheme: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["send", "--listen", f"{scheme}://127.0.0.1:0", "--timeout", "0.05"]) == 1
    assert capfd.readouterr().err.endswith("error: nobody came within 0.05 s\nhint: --timeout waits longer\n")


def test_where_nothing_can_listen(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["send", "--listen", f"tcp://127.0.0.1:{port}"]) == 3
    assert main(["send", "--listen", "tls://127.0.0.1:0"]) == 3
    assert main(["send", "--keep", "tcp://127.0.0.1:1", "hi"]) == 2
    err = capfd.readouterr().err
    assert "in use" in err
    assert "TLS needs a certificate" in err
    assert "--keep is for --listen" in err
    assert "Traceback" not in err


def test_a_reader_that_leaves_ends_it() -> None:
    with listening("tcp://127.0.0.1:0") as listener:
        assert listener.process.stdout is not None
        listener.process.stdout.close()
        with socket.create_connection(("127.0.0.1", listener.port), 10) as sock:
            sock.sendall(b"x")
            assert listener.process.wait(20) == 141
        assert listener.process.stderr is not None
        assert b"Traceback" not in listener.process.stderr.read()
        listener.process.stderr.close()
