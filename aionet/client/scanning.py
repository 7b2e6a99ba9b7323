"""Which ports are open: hosts and ports in, a report out that is filled while the scan goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ..core.banners import Greeting, greet
from ..core.probing import PortState, ProbeTarget, Sweep
from ..core.resolving import Family, look_up, service_names
from ..core.sockets import reason_of
from ..errors import ConfigError, ConnectError, ResolveError
from .addresses import is_local
from .payloads import payload_for
from .ports import parse_ports

__all__ = [
    "DEFAULT_PORTS",
    "Greeting",
    "HostReport",
    "PortReport",
    "PortState",
    "ScanReport",
    "ScanTarget",
    "find_targets",
    "scan",
]

DEFAULT_PORTS: Final = "1-1024"
DEFAULT_TIMEOUT: Final = 1.5
"""Seconds. The kernel repeats a SYN that was lost after 1 s (RFC 6298): a shorter time calls a lossy path a filter."""
DEFAULT_CONCURRENCY: Final = 1000
MAX_LOOK_UPS: Final = 16

Progress = Callable[[int, int], object]
"""``progress(done, total)``, in probes."""


@dataclass(frozen=True, slots=True)
class ScanTarget:
    """A host, looked up.

    Attributes:
        host: As it was asked for.
        address: The one to scan: the resolver's first; empty where there is none.
        family: ``"4"`` or ``"6"``.
        others: Other addresses of the name: not scanned.
        failure: Why there is no address, or ``None``.
    """

    host: str
    address: str = ""
    family: Family = "4"
    sockaddr: tuple[Any, ...] = ()
    family_number: int = 0
    others: tuple[str, ...] = ()
    failure: ResolveError | None = None

    @property
    def is_local(self) -> bool:
        """Whether the address is loopback, private or link-local."""
        return bool(self.address) and is_local(self.address)


@dataclass(frozen=True, slots=True)
class PortReport:
    """A port that is open, or may be.

    Attributes:
        reason: What made it so: ``"connected"``, ``"answered"``, ``"no answer"``.
        service: What usually is there (services(5)); nobody asked the port.
        greeting: What it said, where that was asked for.
    """

    port: int
    state: PortState
    reason: str
    service: str | None = None
    greeting: Greeting | None = None


@dataclass(slots=True)
class HostReport:
    """What is known of a host.

    Attributes:
        target: Which host.
        open: Open ports; those of UDP that did not answer are not among them.
        states: Every port that has a verdict.
        reasons: Ports by the reason for their verdict; those that are open or closed are left out.
        failure: Why it could not be scanned, or not to its end; ``None`` if it was.
    """

    target: ScanTarget
    open: list[PortReport] = field(default_factory=list)
    states: dict[int, PortState] = field(default_factory=dict)
    reasons: dict[str, list[int]] = field(default_factory=dict)
    failure: str | None = None

    def ports(self, state: PortState) -> list[int]:
        """The ports in this state, ascending."""
        return sorted(port for port, each in self.states.items() if each is state)


@dataclass(slots=True)
class ScanReport:
    """What is known so far.

    Attributes:
        protocol: ``"tcp"`` or ``"udp"``.
        hosts: In the order they were asked for.
        total: Probes to be made.
        seconds: How long it took; 0 until it ends, however that is.
        finished: Whether it came to its end.
    """

    protocol: str = "tcp"
    hosts: list[HostReport] = field(default_factory=list)
    total: int = 0
    seconds: float = 0.0
    finished: bool = False

    @property
    def done(self) -> int:
        """Probes with a verdict."""
        return sum(len(host.states) for host in self.hosts)


async def find_targets(hosts: Iterable[str], *, family: Family = "any", timeout: float = 5.0) -> list[ScanTarget]:
    """Look the hosts up, some at a time. One that has no address is among them, with its ``failure``.

    Raises:
        ConfigError: what can be no host: an endpoint, a network.
    """
    slots = asyncio.Semaphore(MAX_LOOK_UPS)
    names = [_host_name(host) for host in hosts]

    async def find(name: str) -> ScanTarget:
        async with slots:
            try:
                _, found = await look_up(name, family=family, timeout=timeout)
            except ResolveError as exc:
                return ScanTarget(name, failure=exc)
        first, *rest = found
        others = tuple(dict.fromkeys(each.address for each in rest if each.address != first.address))
        return ScanTarget(name, first.address, first.family, first.sockaddr, first.family_number, others)

    return list(await asyncio.gather(*map(find, names)))


async def scan(
    *hosts: str | ScanTarget,
    ports: str | Sequence[int] = DEFAULT_PORTS,
    udp: bool = False,
    timeout: float = DEFAULT_TIMEOUT,
    concurrency: int = DEFAULT_CONCURRENCY,
    rate: float | None = None,
    banner: bool = False,
    family: Family = "any",
    public: bool = False,
    progress: Progress | None = None,
    report: ScanReport | None = None,
) -> ScanReport:
    """Find out which ports of these hosts are open: for one's own hosts, to see what others see.

    TCP ports are connected to, and closed at once. To UDP ports a datagram is sent, up to three times; silence means
    "open or filtered". Hosts take turns, so that none is asked everything at once.

    Args:
        hosts: Names, addresses, or what :func:`find_targets` returned; none: 127.0.0.1.
        ports: A list such as ``"1-1024,8080"``, or numbers.
        udp: UDP instead of TCP.
        timeout: Seconds a port has to answer.
        concurrency: Most probes in flight; fewer, where the process may not open as many descriptors.
        rate: Most probes started a second, all hosts together; ``None``: as fast as it goes.
        banner: Also listen what open TCP ports say, and look at the certificates of those that speak TLS; up to
            ``timeout`` seconds for each of both.
        family: Which addresses of names to take.
        public: Allow addresses that are neither loopback nor private nor link-local.
        progress: Called now and then.
        report: Filled instead of a new one: what it holds is kept when the scan is cancelled.

    Returns:
        The report. Hosts that could not be looked up or reached are in it, with their ``failure``.

    Raises:
        ConfigError: a port list or a host that is none, a number that cannot be, a public address.
        ConnectError: the system let no socket be opened for ten seconds.
    """
    numbers = _checked_ports(ports)
    if not (timeout > 0 and concurrency > 0 and (rate is None or rate > 0)):
        raise ConfigError("timeout, concurrency and rate of a scan are above zero")
    report = ScanReport() if report is None else report
    report.protocol = "udp" if udp else "tcp"
    started = time.monotonic()
    try:
        targets = await _all_targets(hosts or ("127.0.0.1",), family)
        _refuse_public(targets, public)
        report.hosts = [HostReport(each, failure=str(each.failure) if each.failure else None) for each in targets]
        scanning = _Scan(report, numbers, progress, timeout if banner and not udp else None)
        report.total = len(numbers) * len(scanning.hosts)
        sweep = Sweep(
            scanning.probes(),
            scanning.settle,
            timeout=timeout,
            concurrency=concurrency,
            rate=rate,
            payload=payload_for if udp else None,
            greet=scanning.greet if banner and not udp else None,
        )
        try:
            await sweep.run()
        except OSError as exc:
            raise ConnectError(
                f"the scan stopped: {reason_of(exc)}", hint="raise the limit of open files: ulimit -n"
            ) from exc
        scanning.close()
        report.finished = True
    finally:
        report.seconds = time.monotonic() - started
        for host in report.hosts:
            host.open.sort(key=lambda each: each.port)
    return report


class _Scan:
    """The verdicts of one scan on their way into its report."""

    def __init__(
        self, report: ScanReport, ports: Sequence[int], progress: Progress | None, patience: float | None
    ) -> None:
        self._report = report
        self._ports = ports
        self._progress = progress
        self._patience = patience
        self._names = service_names(report.protocol)
        self._done = 0
        self._greetings: dict[tuple[ProbeTarget, int], Greeting] = {}
        self.hosts = {
            ProbeTarget(host.target.family_number, host.target.sockaddr): host
            for host in report.hosts
            if host.failure is None
        }

    def probes(self) -> Iterator[tuple[ProbeTarget, int]]:
        """Hosts in turn."""
        for port in self._ports:
            for target in self.hosts:
                yield target, port

    def settle(self, target: ProbeTarget, port: int, state: PortState, reason: str, answer: bytes) -> None:
        """One verdict."""
        host = self.hosts[target]
        host.states[port] = state
        if state is PortState.OPEN:
            greeting = self._greetings.pop((target, port), None)
            if answer:
                greeting = Greeting(answer)
            host.open.append(PortReport(port, state, reason, self._names.get(port), greeting))
        elif state is not PortState.CLOSED:
            host.reasons.setdefault(reason, []).append(port)
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._report.total)

    async def greet(self, target: ProbeTarget, port: int, sock: Any) -> None:
        """Hear what an open port says; the verdict follows."""
        assert self._patience is not None
        asked = self.hosts[target].target
        name = None if asked.host == asked.address else asked.host
        self._greetings[target, port] = await greet(sock, name, timeout=self._patience)

    def close(self) -> None:
        """Take over what failed underway."""
        for target, host in self.hosts.items():
            if target.failure is not None:
                host.failure = f"cannot reach {target.address}: {target.failure}"


def _host_name(host: str) -> str:
    if "://" in host:
        raise ConfigError(f"{host!r} is an endpoint", hint="a host is needed: a name or an address; see --ports")
    if "/" in host:
        raise ConfigError(f"{host!r} is no host", hint="name each host; networks are not scanned")
    return host.removeprefix("[").removesuffix("]")


def _checked_ports(ports: str | Sequence[int]) -> tuple[int, ...]:
    if isinstance(ports, str):
        return parse_ports(ports)
    return parse_ports(",".join(map(str, ports)))


async def _all_targets(hosts: Sequence[str | ScanTarget], family: Family) -> list[ScanTarget]:
    looked_up = iter(await find_targets([host for host in hosts if isinstance(host, str)], family=family))
    return [next(looked_up) if isinstance(host, str) else host for host in hosts]


def _refuse_public(targets: Sequence[ScanTarget], public: bool) -> None:
    foreign = [target.address for target in targets if target.address and not target.is_local]
    if foreign and not public:
        raise ConfigError(
            f"{foreign[0]} is neither loopback nor private: scan only hosts that are yours",
            hint="public=True says that it is",
        )
