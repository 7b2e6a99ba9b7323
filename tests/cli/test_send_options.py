"""``send --hex``, ``--repeat`` and ``--wait``."""

from __future__ import annotations

import socket
import ssl
import threading

import pytest

from aionet.cli import main

from ..conftest import TLSFiles
from .conftest import Feed, Served
from .test_send import peer


def test_hex_is_typed_and_dumped(served: Served, feed: Feed, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["send", "--hex", served.endpoints["echo"], "68 65:6c6c 6f 1b"]) == 0
    out, err = capfd.readouterr()
    line = f"00000000  {'68 65 6c 6c 6f 1b':<46}    |hello.|\n"
    assert (out, err) == (f"< {line}", f"> {line}")
    feed(b"6869\n00\n")
    assert main(["send", "--hex", served.endpoints["datagram"]]) == 0
    assert capfd.readouterr().out.splitlines()[-1].startswith("< 00000002  00 ")


def test_hex_with_a_codec_shows_messages(capfd: pytest.CaptureFixture[str]) -> None:
    with peer(lambda sock: sock.sendall(sock.recv(100))) as endpoint:
        assert main(["send", "--hex", "--codec", "length:2", endpoint, "0a"]) == 0
    assert capfd.readouterr().out.endswith("|.|\n")


def test_hex_that_is_none(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["send", "--hex", served.endpoints["echo"], "hello"]) == 2
    assert "is no hex: hexadecimal digits in pairs are needed" in capfd.readouterr().err


def test_repeat(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["send", "--codec", "line", "--repeat", "3", served.endpoints["echo"], "hi"]) == 0
    assert capfd.readouterr().out == "hi\n" * 3
    assert main(["send", "--repeat", "3", served.endpoints["datagram"], "hi"]) == 0
    assert capfd.readouterr().out == "hi" * 3
    assert main(["send", "--repeat", "3", served.endpoints["echo"]]) == 2
    assert "--repeat repeats TEXT" in capfd.readouterr().err


@pytest.mark.parametrize("tls", [False, True])
def test_wait_ends_it_after_an_answer(tls: bool, tls_files: TLSFiles, capfd: pytest.CaptureFixture[str]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls_files.server_cert, tls_files.server_key)
    left = threading.Event()

    def answer_and_stay(sock: socket.socket) -> None:
        conn = context.wrap_socket(sock, server_side=True) if tls else sock
        conn.sendall(conn.recv(2).upper())
        left.wait(10)
        conn.close()

    options = ["--ca", str(tls_files.ca)] if tls else []
    with peer(answer_and_stay) as endpoint:
        place = endpoint.replace("tcp", "tls") if tls else endpoint
        # Not the server's goodbye is waited for, nor the first answer's --timeout.
        thread = threading.Timer(0.5, left.set)
        thread.start()
        assert main(["send", place, "hi", "--wait", "0", "--timeout", "60", *options]) == 0
        left.set()
        thread.join()
    assert capfd.readouterr().out == "HI"


def test_wait_does_not_shorten_the_first_answer(capfd: pytest.CaptureFixture[str]) -> None:
    asked = threading.Event()

    def late(sock: socket.socket) -> None:
        sock.recv(2)
        asked.wait(0.2)
        sock.sendall(b"at last")

    with peer(late) as endpoint:
        assert main(["send", endpoint, "hi", "--wait", "0"]) == 0
    assert capfd.readouterr().out == "at last"


def test_over_websocket_a_line_is_a_message(served: Served, feed: Feed, capfd: pytest.CaptureFixture[str]) -> None:
    endpoint = served.endpoints["echo-ws"]
    assert endpoint.startswith("ws://")
    assert main(["send", endpoint, "grüße"]) == 0
    assert capfd.readouterr() == ("grüße\n", "")
    feed(b"one\ntwo\n")
    assert main(["send", endpoint]) == 0
    assert capfd.readouterr().out == "one\ntwo\n"
    assert main(["send", "--codec", "json", endpoint, '{"a": 1}']) == 0
    assert capfd.readouterr().out == '{"a": 1}\n'
    assert main(["send", "--hex", endpoint, "00ff"]) == 0
    assert capfd.readouterr().out.startswith("< 00000000  00 ff ")
    assert main(["send", endpoint.replace("/echo", "/nothing"), "hi"]) == 3
    assert "no WebSocket there: the answer was '404 Not Found'" in capfd.readouterr().err


def test_listening_to_a_websocket_client(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        endpoint = f"ws://127.0.0.1:{free.getsockname()[1]}/in"
    listener = threading.Thread(
        target=lambda: codes.append(main(["send", "--listen", "--wait", "0.1", endpoint, "hello"]))
    )
    codes: list[int] = []
    listener.start()
    for _ in range(200):
        code = main(["send", "--wait", "0.1", endpoint, "hi"])
        if code != 3:
            break
    listener.join(10)
    assert (code, codes) == (0, [0])
    said = capfd.readouterr().out
    assert "hello\n" in said
    assert "hi\n" in said
