from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path

import pytest

from aionet.cli import main

from ..conftest import TLSFiles
from .peers import http_server


def test_what_people_see(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"tcp://127.0.0.1:{listener.getsockname()[1]}?nodelay=0"
        assert main(["sockinfo", place]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == place
    assert any(line.split()[:2] == ["TCP_NODELAY", "off"] and line.endswith("[?nodelay=]") for line in lines)
    assert any(line.split()[:3] == ["TCP_KEEPIDLE", "60", "s"] for line in lines)
    assert any(line.split()[:2] == ["state", "ESTABLISHED"] for line in lines)
    assert {"options", "TCP_INFO"} <= set(lines)
    assert "TLS" not in lines


def test_json(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert main(["sockinfo", f"tcp://127.0.0.1:{port}", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert (found["family"], found["peer"], found["tls"]) == ("IPv4", ["127.0.0.1", port], None)
    assert found["tcp_info"]["state"] == "ESTABLISHED"
    assert found["tcp_info"]["rtt"] > 0
    assert {"name": "TCP_NODELAY", "value": True, "key": "nodelay"}.items() <= found["options"][0].items()
    assert found["timings"].keys() == {"look-up", "connect"}


def test_tls_also_of_a_certificate_nobody_trusts(tls_files: TLSFiles, capfd: pytest.CaptureFixture[str]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls_files.server_cert, tls_files.server_key)
    with http_server(b"", b"", b"", context=context) as place:
        assert main(["sockinfo", f"tls://{place}"]) == 3
        assert "the certificate is not trusted" in capfd.readouterr().err
        assert main(["sockinfo", f"tls://{place}", "--insecure"]) == 0
        lines = [line.split() for line in capfd.readouterr().out.splitlines()]
        assert main(["sockinfo", f"tls://{place}", "--ca", str(tls_files.ca), "--json"]) == 0
    assert ["version", "TLSv1.3"] in lines
    assert any(words[:2] == ["checked", "NO:"] for words in lines)
    found = json.loads(capfd.readouterr().out)["tls"]
    assert found["verified"] is True
    assert "localhost" in found["certificate"]["names"]


def test_unix(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(2)
        assert main(["sockinfo", f"unix://{tmp_path / 's'}"]) == 0
        assert main(["sockinfo", f"unix://{tmp_path / 's'}", "--json"]) == 0
    *lines, last = capfd.readouterr().out.splitlines()
    assert any(line.startswith("  listener  pid ") for line in lines)
    found = json.loads(last)
    assert found["peer_credentials"].keys() == {"pid", "uid", "gid"}
    assert found["tcp_info"] is None


def test_udp(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["sockinfo", "udp://127.0.0.1:9"]) == 0
    assert "SO_BROADCAST" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["fd://3"], 4, "tcp, tls, ws, wss or unix is needed"),
        (["tcp://127.0.0.1:0"], 4, "a host and a port are needed"),
        (["tcp://127.0.0.1:1", "--ca", "x"], 4, "tcp has no option 'ca'"),
        (["unix:///no/such"], 3, "/no/such"),
        (["tcp://no-such-name.invalid:1"], 3, "cannot reach"),
    ],
)
def test_what_cannot_be_looked_at(args: list[str], code: int, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["sockinfo", *args]) == code
    assert said in capfd.readouterr().err
