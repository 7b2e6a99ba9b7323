"""Opening datagram ports: a server's, one for each address it is bound to, and a client's."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from ..endpoint import Endpoint
from ..errors import ConnectError, EndpointError
from ..events import Events
from ..styles import datagram_style
from .sockets import SocketAddress, apply_options, bind_datagram, reason_of, resolve, scoped
from .udp_port import UDPPort

__all__ = ["UDPPort", "listen_datagram", "open_datagram_port"]


async def listen_datagram(endpoint: Endpoint, handler: object, *, events: Events, route: str) -> list[UDPPort]:
    """Bind a ``udp`` endpoint and serve it: one port for each of its addresses, all of them or none.

    Raises:
        RouteError: no datagram handler.
        BindError: the system refused.
        EndpointError: not a datagram endpoint, or an option that cannot be.
    """
    datagram_style(handler)
    loop = asyncio.get_running_loop()
    sockets = await bind_datagram(endpoint)
    ports = [UDPPort(loop, sock, handler, events=events, endpoint=endpoint, route=route) for sock in sockets]
    started: list[UDPPort] = []
    try:
        for port in ports:
            port.start()
            started.append(port)
    except BaseException:
        for sock, port in zip(sockets, ports, strict=True):
            if port in started:
                port.close()
            else:
                sock.close()
        raise
    return ports


async def open_datagram_port(endpoint: Endpoint, handler: object | None = None, *, events: Events) -> UDPPort:
    """A client's port: connected to the endpoint, so that it hears from that peer alone, and of refusals.

    For a multicast group, and with ``broadcast``, answers come from other addresses than the one sent to: then the
    socket is not connected, :meth:`~UDPPort.send` goes to the group all the same, and anybody may answer. Without a
    ``handler`` datagrams wait until they are received.

    Raises:
        RouteError: no datagram handler.
        ConnectError: the name does not resolve, or no route leads there.
        EndpointError: not a datagram endpoint, no port, or an option that cannot be.
    """
    if not endpoint.is_datagram or not endpoint.port:
        raise EndpointError(f"endpoint {str(endpoint)!r} is no UDP peer", hint="such as udp://127.0.0.1:7000")
    if handler is not None:
        datagram_style(handler)
    loop = asyncio.get_running_loop()
    connected = not (endpoint.is_multicast or endpoint.options.get("broadcast"))
    try:
        targets = await resolve(endpoint, socket.SOCK_DGRAM, socket.IPPROTO_UDP, passive=False)
        sock, peer = _open_first(endpoint, targets, connected)
    except (OSError, UnicodeError) as exc:
        raise ConnectError(f"cannot reach {endpoint.location}: {reason_of(exc)}") from exc
    route = endpoint.location
    port = UDPPort(loop, sock, handler, events=events, endpoint=endpoint, route=route, peer=peer, connected=connected)
    port.start()
    return port


def _open_first(
    endpoint: Endpoint, targets: Sequence[tuple[int, SocketAddress]], connected: bool
) -> tuple[socket.socket, SocketAddress]:
    """A socket for the first address the system has a route to."""
    failure: OSError | None = None
    for family, target in targets:
        try:
            sock = socket.socket(family, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
        except OSError as exc:
            failure = failure or exc
            continue
        try:
            sock.setblocking(False)
            apply_options(sock, endpoint)
            address = scoped(endpoint, family, target)
            if connected:
                sock.connect(address)
            else:
                sock.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", 0))
            return sock, address
        except OSError as exc:
            sock.close()
            failure = failure or exc
        except BaseException:
            sock.close()
            raise
    raise failure or OSError("the name has no address")
