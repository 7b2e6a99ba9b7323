"""``resolve``: names, addresses, services, this machine; failures with their step; a resolver that hangs."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import Any

import pytest

from aionet.cli import main

from .conftest import ROOT


def printed(capsys: pytest.CaptureFixture[str], *args: str) -> Any:
    assert main(["resolve", "--json", *args]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resolve", "localhost", "--family", "4", "--reverse"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("localhost")
    assert out[1].split()[:3] == ["127.0.0.1", "loopback", "localhost"]
    assert len(out) == 2


def test_an_address_and_every_way_to_write_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resolve", "10.1.2.3", "::ffff:127.0.0.1"]) == 0
    out = capsys.readouterr().out
    for said in (
        "10.1.2.3         private",
        "packed     0a010203 (inet_aton)",
        "number     167838211",
        "pointer    3.2.1.10.in-addr.arpa",
        "as IPv6    ::ffff:10.1.2.3",
        "packed     00000000000000000000ffff7f000001 (inet_pton)",
        "as IPv4    127.0.0.1",
    ):
        assert said in out


def test_what_inet_aton_makes_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resolve", "010.0.0.1"]) == 0
    assert capsys.readouterr().out.startswith("010.0.0.1 is read as 8.0.0.1 (by inet_aton")


def test_with_a_port_and_every_socket_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resolve", "127.0.0.1", "--service", "8080", "--all"]) == 0
    out = capsys.readouterr().out
    assert "127.0.0.1        loopback    port 8080\n" in out
    assert "127.0.0.1        loopback    port 8080  datagram\n" in out


def test_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    (result,) = printed(capsys, "127.1", "--reverse")["results"]
    assert (result["query"], result["canonical"], result["legacy"]) == ("127.1", "127.0.0.1", True)
    (address,) = result["addresses"]
    assert (address["address"], address["packed"], address["type"]) == ("127.0.0.1", "7f000001", "stream")
    assert "localhost" in address["names"]


def test_services(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getservbyport", lambda port, protocol: "ssh\x1b")
    assert main(["resolve", "--service", "22"]) == 0
    assert capsys.readouterr().out == "ssh\\x1b  22/tcp\nssh\\x1b  22/udp\n"
    assert printed(capsys, "--service", "22")["services"][0]["protocol"] == "tcp"


def test_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resolve", "--timeout", "20"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(socket.gethostname())
    assert "  127.0.0.1/8" in "\n".join(out[1:])
    assert printed(capsys)["host"]["name"] == socket.gethostname()


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["a..b"], 3, "error: 'a..b': idna: it is no name"),
        (["--service", "65536"], 3, "error: getservbyport: port 65536 is above 65535"),
        (["127.0.0.1", "--service", "no-such"], 3, "error: getaddrinfo: no service 'no-such'"),
        (["--reverse"], 2, "error: --reverse, --family and --all are about names"),
        (["--timeout", "inf", "x"], 2, "error: --timeout: a resolver that hangs"),
        (["127.0.0.1", "--family", "6"], 3, "getaddrinfo: "),
    ],
)
def test_what_is_wrong(args: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resolve", *args]) == code
    assert said in capsys.readouterr().err


def test_one_that_fails_holds_up_no_other(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless(address: str) -> Any:
        raise socket.herror(1, "Unknown host")

    monkeypatch.setattr(socket, "gethostbyaddr", nameless)
    assert main(["resolve", "a..b", "127.0.0.1", "--reverse"]) == 3
    said = capsys.readouterr()
    assert said.out.startswith("127.0.0.1\n")
    assert "idna" in said.err
    assert "127.0.0.1: gethostbyaddr: the address has no name" in said.err
    assert main(["resolve", "a..b", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["results"][0]["failure"]["step"] == "idna"


def test_a_resolver_that_hangs_does_not_keep_the_process() -> None:
    code = (
        "import socket, sys, threading\n"
        "socket.getaddrinfo = lambda *args, **kwargs: threading.Event().wait()\n"
        "from aionet.cli import main\n"
        "sys.exit(main(['resolve', 'host.example', '--timeout', '0.1']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.startswith("error: 'host.example': getaddrinfo: gave up after 0.1 s")


def test_what_a_name_server_says_is_shown_never_obeyed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostbyaddr", lambda address: ("\x1b]0;owned\x07", [], [address]))
    assert main(["resolve", "127.0.0.1", "--reverse"]) == 0
    assert "\\x1b]0;owned\\x07" in capsys.readouterr().out
