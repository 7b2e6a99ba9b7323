"""Scans: reports of several hosts, kept when cancelled, and what is refused before anything is sent."""

import asyncio
import socket
from typing import Any

import pytest

from aionet.client import find_targets, scan
from aionet.client.scanning import PortState, ScanReport
from aionet.errors import ConfigError, ConnectError

from ..core.probing_tools import closed_port, dropping, speaking

pytestmark = pytest.mark.usefixtures("no_leaks")


async def test_a_report_holds_every_state() -> None:
    with speaking() as there, dropping() as silent:
        nobody = closed_port()
        report = await scan(ports=[there, silent, nobody], timeout=0.2)
    (host,) = report.hosts
    assert (host.target.host, host.target.address) == ("127.0.0.1", "127.0.0.1")
    assert [(each.port, each.reason, each.greeting) for each in host.open] == [(there, "connected", None)]
    assert {state: host.ports(state) for state in PortState} == {
        PortState.OPEN: [there],
        PortState.CLOSED: [nobody],
        PortState.FILTERED: [silent],
        PortState.OPEN_OR_FILTERED: [],
    }
    assert host.reasons == {"no answer": [silent]}
    assert (report.protocol, report.total, report.done, report.finished) == ("tcp", 3, 3, True)
    assert report.seconds > 0


async def test_hosts_take_turns_and_one_that_has_no_address_holds_up_nobody() -> None:
    with speaking(host="::1") as there:
        report = await scan("localhost", "::1", "a..b", ports=str(there), family="any")
    ours, six, none = report.hosts
    assert ours.target.host == "localhost"
    assert [each.port for each in six.open] == [there]
    assert none.failure is not None
    assert "idna" in none.failure
    assert report.total == report.done == 2


async def test_every_port_of_loopback_has_a_verdict_and_those_that_listen_are_open() -> None:
    with speaking() as first, speaking() as second:
        (host,) = (await scan(ports="1-65535")).hosts
    assert len(host.states) == 65535
    assert {first, second} <= set(host.ports(PortState.OPEN))
    assert [each.port for each in host.open] == host.ports(PortState.OPEN)


async def test_banners() -> None:
    with speaking(b"220 ready\r\n") as there:
        (host,) = (await scan("localhost", ports=[there], banner=True, family="4")).hosts
    assert host.open[0].greeting is not None
    assert host.open[0].greeting.banner == b"220 ready\r\n"


async def test_udp_shows_what_was_answered() -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)

        def answer() -> None:
            sock.sendto(b"here", sock.recvfrom(100)[1])

        loop.add_reader(sock, answer)
        (host,) = (await scan(ports=[sock.getsockname()[1]], udp=True)).hosts
        loop.remove_reader(sock)
    assert host.open[0].greeting is not None
    assert host.open[0].greeting.banner == b"here"


async def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    await scan(ports="1-10", progress=lambda *counts: told.append(counts))
    assert told == [(number, 10) for number in range(1, 11)]


async def test_cancelled_what_is_known_stays() -> None:
    report = ScanReport()
    known = asyncio.Event()
    with dropping() as silent:
        nobody = closed_port()
        task = asyncio.ensure_future(
            scan(ports=[nobody, silent], timeout=60, report=report, progress=lambda *counts: known.set())
        )
        await known.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert report.hosts[0].states == {nobody: PortState.CLOSED}
    assert not report.finished
    assert report.seconds > 0


async def test_a_host_that_cannot_be_reached_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect_ex", lambda *args: 101)
    (host,) = (await scan(ports="1-100")).hosts
    assert host.failure == "cannot reach 127.0.0.1: network is unreachable"
    assert host.states == {}


async def test_no_descriptor_at_all_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def starved(self: Any) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("aionet.client.scanning.Sweep.run", starved)
    with pytest.raises(ConnectError, match="too many open files"):
        await scan(ports="1")


@pytest.mark.parametrize("host", ["8.8.8.8", "::ffff:8.8.8.8", "134744072", "2001:4860::1"])
async def test_public_addresses_are_refused(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aionet.client.scanning.Sweep.run", lambda self: pytest.fail("something was sent"))
    with pytest.raises(ConfigError, match="neither loopback nor private"):
        await scan("127.0.0.1", host)


@pytest.mark.parametrize(
    ("hosts", "options", "said"),
    [
        (["tcp://127.0.0.1:80"], {}, "is an endpoint"),
        (["10.0.0.0/8"], {}, "is no host"),
        ([], {"ports": "99999"}, "port 99999"),
        ([], {"ports": [0]}, "port 0"),
        ([], {"ports": []}, "an item is empty"),
        ([], {"timeout": 0}, "above zero"),
        ([], {"concurrency": 0}, "above zero"),
        ([], {"rate": -1.0}, "above zero"),
        ([], {"timeout": float("nan")}, "above zero"),
    ],
)
async def test_what_cannot_be(hosts: list[str], options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        await scan(*hosts, **options)


async def test_targets_know_their_other_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{number}", 0)) for number in (1, 2, 2)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: entries)
    (target,) = await find_targets(["host.example"])
    assert (target.address, target.others, target.is_local) == ("127.0.0.1", ("127.0.0.2",), True)
