"""The system's resolver: names, addresses and services, each look-up in a thread of its own and within a time limit.

Every failure says which step failed: the name may be none at all (``idna``), unknown to ``getaddrinfo``, without a
name of its own (``gethostbyaddr``), or no service (``getservbyname``, ``getservbyport``).
"""

from __future__ import annotations

import contextlib
import functools
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from ..errors import ResolveError, ResolveTimeout
from .sockets import reason_of
from .threads import in_thread

__all__ = [
    "Family",
    "Found",
    "NamedService",
    "full_host_name",
    "host_name",
    "legacy_address",
    "look_up",
    "look_up_address",
    "look_up_service",
    "service_names",
]

T = TypeVar("T")
Family = Literal["any", "4", "6"]

_FAMILIES: Final[Mapping[Family, int]] = {"any": socket.AF_UNSPEC, "4": socket.AF_INET, "6": socket.AF_INET6}
_TYPES: Final[Mapping[int, str]] = {socket.SOCK_STREAM: "stream", socket.SOCK_DGRAM: "datagram", socket.SOCK_RAW: "raw"}
_SERVICES: Final = Path("/etc/services")
_LEGACY: Final = frozenset("0123456789abcdefxABCDEFX.")


@dataclass(frozen=True, slots=True)
class Found:
    """One entry of a look-up.

    Attributes:
        family: ``"4"`` or ``"6"``.
        type: ``"stream"``, ``"datagram"`` or ``"raw"``.
        address: Without brackets; a link-local IPv6 address with its scope, ``fe80::1%eth0``.
        port: Of the service asked for, else 0.
        sockaddr: What ``connect`` takes.
    """

    family: Family
    type: str
    address: str
    port: int
    sockaddr: tuple[Any, ...]

    @property
    def family_number(self) -> int:
        """What ``socket`` takes."""
        return socket.AF_INET if self.family == "4" else socket.AF_INET6


@dataclass(frozen=True, slots=True)
class NamedService:
    """A line of the services database (services(5)): ``protocol`` is ``"tcp"`` or ``"udp"``."""

    name: str
    port: int
    protocol: str


async def look_up(
    name: str, service: str | int | None = None, *, family: Family = "any", every: bool = False, timeout: float
) -> tuple[str, list[Found]]:
    """The canonical name and the addresses of ``name``, in the resolver's order (RFC 6724), each once.

    Args:
        name: A name, or an address in any form the system reads: ``127.1`` is 127.0.0.1 to it.
        service: By name or number: the port of what is found.
        family: Whether only IPv4 or IPv6 is wanted.
        every: One entry for each socket type, as ``getaddrinfo`` gives them, instead of one for each address.
        timeout: Seconds.

    Raises:
        ResolveError: says which step failed, and why.
        ResolveTimeout: it was given up.
    """
    _check_name(name)
    kind = 0 if every else socket.SOCK_STREAM
    asked = functools.partial(
        socket.getaddrinfo, name, service, _FAMILIES[family], kind, flags=socket.AI_CANONNAME | _flags(name)
    )
    try:
        entries = await _within(timeout, asked, "getaddrinfo", name)
    except socket.gaierror as exc:
        if service is not None and exc.errno in (socket.EAI_SERVICE, getattr(socket, "EAI_SOCKTYPE", None)):
            raise ResolveError(
                f"getaddrinfo: no service {str(service)!r}", step="getaddrinfo", hint="/etc/services lists them"
            ) from exc
        raise _unknown(name, family, exc) from exc
    found = [_found(*entry) for entry in entries if entry[0] in (socket.AF_INET, socket.AF_INET6)]
    if not found:
        raise ResolveError(f"{name!r}: getaddrinfo: the name has no IPv4 or IPv6 address")
    return next((str(entry[3]) for entry in entries if entry[3]), name), list(dict.fromkeys(found))


async def look_up_address(address: str, *, timeout: float) -> tuple[str, ...]:
    """The names of an address, the official one first.

    Raises:
        ResolveError: it has none, or the look-up failed.
        ResolveTimeout: it was given up.
    """
    asked = functools.partial(socket.gethostbyaddr, address)
    try:
        name, aliases, _ = await _within(timeout, asked, "gethostbyaddr", address)
    except (socket.herror, socket.gaierror) as exc:
        again = exc.args[:1] in ((2,), (socket.EAI_AGAIN,))  # 2: TRY_AGAIN of netdb.h
        why = "no name server answered" if again else "the address has no name"
        raise ResolveError(f"{address}: gethostbyaddr: {why}", step="gethostbyaddr") from exc
    return tuple(dict.fromkeys((name, *aliases)))


async def look_up_service(which: str | int, *, timeout: float) -> list[NamedService]:
    """What the services database knows of a name, or of a port, for TCP and UDP.

    Raises:
        ResolveError: nothing, or a port above 65535.
        ResolveTimeout: it was given up.
    """
    text = str(which)
    by_port = text.isascii() and text.isdigit()
    step = "getservbyport" if by_port else "getservbyname"
    if by_port and (len(text) > 5 or int(text) > 65535):  # int() refuses thousands of digits
        raise ResolveError(f"{step}: port {text[:20]} is above 65535", step=step)
    if not text.isascii() or "\0" in text:
        raise ResolveError(f"{step}: {text!r} is no service name", step=step)

    def asked() -> list[NamedService]:
        known = []
        for protocol in ("tcp", "udp"):
            with contextlib.suppress(OSError):
                if by_port:
                    known.append(NamedService(socket.getservbyport(int(text), protocol), int(text), protocol))
                else:
                    known.append(NamedService(text, socket.getservbyname(text, protocol), protocol))
        return known

    known = await _within(timeout, asked, step, text)
    if not known:
        what = f"no service is known on port {text}" if by_port else f"no service {text!r}"
        raise ResolveError(f"{step}: {what}", step=step, hint="/etc/services lists them")
    return known


def host_name() -> str:
    """What this machine calls itself. Asked of the kernel."""
    return socket.gethostname()


async def full_host_name(*, timeout: float) -> str:
    """The full name the resolver makes of this machine's; the same, where it makes none.

    Raises:
        ResolveTimeout: it was given up.
    """
    return await _within(timeout, socket.getfqdn, "gethostbyaddr", host_name())


def legacy_address(text: str) -> str | None:
    """The IPv4 address that ``inet_aton`` makes of ``text``, or ``None``.

    It reads more than ``a.b.c.d``: ``127.1``, ``0x7f000001``, ``2130706433``, and ``010.0.0.1`` as 8.0.0.1 (octal).
    """
    if not text or not _LEGACY.issuperset(text):  # it would also stop at a space and take what stands before
        return None
    try:
        return socket.inet_ntoa(socket.inet_aton(text))
    except OSError:
        return None


@functools.cache
def service_names(protocol: str) -> Mapping[int, str]:
    """The services database at once, by port: 65,536 calls of ``getservbyport`` would read the file as often.

    Empty where there is no such file.
    """
    names: dict[int, str] = {}
    try:
        lines = _SERVICES.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return names
    for line in lines:
        words = line.partition("#")[0].split()
        port, _, kind = words[1].partition("/") if len(words) > 1 else ("", "", "")
        if kind == protocol and port.isascii() and port.isdigit():
            names.setdefault(int(port), words[0])
    return names


async def _within(timeout: float, asked: Callable[[], T], step: str, what: str) -> T:
    try:
        return await in_thread(asked, timeout=timeout)
    except TimeoutError as exc:
        raise ResolveTimeout(
            f"{what!r}: {step}: gave up after {timeout:g} s: the resolver does not answer",
            step=step,
            hint="are the name servers of /etc/resolv.conf reachable? --timeout waits longer",
        ) from exc
    except BlockingIOError as exc:
        raise ResolveError(f"{what!r}: {step}: {reason_of(exc)}", step=step) from exc
    except (UnicodeError, ValueError) as exc:
        raise ResolveError(f"{what!r}: idna: it is no name: {exc.__cause__ or exc}", step="idna") from exc


def _check_name(name: str) -> None:
    if not name or any(character.isspace() or not character.isprintable() for character in name):
        raise ResolveError(f"{name!r}: idna: it is no name", step="idna", hint="a name has no spaces and no controls")


def _flags(name: str) -> int:
    """An address needs no look-up, and none of the services that slow one down."""
    return socket.AI_NUMERICHOST if ":" in name or legacy_address(name) else 0


def _found(family: int, kind: int, _proto: int, _canonical: str, sockaddr: Any) -> Found:
    named = socket.getnameinfo(sockaddr, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
    return Found("4" if family == socket.AF_INET else "6", _TYPES.get(kind, str(kind)), named, sockaddr[1], sockaddr)


def _unknown(name: str, family: Family, exc: socket.gaierror) -> ResolveError:
    kind = {"any": "", "4": "IPv4 ", "6": "IPv6 "}[family]
    nodata = {getattr(socket, key, None) for key in ("EAI_NODATA", "EAI_ADDRFAMILY")}
    why, hint = reason_of(exc), None
    if exc.errno == socket.EAI_NONAME:
        why, hint = f"no such name{f', or no {kind}address' if kind else ''}", "check the spelling"
    elif exc.errno in nodata:
        why, hint = f"the name has no {kind}address", "ask for another --family" if kind else None
    elif exc.errno == socket.EAI_AGAIN:
        why, hint = "no name server answered", "is the network up? /etc/resolv.conf names the servers"
    elif exc.errno == socket.EAI_FAIL:
        why = "the name server failed, and says that asking again is of no use"
    return ResolveError(f"{name!r}: getaddrinfo: {why}", hint=hint)
