"""``http`` as it is typed: content on stdout as it came, everything said about it on stderr, and harmless."""

from __future__ import annotations

import json
import os
import pty
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from aionet.cli import main

from ..conftest import TLSFiles
from .conftest import ROOT
from .peers import http_server

BINARY = bytes(range(256))
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 256\r\nX-Title: \x1b]0;owned\x07\r\n\r\n" + BINARY
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /%1B[2J\r\nContent-Length: 0\r\n\r\n"
NOT_FOUND = b"HTTP/1.1 404 \x1b[31mGone\r\nContent-Length: 3\r\n\r\nabc"


def test_content_on_stdout_the_rest_on_stderr(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with http_server(REDIRECT, ANSWER) as place:
        assert main(["http", f"http://{place}/"]) == 0
    out, err = capfdbinary.readouterr()
    assert out == BINARY
    assert b"\x1b" not in err
    said = err.decode().splitlines()
    assert said[0] == f"302 redirect from http://{place}/"
    assert said[1] == f"http://{place}/%1B%5B2J at {place}"
    assert said[2:5] == ["HTTP/1.1 200 OK", "Content-Length: 256", "X-Title: \\x1b]0;owned\\x07"]
    assert [line[:10].strip() for line in said[5:9]] == ["look-up", "connect", "first byte", "content"]
    assert said[9].startswith("256 bytes in ")


def test_the_head_before_the_content(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with http_server(ANSWER) as place:
        assert main(["http", "-i", f"http://{place}/"]) == 0
    out, err = capfdbinary.readouterr()
    assert out == ANSWER
    assert b"X-Title" not in err


def test_a_file_is_replaced_when_all_of_it_has_come(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    file.chmod(0o640)
    with http_server(ANSWER[:-1], ANSWER) as place:
        assert main(["http", f"http://{place}/", "-o", str(file)]) == 1
        assert file.read_bytes() == b"old"
        assert "inside its answer" in capfd.readouterr().err
        assert main(["http", f"http://{place}/", "-o", str(file)]) == 0
    assert file.read_bytes() == BINARY
    assert file.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["file"]
    assert capfd.readouterr().out == ""


def test_json(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na\x1bc"
    with http_server(REDIRECT, ANSWER, text, ANSWER) as place:
        assert main(["http", f"http://{place}/", "--json"]) == 0
        assert main(["http", f"http://{place}/", "--json"]) == 0
        assert main(["http", f"http://{place}/", "--json", "-o", str(tmp_path / "file")]) == 0
    captured = capfd.readouterr()
    assert captured.err == ""
    first, second, third = (json.loads(line) for line in captured.out.splitlines())
    assert (first["status"], first["size"], first["tls"]) == (200, 256, None)
    assert first["redirects"] == [{"url": f"http://{place}/", "status": 302}]
    assert ["X-Title", "\x1b]0;owned\x07"] in first["headers"]
    assert first["timings"].keys() == {"lookup", "connect", "tls", "first_byte", "content", "total"}
    assert "content_base64" in first
    assert second["content"] == "a\x1bc"
    assert third["file"] == str(tmp_path / "file")
    assert "content" not in third


def test_a_status_that_says_no(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with http_server(NOT_FOUND) as place:
        assert main(["http", f"http://{place}/"]) == 1
    out, err = capfdbinary.readouterr()
    assert out == b"abc"
    assert err.endswith(b"error: the server answered 404 \\x1b[31mGone\n")


def test_on_a_terminal_nothing_is_obeyed() -> None:
    master, slave = pty.openpty()
    with http_server(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n\x1b]0;owned\x07\xc3\xa4\n") as place:
        environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
        process = subprocess.Popen(
            [sys.executable, "-m", "aionet", "http", f"http://{place}/"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=slave,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        os.close(slave)
        shown = b""
        try:
            while chunk := os.read(master, 4096):
                shown += chunk
        except OSError:
            pass  # Linux: the last one closed the terminal
        assert process.wait(20) == 0
    os.close(master)
    assert shown == "\\x1b]0;owned\\x07\u00e4\r\n".encode()


def test_https(tls_files: TLSFiles, capfd: pytest.CaptureFixture[str]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls_files.server_cert, tls_files.server_key)
    with http_server(ANSWER, ANSWER, b"", context=context) as place:
        assert main(["http", f"https://{place}/", "--ca", str(tls_files.ca)]) == 0
        checked = capfd.readouterr().err
        assert main(["http", f"https://{place}/", "--insecure"]) == 0
        unchecked = capfd.readouterr().err
        assert main(["http", f"https://{place}/"]) == 3
        refused = capfd.readouterr().err
    assert "TLS version      TLSv1.3\n" in checked
    assert "TLS checked      yes\n" in checked
    assert "localhost" in checked
    assert "TLS checked      NO" in unchecked
    assert "the certificate is not trusted" in refused
    assert "--ca FILE" in refused
    assert "?ca=" not in refused


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["localhost:80"], 4, "hint: try http://localhost:80"),
        (["file:///etc/passwd"], 4, "'file' is not fetched here"),
        (["http://127.0.0.1:1/", "-H", "nonsense"], 2, "is no header; such as"),
        (["http://127.0.0.1:1/", "-H", "A B: c"], 4, "cannot be sent"),
        (["http://127.0.0.1:1/", "-X", "CONNECT"], 4, "tunnel"),
        (["http://127.0.0.1:1/", "--json", "-i"], 2, "--include is for the content alone"),
        (["http://127.0.0.1:1/", "--json", "-o", "-"], 2, "-o needs a file's name"),
        (["http://127.0.0.1:1/", "-o", "."], 2, "a directory"),
        (["http://127.0.0.1:1/", "-o", "/no/such/dir/file"], 1, "No such file"),
        (["http://127.0.0.1:1/", "--max-size", "-1"], 2, "--max-size"),
        (["https://127.0.0.1:1/", "--ca", "no_such.pem"], 3, "no_such.pem"),
        (["http://no-such-name.invalid/"], 3, "cannot reach"),
    ],
)
def test_what_cannot_be_asked_for(args: list[str], code: int, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["http", *args]) == code
    err = capfd.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_too_much_of_it(capfd: pytest.CaptureFixture[str]) -> None:
    with http_server(ANSWER) as place:
        assert main(["http", f"http://{place}/", "--max-size", "255"]) == 1
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.endswith("error: the content has 256 bytes, more than the 255 allowed\n")
