"""Binding: an endpoint becomes bound, non-blocking sockets; all of them, or none.

A name is bound at every address it resolves to, as asyncio does: ``localhost`` gives 127.0.0.1 and ::1, with port
0 both on the same port. An IPv6 address of a name that this machine does not have (a container whose
``/etc/hosts`` lists ::1 all the same) is left out as long as another one can be bound. Resolving never blocks the
loop. Options go to the listening socket before ``bind``: on Linux, accepted sockets inherit them.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any, Final

from ..endpoint import Endpoint
from ..errors import BindError, EndpointError
from .threads import in_thread
from .unix import UnixFile, bind_unix

__all__ = ["UnixFile", "apply_options", "bind_datagram", "bind_stream", "reason_of", "resolve", "scoped"]

SocketAddress = tuple[Any, ...]
Target = tuple[socket.AddressFamily, SocketAddress]

RESOLVE_TIMEOUT: Final = 60.0
"""Seconds for the system's resolver, which tries its servers for some 30 by default (resolv.conf(5)). Clients have
time limits of their own."""

KEEPALIVE_IDLE: Final = 60
KEEPALIVE_INTERVAL: Final = 15
KEEPALIVE_COUNT: Final = 4
"""A dead peer is noticed after 60 + 4 * 15 seconds; the kernel's own defaults take over two hours (tcp(7))."""

DATAGRAM_RCVBUF: Final = 4 * 1024 * 1024
"""Asked for on bound UDP sockets: a burst waits here while Python works. The kernel cuts it to net.core.rmem_max."""

_PORT_TRIES: Final = 8
_ABSENT: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


async def bind_stream(endpoint: Endpoint, *, backlog: int) -> list[socket.socket]:
    """Bind and listen on a ``tcp``, ``tls``, ``unix`` or ``fd`` endpoint.

    ``fd`` duplicates the inherited descriptor: the original stays its owner's, who closes it, and the queue of
    connections lives as long as anybody holds it open. (``O_NONBLOCK`` is set on both: they share it.)

    Args:
        backlog: Connections the kernel queues before they are accepted, unless the endpoint says otherwise.

    Returns:
        Non-blocking, listening sockets: one for each address. For ``unix``, take :meth:`UnixFile.of` it, to
        remove the file at close.

    Raises:
        BindError: the system refused; nothing stays open.
        EndpointError: not a stream endpoint, or an option that cannot be.
    """
    backlog = endpoint.number("backlog", backlog)
    try:
        match endpoint.scheme:
            case "tcp" | "tls" | "auto" | "ws" | "wss":
                return await _bind_inet(endpoint, socket.SOCK_STREAM, socket.IPPROTO_TCP, backlog)
            case "unix":
                return [await _bind_unix(endpoint, backlog)]
            case "fd":
                return [_adopt(endpoint)]
    except (OSError, UnicodeError) as exc:
        raise _bind_error(endpoint, exc) from exc
    raise EndpointError(f"endpoint {str(endpoint)!r} is no stream", hint="tcp, tls, unix or fd is needed here")


async def bind_datagram(endpoint: Endpoint) -> list[socket.socket]:
    """Bind a ``udp`` endpoint; a multicast group is joined.

    Returns:
        Non-blocking sockets: one for each address.

    Raises:
        BindError: the system refused; nothing stays open.
        EndpointError: not a datagram endpoint, or an option that cannot be.
    """
    if not endpoint.is_datagram:
        raise EndpointError(f"endpoint {str(endpoint)!r} carries no datagrams", hint="udp is needed here")
    try:
        return await _bind_inet(endpoint, socket.SOCK_DGRAM, socket.IPPROTO_UDP, None)
    except (OSError, UnicodeError) as exc:
        raise _bind_error(endpoint, exc) from exc


async def resolve(endpoint: Endpoint, kind: int, proto: int, *, passive: bool) -> list[Target]:
    """Addresses to bind (``passive``) or to reach, in the resolver's order, without blocking the loop.

    An empty host is every address if passive (one dual-stack IPv6 socket, where the system has it), else loopback.

    Raises:
        socket.gaierror: the name does not resolve.
        TimeoutError: the resolver does not answer.
        UnicodeError: it is no name at all.
    """
    if passive and not endpoint.host:
        if endpoint.options.get("ipv6only") or socket.has_dualstack_ipv6():
            return [(socket.AF_INET6, ("::", endpoint.port))]
        return [(socket.AF_INET, ("0.0.0.0", endpoint.port))]
    if endpoint.address is not None:  # no name to ask about: no thread needed
        found: Sequence[Any] = socket.getaddrinfo(
            endpoint.host, endpoint.port, type=kind, proto=proto, flags=socket.AI_NUMERICHOST
        )
    else:
        host, flags = endpoint.host or None, socket.AI_PASSIVE if passive else 0
        # Not by the loop's executor: a resolver that hangs would keep the process alive that has given up on it.
        found = await in_thread(
            lambda: socket.getaddrinfo(host, endpoint.port, type=kind, proto=proto, flags=flags),
            timeout=RESOLVE_TIMEOUT,
        )
    inet = (socket.AF_INET, socket.AF_INET6)
    targets = dict.fromkeys((family, address) for family, _, _, _, address in found if family in inet)
    if not targets:
        raise socket.gaierror(socket.EAI_NONAME, "the name has no IPv4 or IPv6 address")
    return list(targets)


def apply_options(sock: socket.socket, endpoint: Endpoint) -> None:
    """Set what the endpoint's options say about a socket of either side, bound or not yet connected.

    Streams over IP get ``TCP_NODELAY`` and keep-alive (60 s, then 4 probes 15 s apart) unless they say otherwise.

    Raises:
        OSError: the system refused a value.
        EndpointError: a value that cannot be, such as an interface that does not exist.
    """
    options = endpoint.options
    for key, name in (("rcvbuf", socket.SO_RCVBUF), ("sndbuf", socket.SO_SNDBUF)):
        if key in options:
            sock.setsockopt(socket.SOL_SOCKET, name, endpoint.number(key))
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    if sock.type == socket.SOCK_STREAM:
        _apply_tcp_options(sock, endpoint)
    else:
        _apply_udp_options(sock, endpoint)


def _apply_tcp_options(sock: socket.socket, endpoint: Endpoint) -> None:
    options = endpoint.options
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, endpoint.number("nodelay", True))
    keepalive = bool(options.get("keepalive", True))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, keepalive)
    if keepalive:
        for key, name, default in (
            ("keepalive_idle", socket.TCP_KEEPIDLE, KEEPALIVE_IDLE),
            ("keepalive_interval", socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL),
            ("keepalive_count", socket.TCP_KEEPCNT, KEEPALIVE_COUNT),
        ):
            sock.setsockopt(socket.IPPROTO_TCP, name, endpoint.number(key, default))
    if "user_timeout" in options:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, endpoint.number("user_timeout"))


def _apply_udp_options(sock: socket.socket, endpoint: Endpoint) -> None:
    options = endpoint.options
    if "broadcast" in options:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, bool(options["broadcast"]))
    if "ttl" in options:
        hops = endpoint.number("ttl")
        if hops > 255:
            raise EndpointError(f"endpoint {str(endpoint)!r}: ttl must be at most 255, not {hops}")
        if sock.family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, hops)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, hops)
    if "interface" in options:
        address, index = _interface(endpoint, sock.family)
        if sock.family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", bytes(4), address, index))
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)


def _interface(endpoint: Endpoint, family: int) -> tuple[bytes, int]:
    """The option ``interface`` as packed IPv4 address and index, of which one is zero; both, where it is absent."""
    name = endpoint.options.get("interface")
    if name is None:
        return bytes(4), 0
    try:
        address = socket.inet_pton(socket.AF_INET, str(name))
    except OSError:
        try:
            return bytes(4), socket.if_nametoindex(str(name))
        except OSError as exc:
            known = ", ".join(known for _, known in socket.if_nameindex())
            raise EndpointError(
                f"endpoint {str(endpoint)!r}: no interface {name!r}", hint=f"here are: {known}"
            ) from exc
    if family == socket.AF_INET6:
        raise EndpointError(
            f"endpoint {str(endpoint)!r}: an IPv6 group needs its interface's name, not {name}",
            hint="such as interface=eth0",
        )
    return address, 0


def scoped(endpoint: Endpoint, family: int, address: SocketAddress) -> SocketAddress:
    """An IPv6 group's address with the option ``interface`` as its scope, which link-local groups need (RFC 4007)."""
    if (
        family != socket.AF_INET6
        or not endpoint.is_multicast
        or "interface" not in endpoint.options
        or address[3:] > (0,)
    ):
        return address
    return (*address[:2], 0, _interface(endpoint, family)[1])


def _join_group(sock: socket.socket, endpoint: Endpoint, address: SocketAddress) -> None:
    local, index = _interface(endpoint, sock.family)
    group = socket.inet_pton(sock.family, str(address[0]).partition("%")[0])
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("=4s4si", group, local, index))
    else:
        scope = address[3] if len(address) > 3 else 0
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, struct.pack("=16sI", group, index or scope))


async def _bind_inet(endpoint: Endpoint, kind: int, proto: int, backlog: int | None) -> list[socket.socket]:
    targets = await resolve(endpoint, kind, proto, passive=True)
    for _ in range(_PORT_TRIES - 1):
        try:
            return _bind_all(endpoint, targets, kind, proto, backlog)
        except OSError as exc:
            # The first address got a free port that is taken on the second: ask for another one.
            if exc.errno != errno.EADDRINUSE or endpoint.port or len(targets) == 1:
                raise
    return _bind_all(endpoint, targets, kind, proto, backlog)


def _bind_all(
    endpoint: Endpoint, targets: list[Target], kind: int, proto: int, backlog: int | None
) -> list[socket.socket]:
    opened: list[socket.socket] = []
    port = endpoint.port
    absent: OSError | None = None
    try:
        for family, address in targets:
            try:
                opened.append(_bind_one(endpoint, family, (address[0], port, *address[2:]), kind, proto, backlog))
            except OSError as exc:
                if len(targets) == 1 or family != socket.AF_INET6 or exc.errno not in _ABSENT:
                    raise
                absent = exc
            else:
                port = opened[-1].getsockname()[1]
        if absent is not None and not opened:
            raise absent
    except BaseException:
        for sock in opened:
            sock.close()
        raise
    return opened


def _bind_one(
    endpoint: Endpoint, family: socket.AddressFamily, address: SocketAddress, kind: int, proto: int, backlog: int | None
) -> socket.socket:
    options = endpoint.options
    sock = socket.socket(family, kind, proto)  # asyncio sets TCP_NODELAY only where proto is explicit
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, bool(options.get("reuse_address", backlog is not None)))
        if "reuse_port" in options:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, bool(options["reuse_port"]))
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, bool(options.get("ipv6only", False)))
        if kind == socket.SOCK_DGRAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, DATAGRAM_RCVBUF)
        apply_options(sock, endpoint)
        sock.bind(scoped(endpoint, family, address))
        if endpoint.is_multicast:
            _join_group(sock, endpoint, address)
        if backlog is not None:
            sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


async def _bind_unix(endpoint: Endpoint, backlog: int) -> socket.socket:
    mode = endpoint.options.get("mode")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        apply_options(sock, endpoint)
        await bind_unix(sock, endpoint.path, mode=None if mode is None else int(str(mode), 8), backlog=backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _adopt(endpoint: Endpoint) -> socket.socket:
    """The inherited descriptor as a socket of our own: family, type and protocol are asked of the kernel."""
    descriptor = os.dup(endpoint.port)
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        raise
    try:
        if sock.type != socket.SOCK_STREAM:
            raise OSError(errno.EPROTOTYPE, "this socket is no stream")
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError(errno.EINVAL, "this socket is not listening")
        sock.setblocking(False)
        apply_options(sock, endpoint)
        if "backlog" in endpoint.options:
            sock.listen(endpoint.number("backlog"))
    except BaseException:
        sock.close()
        raise
    return sock


def reason_of(exc: BaseException) -> str:
    """What the system said, as the end of a sentence: ``permission denied``."""
    text = (exc.strerror if isinstance(exc, OSError) else None) or str(exc) or type(exc).__name__
    return text[0].lower() + text[1:] if text[1:2].islower() else text


def _bind_error(endpoint: Endpoint, exc: OSError | UnicodeError) -> BindError:
    code = exc.errno if isinstance(exc, OSError) and not isinstance(exc, socket.gaierror) else None
    return BindError(f"cannot listen on {endpoint.location}: {reason_of(exc)}", hint=_hint(endpoint, exc), errno=code)


def _hint(endpoint: Endpoint, exc: OSError | UnicodeError) -> str | None:
    if not isinstance(exc, OSError) or isinstance(exc, socket.gaierror):
        return f"check the name {endpoint.host!r}, or write an IP address; '*' means every address"
    if exc.errno in (errno.EMFILE, errno.ENFILE):
        return "no descriptor is free: raise the limit (ulimit -n), or let this server hold less"
    by_scheme = {"unix": _unix_hint, "fd": _descriptor_hint}
    return by_scheme.get(endpoint.scheme, _inet_hint)(endpoint, exc)


def _inet_hint(endpoint: Endpoint, exc: OSError) -> str | None:
    match exc.errno:
        case errno.EADDRINUSE:
            letter = "u" if endpoint.is_datagram else "t"
            shared = "; several receivers of one group need ?reuse_address=1 each" if endpoint.is_multicast else ""
            return f"'ss -l{letter}np sport = :{endpoint.port}' shows who has it; port 0 lets the system choose{shared}"
        case errno.EACCES if 0 < endpoint.port < 1024:
            return "ports below 1024 need root or CAP_NET_BIND_SERVICE; choose one from 1024 up"
        case errno.EADDRNOTAVAIL:
            return "no interface of this machine has this address ('ip addr' lists them); '*' means every address"
        case errno.EAFNOSUPPORT:
            return "this system does not speak that address family; try an IPv4 address"
        case errno.ENODEV | errno.EINVAL if endpoint.is_multicast:
            return "name the interface of this group, as in ?interface=127.0.0.1 or ?interface=eth0"
    return None


def _unix_hint(endpoint: Endpoint, exc: OSError) -> str | None:
    directory = os.path.dirname(os.path.abspath(endpoint.path))
    match exc.errno:
        case errno.EADDRINUSE:
            return "stop what is there, or choose another path"
        case errno.ENOENT:
            return f"the directory {directory} does not exist: make it first"
        case errno.EACCES | errno.EROFS | errno.EPERM:
            return f"this user must be able to create files in {directory}"
        case errno.ENAMETOOLONG:
            return "choose a shorter path, or one relative to the working directory"
    return None


def _descriptor_hint(endpoint: Endpoint, exc: OSError) -> str | None:
    if exc.errno == errno.EBADF:
        return f"descriptor {endpoint.port} must be open and inherited (subprocess: pass_fds=[{endpoint.port}])"
    return "it must be a listening stream socket, TCP or Unix"
