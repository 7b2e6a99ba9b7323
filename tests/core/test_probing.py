"""Sweeps: states told apart, as many probes as there are descriptors, none left behind."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aionet.core import probing
from aionet.core.admission import DescriptorBudget
from aionet.core.probing import PortState, ProbeTarget, Sweep

from .probing_tools import closed_port, dropping, speaking

pytestmark = pytest.mark.usefixtures("no_leaks")

Verdicts = dict[int, tuple[PortState, str]]


def loopback(host: str = "127.0.0.1") -> ProbeTarget:
    if ":" in host:
        return ProbeTarget(socket.AF_INET6, (host, 0, 0, 0))
    return ProbeTarget(socket.AF_INET, (host, 0))


async def sweep(*ports: int, host: str = "127.0.0.1", timeout: float = 5.0, **options: Any) -> Verdicts:
    verdicts: Verdicts = {}

    def settle(target: ProbeTarget, port: int, state: PortState, reason: str, answer: bytes) -> None:
        assert port not in verdicts
        verdicts[port] = state, reason

    target = loopback(host)
    options = {"concurrency": 100, **options}
    await Sweep(((target, port) for port in ports), settle, timeout=timeout, **options).run()
    return verdicts


async def test_open_closed_and_filtered_are_told_apart() -> None:
    with speaking() as there, dropping() as silent:
        nobody = closed_port()
        assert await sweep(there, silent, nobody, timeout=0.2) == {
            there: (PortState.OPEN, "connected"),
            nobody: (PortState.CLOSED, "refused"),
            silent: (PortState.FILTERED, "no answer"),
        }


async def test_ipv6() -> None:
    with speaking(host="::1") as there:
        assert (await sweep(there, host="::1"))[there] == (PortState.OPEN, "connected")


async def test_a_thousand_silent_ones_wait_together() -> None:
    """1,000 addresses with one port each that drops: one after the other they would take 300 s."""
    verdicts = []
    with dropping() as silent:
        targets = [loopback(f"127.0.{number // 250}.{number % 250 + 1}") for number in range(1000)]
        probes = ((target, silent) for target in targets)
        await Sweep(probes, lambda *verdict: verdicts.append(verdict[2]), timeout=0.3, concurrency=1000).run()
    assert verdicts == [PortState.FILTERED] * 1000


async def test_no_more_in_flight_than_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 0
    settle = probing.Sweep._settle

    def counted(self: Sweep, *args: Any) -> None:
        nonlocal most
        most = max(most, self._in_flight)
        settle(self, *args)

    monkeypatch.setattr(probing.Sweep, "_settle", counted)
    with dropping() as silent:
        targets = [loopback(f"127.0.0.{number}") for number in range(1, 31)]
        verdicts: list[PortState] = []
        probes = ((target, silent) for target in targets)
        await Sweep(probes, lambda *verdict: verdicts.append(verdict[2]), timeout=0.05, concurrency=7).run()
    assert len(verdicts) == 30
    assert most == 7


def scarce(monkeypatch: pytest.MonkeyPatch, allowed: Callable[[], bool]) -> None:
    """Descriptors as a process finds them where others take them: there are only some now and then."""

    def budget(limits: object) -> DescriptorBudget:
        return DescriptorBudget(100, 1)

    class Scarce(socket.socket):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            ours = args[:1] == (socket.AF_INET,) and "fileno" not in kwargs  # the loop and servers have others
            if ours and not allowed():
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(probing, "descriptor_budget", budget)
    monkeypatch.setattr(socket, "socket", Scarce)


async def test_out_of_descriptors_it_waits_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: Iterator[bool] = iter([True, False, False, True, False] + [True] * 1000)
    with speaking() as there:
        scarce(monkeypatch, lambda: next(turns))
        verdicts = await sweep(there, *range(1, 30))
    assert len(verdicts) == 30
    assert verdicts[there] == (PortState.OPEN, "connected")


async def test_never_a_descriptor_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "SHORTAGE_TRIES", 2)
    scarce(monkeypatch, lambda: False)
    with pytest.raises(OSError, match="Too many open files"):
        await sweep(1)


async def test_a_host_without_a_way_to_it_fails_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect_ex", lambda *args: errno.ENETUNREACH)
    target = loopback()
    probes = iter([(target, port) for port in range(1, 200)])
    await Sweep(probes, lambda *verdict: pytest.fail("a verdict"), timeout=1, concurrency=5).run()
    assert target.failure == "network is unreachable"


@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [
        (errno.EHOSTUNREACH, PortState.FILTERED, "no route to host"),
        (errno.EACCES, PortState.FILTERED, "permission denied"),
        (errno.ETIMEDOUT, PortState.FILTERED, "no answer"),
        (errno.ECONNRESET, PortState.OPEN, "connected"),
    ],
)
async def test_what_an_answer_means(code: int, state: PortState, reason: str) -> None:
    with socket.socket() as sock:
        assert probing._judge(sock, code, False) == (state, reason)


async def test_a_socket_that_met_itself_has_found_nobody() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.connect(sock.getsockname())
        assert probing._judge(sock, 0, False) == (PortState.CLOSED, "refused")


async def test_udp_open_closed_and_silent() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        silent, nobody = mute.getsockname()[1], closed_port(socket.SOCK_DGRAM)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as talker:
            talker.bind(("127.0.0.1", 0))
            talker.setblocking(False)
            there = talker.getsockname()[1]
            loop = asyncio.get_running_loop()

            def answer() -> None:
                data, peer = talker.recvfrom(100)
                talker.sendto(b"re: " + data, peer)

            loop.add_reader(talker, answer)
            verdicts = await sweep(silent, nobody, there, timeout=0.3, payload=lambda port: b"x")
            loop.remove_reader(talker)
        assert verdicts == {
            there: (PortState.OPEN, "answered"),
            nobody: (PortState.CLOSED, "port unreachable (ICMP)"),
            silent: (PortState.OPEN_OR_FILTERED, "no answer"),
        }
        mute.setblocking(False)
        received = 0
        while received < probing.DATAGRAM_TRIES:
            mute.recv(10)
            received += 1
        with pytest.raises(BlockingIOError):
            mute.recv(10)


async def test_a_rate_spreads_the_starts() -> None:
    """Twenty probes, of which at most 0.05 s' worth may start at once."""
    loop = asyncio.get_running_loop()
    before = loop.time()
    assert len(await sweep(*range(1, 21), rate=100.0)) == 20
    assert loop.time() - before >= 0.1


async def test_what_greets_gets_the_socket_and_the_verdict_follows() -> None:
    greeted: list[int] = []

    async def greet(target: ProbeTarget, port: int, sock: socket.socket) -> None:
        assert sock.getpeername() == ("127.0.0.1", port)
        greeted.append(port)

    with speaking() as there:
        assert await sweep(there, closed_port(), greet=greet) != {}
        assert greeted == [there]


async def test_cancelled_it_closes_what_is_open() -> None:
    begun = asyncio.Event()

    async def greet(target: ProbeTarget, port: int, sock: socket.socket) -> None:
        begun.set()
        await asyncio.Event().wait()

    with speaking() as there, dropping() as silent:
        task = asyncio.ensure_future(sweep(there, silent, greet=greet, timeout=60))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
