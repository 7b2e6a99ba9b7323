"""``scan``: what is printed, for people and programs; what is asked about; interrupted, starved, and in a namespace."""

from __future__ import annotations

import io
import json
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from typing import Any

import pytest

from aionet.cli import main
from aionet.cli.scan import progress_bar

from ..conftest import TLSFiles
from ..core.probing_tools import closed_port, dropping, speaking
from ..tools import require
from .conftest import ROOT, Served, spawn


def printed(capsys: pytest.CaptureFixture[str], *args: str) -> Any:
    assert main(["scan", "--json", *args]) == 0
    return json.loads(capsys.readouterr().out)


def test_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    with speaking(b"\x1b[31mred\x07\r\n") as there, dropping() as silent:
        ports = f"{there},{silent},{closed_port()}"
        assert main(["scan", "localhost", "--family", "4", "-p", ports, "--timeout", "0.3", "--banner"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "127.0.0.1 (localhost): 3 tcp ports: 1 open, 1 closed, 1 filtered"
    assert out[1].split("  ")[1:3] == [f"{there}/tcp", "open"]
    assert out[1].endswith("\\x1b[31mred\\x07")
    assert out[2] == f"  filtered (no answer): {silent}"


def test_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    with speaking(b"x" * 10_000) as there:
        nobody = closed_port()
        found = printed(capsys, "-p", f"{there},{nobody}", "--banner", "127.0.0.1")
    assert (found["protocol"], found["interrupted"]) == ("tcp", False)
    (host,) = found["hosts"]
    assert (host["host"], host["address"], host["failure"]) == ("127.0.0.1", "127.0.0.1", None)
    assert host["counts"] == {"open": 1, "closed": 1, "filtered": 0, "open_or_filtered": 0}
    assert (host["closed"], host["filtered"]) == (str(nobody), "")
    (port,) = host["open"]
    assert (port["port"], port["banner"], port["banner_cut"]) == (there, "x" * 512, True)


def test_certificates(tls_files: TLSFiles, capsys: pytest.CaptureFixture[str]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls_files.server_cert, tls_files.server_key)
    with speaking(context=context) as there:
        found = printed(capsys, "-p", str(there), "--banner", "--timeout", "0.5")
        assert main(["scan", "-p", str(there), "--banner", "--timeout", "0.5"]) == 0
    tls = found["hosts"][0]["open"][0]["tls"]
    assert (tls["version"], tls["verified"]) == ("TLSv1.3", False)
    assert "localhost" in tls["certificate"]["names"]
    assert "names: 127.0.0.1" in capsys.readouterr().out


def test_udp_says_what_silence_means(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    there = served.endpoints["datagram"].rpartition(":")[2]
    nobody = closed_port(socket.SOCK_DGRAM)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        silent = mute.getsockname()[1]
        assert main(["scan", "--udp", "-p", f"{there},{silent},{nobody}", "--timeout", "0.3"]) == 0
    said = capsys.readouterr()
    assert f"  {there}/udp" in said.out
    assert "3 udp ports: 1 open, 1 closed, 1 open|filtered" in said.out
    assert f"open|filtered (no answer): {silent}" in said.out
    assert "A UDP service need not answer" in said.err


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["-p", "80x"], 2, "'80x' is not a port number"),
        (["-p", "0"], 2, "port 0 is not between 1 and 65535"),
        (["-p", "90-80"], 2, "'90-80' runs backwards (is 80-90 meant?)"),
        (["--rate", "inf"], 2, "inf is no number of probes"),
        (["--timeout", "inf"], 2, "waited for for ever"),
        (["--udp", "--banner"], 2, "--banner is for TCP"),
        (["8.8.8.8"], 2, "neither loopback nor private: 8.8.8.8; --yes"),
        (["134744072"], 2, "neither loopback nor private: 8.8.8.8 (134744072); --yes"),
        (["10.0.0.0/8"], 4, "networks are not scanned"),
        (["a..b", "-p", "1"], 3, "idna: it is no name"),
    ],
)
def test_what_is_wrong(
    args: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["scan", *args]) == code
    assert said in capsys.readouterr().err


def test_on_a_terminal_it_asks_and_takes_no_for_an_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("aionet.cli.scan.scan_hosts", lambda *args, **options: pytest.fail("scanned"))
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert main(["scan", "8.8.8.8"]) == 1
    said = capsys.readouterr().err
    assert "May you scan it? [y/N]" in said
    assert said.endswith("error: not scanned\n")


def test_ctrl_c_prints_what_is_known() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, dropping() as silent:
        ports = f"{closed_port()},{listener.getsockname()[1]},{silent}"
        process = spawn("scan", "-p", ports, "--timeout", "60", "--banner", "--json", cwd=ROOT)
        try:
            with listener.accept()[0]:  # under way
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 130
    found = json.loads(out)
    assert found["interrupted"] is True
    assert found["hosts"][0]["counts"]["closed"] <= 1
    assert err.startswith("interrupted: ")
    assert "Traceback" not in err


def test_few_descriptors_make_it_slower_and_nothing_else() -> None:
    with speaking() as there:
        command = f"ulimit -n 64; exec {sys.executable} -m aionet scan --json -p 1-65535"
        done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (0, "")
    (host,) = json.loads(done.stdout)["hosts"]
    assert sum(host["counts"].values()) == 65535
    assert there in [each["port"] for each in host["open"]]


def test_a_thousand_ports_that_a_network_drops() -> None:
    """In a network namespace of its own: what is sent to 192.0.2.1 comes back to a host that is not it, and is lost.

    One after the other, at a second each, they would take 1,000 s. ``tests/core/test_probing.py`` shows the same
    without a namespace.
    """
    ip = require("ip")
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody make a network namespace")
    script = f"{ip} link set lo up && {ip} route add 192.0.2.0/24 dev lo && exec {sys.executable} -m aionet "
    script += "scan 192.0.2.1 --yes -p 1-1000 --timeout 1 --json"
    done = subprocess.run(["unshare", "-rn", "sh", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    (host,) = json.loads(done.stdout)["hosts"]
    assert (host["filtered"], host["reasons"]) == ("1-1000", {"no answer": "1-1000"})


def test_the_progress_bar_is_there_for_a_terminal_only() -> None:
    with progress_bar(shown=False) as report:
        assert report is None
    with progress_bar(shown=True) as report:
        assert report is not None
        report(1, 2)
        report(2, 2)
