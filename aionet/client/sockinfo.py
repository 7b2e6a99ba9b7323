"""Connect, and look at the connection from below: options in force, TCP_INFO, TLS."""

from __future__ import annotations

import encodings.idna  # noqa: F401 - the first look-up would load it, and its time be counted
from contextlib import suppress
from dataclasses import dataclass

from ..core.certificate import CertificateFacts, parse_certificate
from ..core.connecting import ConnectTimings
from ..core.socket_facts import PeerCredentials, SocketFacts, SocketOption, read_socket_facts
from ..endpoint import Endpoint
from ..handler import Connection, TLSFacts
from .connecting import connect
from .datagram import open_datagram

__all__ = ["PeerCredentials", "SocketFacts", "SocketInfo", "SocketOption", "certificate_of", "inspect"]


@dataclass(frozen=True, slots=True)
class SocketInfo:
    """What was found.

    Attributes:
        endpoint: What was connected to.
        socket: What the kernel says.
        tls: What TLS agreed on, or ``None``.
        certificate: The peer's, verified or not; ``None`` if it showed none, or none that can be read.
        timings: How long connecting took; ``None`` for ``udp``, where nothing is connected.
    """

    endpoint: Endpoint
    socket: SocketFacts
    tls: TLSFacts | None
    certificate: CertificateFacts | None
    timings: ConnectTimings | None


async def inspect(endpoint: str | Endpoint, *, timeout: float = 10.0) -> SocketInfo:
    """Connect to ``endpoint``, look, and close again; nothing is sent.

    Args:
        endpoint: ``tcp://``, ``tls://``, ``unix://`` or ``udp://``, with the options to look at.
        timeout: Seconds to connect.

    Raises:
        EndpointError: the endpoint does not parse, or cannot be connected to.
        TLSConfigError: a certificate or CA file named in it.
        ConnectError: it could not be reached (also: ConnectTimeout), or TLS was refused.
    """
    where = Endpoint.parse(endpoint)
    if where.is_datagram:
        async with open_datagram(where, timeout=timeout) as port:
            return SocketInfo(where, read_socket_facts(port.fileno()), None, None, None)
    timings = ConnectTimings()
    conn: Connection[bytes] = await connect(where, timeout=timeout, timings=timings)
    try:
        tls = conn.tls
        return SocketInfo(where, read_socket_facts(conn.fileno()), tls, certificate_of(tls), timings)
    finally:
        # Nothing is waited for: a peer that does not answer our goodbye would hold us up.
        conn.abort()


def certificate_of(tls: TLSFacts | None) -> CertificateFacts | None:
    """The peer's certificate, if there is one that can be read."""
    if tls is not None and tls.certificate:
        with suppress(ValueError):
            return parse_certificate(tls.certificate)
    return None
