"""A client's datagram port."""

from __future__ import annotations

import asyncio

from ..core.datagram import UDPPort, open_datagram_port
from ..core.loop import client_events
from ..datagram import DatagramHandler
from ..endpoint import Endpoint
from ..errors import ConnectTimeout
from .opening import Opening

__all__ = ["open_datagram"]


def open_datagram(
    endpoint: str | Endpoint, *, handler: DatagramHandler | None = None, timeout: float = 10.0
) -> Opening[UDPPort]:
    """A datagram port connected to ``endpoint``: ``async with open_datagram("udp://127.0.0.1:7000") as port``.

    UDP has no handshake: that it opens says nothing about a peer being there.

    Args:
        endpoint: A ``udp://`` endpoint with the peer's host and port.
        handler: Gets the datagrams by its callbacks, as on a server, and refusals of the network by ``on_error``;
            ``receive`` is then not for use. Left out, whoever opens the port receives.
        timeout: Seconds to look the name up.

    Raises:
        EndpointError: the endpoint does not parse, or is no UDP peer.
        RouteError: the handler is no :class:`~aionet.DatagramHandler`.
        ConnectError: the name does not resolve, or no route leads there.
        ConnectTimeout: not looked up in time.
    """
    where = Endpoint.parse(endpoint)

    async def open_() -> UDPPort:
        try:
            async with asyncio.timeout(timeout):
                return await open_datagram_port(where, handler, events=client_events(handler))
        except TimeoutError as exc:
            raise ConnectTimeout(f"cannot reach {where.location}: no answer within {timeout:g} s") from exc

    return Opening(open_)
