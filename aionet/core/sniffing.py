"""The first of a connection, where its route is not known at once; then out of the way.

::

    accepted --> [PROXY header] --> [TLS] --> [first bytes] --> the route's own protocol takes this one's place

Each step is there only if the port asks for it, and each has a deadline. What was read and is the route's goes to its
protocol first; after that nothing of this is left on the connection's way. A connection is admitted before any of it:
whoever says nothing has a place all the same, counted by address.
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
import struct
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol, cast

from ..codecs.proxy_header import MAX_HEADER, SIGNATURE_V1, SIGNATURE_V2, parse
from ..errors import ProtocolError
from ..events import Address, CloseReason, Events, HandlerFailed
from ..limits import Timeouts
from ..matching import ConnectionFacts, Verdict
from ..routing import Port, Route, peer
from .admission import TOO_MANY, address_key
from .context import ConnectionNames, Door
from .deadlines import Deadlines
from .loop import FAILURES
from .tls import server_name
from .tls_transport import TLSTransport, receiver, tls_transport

__all__ = ["Host", "PendingConnection", "PortContext", "PortDoor"]

_TLS_HANDSHAKE: Final = 0x16
"""The first byte of a TLS connection: the content type of its first record (RFC 8446, section 5.1)."""

AT_ONCE: Final = 4096
"""Bytes taken at once, though fewer may decide: most first messages, and a ClientHello, then need no second read."""

# What a pending connection is waiting for.
_PLACE, _PROXY, _FIRST_BYTE, _HANDSHAKE, _ROUTE, _DONE = range(6)

_UCRED: Final = struct.Struct("3i")


class PortDoor(Door, Protocol):
    """The door of a port whose connections are not known when they come in."""

    def crowded(self, key: Hashable) -> bool:
        """Whether the address that is counted by ``key`` has all the connections it may have."""

    def move(self, conn: PendingConnection, key: Hashable) -> None:
        """Count a connection that has been admitted by another address."""

    def report_refused(self, peer: Address, why: str) -> None:
        """A connection has been, or is being, closed for this reason before a handler has seen it."""


class Host(Protocol):
    """What serves a route whose connections come by way of a :class:`PendingConnection`."""

    def refuses(self, address_key: Hashable) -> str | None:
        """Why there is no room for one more of this address, if so."""

    def make(self, peer: Address) -> Any:
        """The protocol of a new connection; ``None``: it could not be made, which is reported."""

    def begin(
        self, protocol: Any, transport: asyncio.Transport, address_key: Hashable, names: ConnectionNames | None
    ) -> None:
        """The protocol has been set: the connection is the host's, under these names if its transport has others."""


class PortContext:
    """What the pending connections of one port share.

    Attributes:
        port: The routes, and who decides among them.
        hosts: What serves each of them.
        tls: What to serve TLS with; may be replaced, for those that come later. ``None``: none is served.
        pending: The connections whose route is not known yet.
        door: Who has let them in.
    """

    door: PortDoor

    def __init__(
        self,
        port: Port,
        hosts: Mapping[Route, Host],
        *,
        loop: asyncio.AbstractEventLoop,
        events: Events,
        deadlines: Deadlines,
        timeouts: Timeouts,
        tls: ssl.SSLContext | None,
    ) -> None:
        self.port = port
        self.hosts = hosts
        self.name = port.routes[0].name
        self.loop = loop
        self.events = events
        self.deadlines = deadlines
        self.timeouts = timeouts
        self.tls = tls
        self.pending: set[PendingConnection] = set()
        self.tls_type = tls_transport(loop)
        self.trusted = peer(*port.proxy_networks) if port.proxy_networks else None
        # One for all: what is read into it is taken out before anybody else reads.
        self.buffer = memoryview(bytearray(max(port.peek, AT_ONCE, MAX_HEADER)))

    def trusts(self, address: Address) -> bool:
        """Whether PROXY headers from there are believed."""
        if self.trusted is None:
            return False
        return self.trusted.match(b"", ConnectionFacts(peer=address)) is Verdict.MATCH


class PendingConnection(asyncio.BufferedProtocol):
    """A connection from its acceptance until its route is known."""

    __slots__ = (
        "_context",
        "_data",
        "_facts",
        "_give_up_at",
        "_names",
        "_proxied",
        "_silent_at",
        "_step",
        "_transport",
        "_trusted",
        "address_key",
        "due",
    )

    _transport: asyncio.Transport
    _names: ConnectionNames
    _facts: ConnectionFacts

    def __init__(self, context: PortContext) -> None:
        self._context = context
        self._data = bytearray()
        self._step = _PLACE
        self._give_up_at = self._silent_at = math.inf
        self._proxied = self._trusted = False
        self.address_key: Hashable = None
        self.due = -1

    # ---- the transport calls these ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by class
        self._names = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if self._context.door.admit(self):
            self.begin()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._context.buffer[: len(self._context.buffer) - len(self._data)]

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(self._context.buffer[:nbytes])

    def data_received(self, data: bytes | memoryview) -> None:
        """More has come; called by a TLS transport too."""
        self._data += data
        if self._step == _PLACE:
            self._transport.pause_reading()  # uvloop's begins to read behind connection_made, paused or not
        elif self._step == _PROXY:
            self._take_header()
        elif self._step == _FIRST_BYTE:
            self._take_first_byte()
        else:
            self._decide()

    def secured(self, transport: TLSTransport) -> None:
        """The TLS handshake is done."""
        tls = transport.get_extra_info("ssl_object")
        self._facts = replace(self._facts, tls=True, server_name=server_name(tls), alpn=tls.selected_alpn_protocol())
        self._find_route()

    def eof_received(self) -> bool:
        if self._step == _PLACE:
            return True  # as above; it reads the end again
        while self._data and self._step in (_PROXY, _ROUTE) and not self.closing:
            self._give_up("the client has ended the connection")
        if self._step == _DONE:
            return bool(cast(Any, self._transport.get_protocol()).eof_received())
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        context = self._context
        context.deadlines.forget(self)
        context.pending.discard(self)
        if self._step == _PLACE:
            context.door.leave_early(self)
            return
        if isinstance(exc, ssl.SSLError):
            context.door.report_refused(self.peername, f"TLS failed: {exc.reason or exc}")
        context.door.leave(self)

    # ---- the door calls these ----------------------------------------------------------------------

    @property
    def peername(self) -> Address:
        """Who has connected; behind a trusted PROXY header, the real client."""
        return self._names[0]

    @property
    def closing(self) -> bool:
        """Whether it is about to be gone."""
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        """Wait for a place."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """There is a place."""
        self._transport.resume_reading()

    def abort(self, reason: CloseReason = CloseReason.REFUSED) -> None:
        """Close at once."""
        self._transport.abort()

    def begin(self) -> None:
        """There is a place, and it is taken."""
        context = self._context
        context.pending.add(self)
        self._facts = ConnectionFacts(peer=self.peername, unix_user=_unix_user(self._transport, self._names[1]))
        self._trusted = context.trusts(self.peername)
        if context.trusted is None:
            self._begin_stream()
        else:
            self._wait_for(_PROXY, context.timeouts.sniff)
            if self._data:
                self._take_header()

    # ---- deadlines -------------------------------------------------------------------------------

    def _wait_for(self, step: int, seconds: float) -> None:
        self._step = step
        now = self._context.loop.time()
        self._give_up_at = now + seconds
        silence = self._context.port.silence
        self._silent_at = math.inf if silence is None or self._data or step == _HANDSHAKE else now + silence
        self._context.deadlines.watch(self, min(self._give_up_at, self._silent_at))

    def check_deadlines(self, now: float) -> float | None:
        if self._step == _PLACE:  # no place has come free in time
            self.abort()
        elif self.closing:  # such as after a TLS failure, while the peer is told
            return None
        elif now >= self._give_up_at:
            self._give_up(f"{self._context.timeouts.sniff:g} s have passed")
        elif now >= self._silent_at:
            self._silent_at = math.inf
            if not self._data:
                self._be_silent()
        return None if self._step in (_PLACE, _DONE) or self.closing else min(self._give_up_at, self._silent_at)

    def _be_silent(self) -> None:
        """The client waits for our first words, it seems."""
        if self._step != _PROXY:
            self._decide(silent=True)
        elif not self._trusted:
            self._begin_stream()

    def _give_up(self, why: str) -> None:
        """No more will come, or not in time."""
        if self._step == _HANDSHAKE:
            self._refuse("the TLS handshake was not finished in time")
        elif self._step != _PROXY:
            self._decide(final=True)
        elif self._trusted:
            self._refuse(f"{why} before the PROXY header was complete")
        else:
            self._begin_stream()

    def _refuse(self, why: str) -> None:
        self.abort()
        self._context.door.report_refused(self.peername, why)

    # ---- one step after the other ------------------------------------------------------------------

    def _take_header(self) -> None:
        data = bytes(self._data)
        if not self._trusted:
            if data.startswith((SIGNATURE_V1, SIGNATURE_V2)):
                self._refuse("a PROXY header from an address that is not trusted to send one")
            elif not (SIGNATURE_V1.startswith(data) or SIGNATURE_V2.startswith(data)):
                self._begin_stream()
            return
        try:
            header = parse(data)
        except ProtocolError as exc:
            self._refuse(str(exc))
            return
        if header is None:
            return
        del self._data[: header.size]
        if header.source is not None and not self._is_of(header.source, header.destination):
            return
        self._begin_stream()

    def _is_of(self, source: Address, destination: Address) -> bool:
        """Count and show the connection as the client's for whom the proxy speaks; whether there is room for it."""
        self._names = source, destination
        self._proxied = True
        self._facts = replace(self._facts, peer=source)
        key = address_key(source)
        if self._context.door.crowded(key):
            self._refuse(TOO_MANY)
            return False
        self._context.door.move(self, key)
        return True

    def _begin_stream(self) -> None:
        """What comes now is the client's own: plain, or TLS."""
        context = self._context
        if context.tls is None:
            self._find_route()
        elif context.port.endpoint.scheme == "auto":
            self._wait_for(_FIRST_BYTE, context.timeouts.sniff)
            self._take_first_byte()
        else:
            self._begin_tls(context.tls)

    def _take_first_byte(self) -> None:
        if self._data:
            assert self._context.tls is not None
            if self._data[0] == _TLS_HANDSHAKE:
                self._begin_tls(self._context.tls)
            else:
                self._find_route()

    def _begin_tls(self, tls: ssl.SSLContext) -> None:
        context = self._context
        self._wait_for(_HANDSHAKE, context.timeouts.handshake)
        raw = self._transport
        transport = context.tls_type(raw, tls, self, loop=context.loop, deadlines=context.deadlines, names=self._names)
        self._transport = transport
        raw.set_protocol(transport)  # type: ignore[arg-type]  # it is one by what it does
        if self._data:
            data = bytes(self._data)
            self._data.clear()
            transport.data_received(data)

    def _find_route(self) -> None:
        self._step = _ROUTE
        self._decide()
        if self._step == _ROUTE and not self.closing:
            self._wait_for(_ROUTE, self._context.timeouts.sniff)

    def _decide(self, *, silent: bool = False, final: bool = False) -> None:
        facts = replace(self._facts, silent=True) if silent else self._facts
        try:
            route = self._context.port.decide(bytes(self._data), facts, final=final)
        except FAILURES as exc:  # somebody's own matcher
            self.abort()
            self._context.events.emit(HandlerFailed(self._context.name, self.peername, "match", exc))
            return
        if isinstance(route, Route):
            self._hand_over(self._context.hosts[route])
        elif route is None:
            self._refuse("no route matches its first bytes" if self._data else "it has said nothing")

    def _hand_over(self, host: Host) -> None:
        context, transport = self._context, self._transport
        why = host.refuses(self.address_key)
        if why is not None:
            self._refuse(why)
            return
        protocol = host.make(self.peername)
        if protocol is None:
            self.abort()
            return
        self._step = _DONE
        context.deadlines.forget(self)
        context.pending.discard(self)
        transport.set_protocol(protocol)
        host.begin(protocol, transport, self.address_key, self._names if self._proxied else None)
        if self._data and not transport.is_closing():
            try:
                receiver(transport.get_protocol())(bytes(self._data))  # maybe not the one it has begun with
            except BaseException:
                transport.abort()  # as the transport would, had it called; a deadline may have
                raise


def _unix_user(transport: asyncio.Transport, sockname: Address) -> int | None:
    """Whose process has connected over a Unix socket; ``None``: over none, or the system does not tell."""
    if isinstance(sockname, tuple) or not hasattr(socket, "SO_PEERCRED"):
        return None
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family != socket.AF_UNIX:
        return None
    _, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return int(uid)
