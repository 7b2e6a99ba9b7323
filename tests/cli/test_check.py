"""``check``: what would start, and what first bytes would reach; what would not, with both sides named."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from aionet.cli import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_table_of_a_shared_port(capsys: Capture, tmp_path: Path) -> None:
    assert main(["check", "tcp://127.0.0.1:4000=echo,chat,files", "udp://127.0.0.1:4000=datagram"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[:2] == ["tcp://127.0.0.1:4000", "  echo   everything else"]
    assert lines[2] == "  chat   silence(1) | prefix(b'/')"
    assert lines[4] == "  Decided by at most 64 bytes, within 5 s, by silence after 1 s:"
    reached = dict(line.split("->") for line in lines if "->" in line)
    shown = {kind.strip(): name.strip() for kind, name in reached.items()}
    assert (shown["silence"], shown["as files: 'HELLO\\n'"], shown["HTTP"]) == ("chat", "files", "echo")
    assert lines[-2:] == ["udp://127.0.0.1:4000", "  datagram  everything"]
    assert err == ""
    assert list(tmp_path.iterdir()) == []  # serve would have made shared_files


def test_the_table_for_programs(capsys: Capture) -> None:
    assert main(["check", "tcp://127.0.0.1:4000=chat,files", "--json"]) == 0
    (port,) = json.loads(capsys.readouterr().out)["ports"]
    assert {key: port[key] for key in ("endpoint", "sniffs", "peek", "silence", "tls", "proxy_networks")} == {
        "endpoint": "tcp://127.0.0.1:4000",
        "sniffs": True,
        "peek": 64,
        "silence": 1.0,
        "tls": False,
        "proxy_networks": [],
    }
    assert port["routes"][0] == {
        "name": "chat",
        "match": "silence(1) | prefix(b'/')",
        "default": False,
        "guest": False,
    }
    reached = {each["kind"]: each for each in port["reaches"]}
    assert reached["silence"] == {
        "kind": "silence", "first_bytes": "", "tls": False, "route": "chat", "waits": "silence",
    }  # fmt: skip
    assert reached["TLS"]["route"] is None
    assert reached["TLS"]["first_bytes"].startswith("\\x16\\x03")


def test_nothing_is_bound(capsys: Capture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["check", f"tcp://127.0.0.1:{taken.getsockname()[1]}=echo"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "  echo  everything"


def test_a_router_of_ones_own(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "checked.py").write_text(
        "from aionet import Router\nfrom aionet.routing import http, peer, tls\n"
        "async def a(conn): pass\nasync def b(conn): pass\nclass Guest: pass\nrouter = Router()\n"
        "router.add('auto://127.0.0.1:1?proxy=10.0.0.0/8', a, match=peer('10.0.0.0/8'))\n"
        "router.add('auto://127.0.0.1:1', protocol=Guest, match=http(), default=True)\n"
    )
    assert main(["check", "checked:router"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:5] == [
        "  Guest  http(), and everything else",
        "  A PROXY header is believed from 10.0.0.0/8, and refused from others.",
        "  Decided by at most 8192 bytes, within 5 s:",
    ]


CONFLICT = """
from aionet import Router
from aionet.routing import http
from aionet.services import Chat, Echo
router = Router()
router.add("tcp://127.0.0.1:1", Echo(), match=http(path="/a/*"), name="first")
router.add("tcp://127.0.0.1:1", Chat(), match=http(method="GET", path="/a/b"), name="second")
"""


@pytest.mark.parametrize(
    ("targets", "code", "said"),
    [
        (["conflict:router"], 4, "http(method='GET', path='/a/b') can never be reached: 'first' by http(path='/a/*')"),
        (["tcp://127.0.0.1:1=echo,echo"], 4, "is taken by route 'echo'"),
        (["tcp://127.0.0.1:1=chat,chat"], 4, "two routes for silence: 'chat' by silence(1) | prefix(b'/')"),
        (["tls://127.0.0.1:1=echo"], 3, "TLS needs a certificate"),
        (["tls://127.0.0.1:1?cert=gone.pem=echo"], 3, "gone.pem"),
        (["no_such_module:router"], 3, "no module named 'no_such_module'"),
        (["files", "--directory", "gone"], 4, "does not exist"),
        (["echo", "--ack", "x"], 2, "--ack is for the service 'datagram'"),
    ],
)
def test_what_could_not_start(targets: list[str], code: int, said: str, capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "conflict.py").write_text(CONFLICT)
    assert main(["check", *targets]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err
