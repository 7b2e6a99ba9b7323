"""UDP on our own non-blocking socket: a batch of datagrams for each wake-up of the loop.

The transports of asyncio and uvloop cost more, cannot pause, and never send an empty datagram (asyncio 3.11,
uvloop 0.23). Here one readiness callback takes a batch of datagrams, hands each over, and sends the replies together;
in callback style there is no task at all. Nothing a peer or the network does ends a port.

The three styles of :class:`~aionet.handler.DatagramStyle`:

* **callback**: ``on_datagram`` is called straight from the readiness callback.
* **async on_datagram**: datagrams pass through a bounded inbox to one task, which serves them in order.
* **coroutine**: likewise, the task is the handler. When it returns, the port closes. When it raises, that is
  reported and it is started anew at the next datagram; if it had taken none, the oldest one is dropped, so that a
  handler that always fails makes progress all the same.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import islice
from typing import cast

import anyio

from ..datagram import DatagramHandler, DatagramPort
from ..endpoint import Endpoint
from ..events import Address, DatagramStats, Events, HandlerFailed
from ..limits import KIB
from ..styles import DatagramStyle, datagram_style
from .datagram_calls import MERGED_SLOTS, SLOTS, datagram_calls
from .datagram_queue import Datagram, DatagramQueue, DropReport
from .loop import FAILURES
from .sockets import SocketAddress, reason_of

__all__ = ["UDPPort"]


class UDPPort(DatagramPort[bytes]):
    """A UDP socket served by a handler, or held by a client.

    ``stats.datagrams_received`` counts all that was read from the system, also what then found no room in the
    inbox; ``datagrams_sent`` what the system took; ``datagrams_dropped`` what went neither way.

    Args:
        loop: The running loop; it must support ``add_reader``.
        sock: Bound or connected, non-blocking. The port owns and closes it.
        handler: Any datagram handler, or ``None``: a client, which calls :meth:`receive`.
        events: Where drops and failures are reported.
        endpoint: What was asked for; :attr:`endpoint` carries the real port instead.
        route: Name used in events.
        peer: Where :meth:`send` goes without a ``peer``.
        connected: Whether the socket is connected to ``peer``.
    """

    __slots__ = (
        *("_callback", "_connected", "_events", "_handler", "_loop", "_peer", "_route", "_sock", "_sockname", "_style"),
        *("_batch", "_error", "_inbox", "_outbox", "_serving", "_taken", "_task", "_waiter", "endpoint"),
        *("_closed", "_closing", "_draining"),
        *("_drops", "_received", "_received_bytes", "_sent", "_sent_bytes"),
        *("_largest_merged", "_merged", "_calls"),
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        handler: object | None,
        *,
        events: Events,
        endpoint: Endpoint,
        route: str = "",
        peer: Address = None,
        connected: bool = False,
    ) -> None:
        self._style = None if handler is None else datagram_style(handler)
        self._loop = loop
        self._sock = sock
        self._handler = handler
        self._events = events
        self._route = route
        self._peer = peer
        self._connected = connected
        self._sockname: SocketAddress = sock.getsockname()
        self.endpoint = Endpoint("udp", self._sockname[0], self._sockname[1], options=endpoint.options)
        self._callback = cast(DatagramHandler, handler).on_datagram if self._style is DatagramStyle.CALLBACK else None
        self._drops = DropReport(loop, events, self.endpoint.location)
        self._batch: list[Datagram] | None = None  # replies collected while a batch is handled
        self._serving: Address = None  # the peer of the datagram being handled: known to be an address
        self._inbox = DatagramQueue()
        self._outbox = DatagramQueue()
        self._waiter: asyncio.Future[None] | None = None
        self._error: OSError | None = None
        self._task: asyncio.Task[None] | None = None
        self._taken = 0
        self._calls = datagram_calls()
        self._merged = False  # whether datagrams come merged just now
        self._largest_merged = 64 * KIB  # bytes of a datagram above which it is not merged with others
        self._calls.allow_merging(sock)
        self._draining = self._closing = False
        self._closed = asyncio.Event()
        self._received = self._received_bytes = self._sent = self._sent_bytes = 0

    # -- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Call ``on_bind``, then begin to receive. What ``on_bind`` raises passes through; nothing has begun then."""
        if isinstance(self._handler, DatagramHandler):
            self._handler.on_bind(self)
        if self._closing:
            return
        if self._style is DatagramStyle.ASYNC_DATAGRAM:
            self._task = self._loop.create_task(self._serve_datagrams(cast(DatagramHandler, self._handler)))
        elif self._style is DatagramStyle.COROUTINE:
            serve = cast("Callable[[UDPPort], Awaitable[object]]", self._handler)
            self._task = self._loop.create_task(self._serve_coroutine(serve))
        if self._task is not None:
            self._task.add_done_callback(self._on_task_done)
        self._loop.add_reader(self._sock.fileno(), self._on_readable)

    def drain(self) -> None:
        """Stop receiving and call ``on_drain``; close as soon as what was received is served.

        In callback style that is at once. A coroutine sees ``EndOfStream`` behind the last datagram; the port closes
        when it returns. Wait with :meth:`wait_closed`; :meth:`close` cuts it short. Idempotent.
        """
        if self._draining or self._closing:
            return
        self._draining = True
        self._loop.remove_reader(self._sock.fileno())
        self._notify("on_drain")
        if self._task is None:
            self.close()
        else:
            self._wake()

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        batch, self._batch = self._batch, None
        self._send_all(batch or ())
        self._on_writable()
        self._drops.add(len(self._outbox.items), "closed before they could be sent")
        self._drops.add(len(self._inbox.items), "closed before they were served")
        self._outbox = self._inbox = DatagramQueue()
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        self._wake()
        if self._task is None or self._task.done():
            self._finish()
        elif self._task is not asyncio.current_task(self._loop):
            self._task.cancel()  # its end calls _finish; a handler that closes its own port ends by itself

    async def aclose(self) -> None:
        """:meth:`close`, then wait until the handler has ended (unless it is the handler that calls)."""
        self.close()
        if self._task is None or self._task is not asyncio.current_task(self._loop):
            await self.wait_closed()

    async def wait_closed(self) -> None:
        """Wait until the port is closed, its handler has ended, and ``on_close`` has returned."""
        await self._closed.wait()

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # failures are reported already; this marks the rest (SystemExit) as seen
        if self._closing:
            self._finish()
        else:
            self.close()

    def _finish(self) -> None:
        self._notify("on_close")
        self._drops.finish()
        self._closed.set()

    def _notify(self, name: str, *args: object) -> None:
        if isinstance(self._handler, DatagramHandler):
            try:
                getattr(self._handler, name)(self, *args)
            except FAILURES as exc:
                self._failed(name, None, exc)

    def _failed(self, where: str, peer: Address, exc: BaseException) -> None:
        self._events.emit(HandlerFailed(self._route, peer, where, exc))

    def _cancelled(self, exc: BaseException) -> bool:
        """Whether ``exc`` ends the port's task, rather than something that its handler awaited."""
        return isinstance(exc, asyncio.CancelledError) and (self._task is None or self._task.cancelling() > 0)

    # -- receiving ------------------------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        slots = MERGED_SLOTS if self._merged else SLOTS
        datagrams, size, self._merged = self._calls.receive(self._sock, slots, self._on_receive_error)
        self._received += len(datagrams)
        self._received_bytes += size
        if self._callback is None:
            for datagram in datagrams:
                self._enqueue(datagram)
        else:
            self._call_back(self._callback, datagrams)

    def _call_back(self, callback: Callable[..., object], datagrams: list[Datagram]) -> None:
        self._batch = []
        rest = iter(datagrams)
        try:
            for data, peer in rest:
                self._serving = peer
                try:
                    callback(self, data, peer)
                except FAILURES as exc:
                    self._failed("on_datagram", peer, exc)
                if self._draining or self._closing:
                    self._drops.add(len(list(rest)), "closed before they were served")
                    break
        finally:
            self._serving = None
            batch, self._batch = self._batch, None
            if batch:
                self._send_all(batch)

    def _on_receive_error(self, exc: OSError) -> None:
        """An ICMP message about something sent earlier; Linux tells only connected sockets (udp(7))."""
        if not self._connected:
            self._drops.add(1, reason_of(exc))
            return
        if not (self._draining or self._closing):  # libuv stops polling a socket that has an error, untold
            self._loop.remove_reader(self._sock.fileno())
            self._loop.add_reader(self._sock.fileno(), self._on_readable)
        if isinstance(self._handler, DatagramHandler):
            self._notify("on_error", exc)
        else:
            self._error = exc
            self._wake()

    def _enqueue(self, item: Datagram) -> None:
        if self._inbox.put(item):
            self._wake()
        else:
            self._drops.add(1, "the inbox is full")

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait_readable(self) -> bool:
        """Wait for a datagram, an error, or the end; whether it is a datagram."""
        if self._waiter is not None:
            raise anyio.BusyResourceError("receiving from")
        while not (self._inbox.items or self._error or self._draining or self._closing):
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return bool(self._inbox.items)

    async def receive(self) -> tuple[bytes, Address]:
        if self._style in (DatagramStyle.CALLBACK, DatagramStyle.ASYNC_DATAGRAM):
            raise anyio.BusyResourceError("receiving from")
        if await self._wait_readable():
            self._taken += 1
            return self._inbox.pop()
        if self._closing:
            raise anyio.ClosedResourceError
        if self._error is not None:
            error, self._error = self._error, None
            raise anyio.BrokenResourceError from error
        raise anyio.EndOfStream

    def __aiter__(self) -> AsyncIterator[tuple[bytes, Address]]:
        return self

    async def __anext__(self) -> tuple[bytes, Address]:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def _serve_datagrams(self, handler: DatagramHandler) -> None:
        while await self._wait_readable():
            data, peer = self._inbox.pop()
            try:
                await handler.on_datagram(self, data, peer)
            except FAILURES as exc:
                if self._cancelled(exc):
                    raise
                self._failed("on_datagram", peer, exc)

    async def _serve_coroutine(self, handler: Callable[[UDPPort], Awaitable[object]]) -> None:
        while True:
            taken = self._taken
            try:
                await handler(self)
                return
            except FAILURES as exc:
                if self._cancelled(exc):
                    raise
                if self._closing and isinstance(exc, anyio.ClosedResourceError):
                    return  # its port was closed under it; nothing failed
                self._failed("handler", None, exc)
            if self._taken == taken and self._inbox.items:
                self._inbox.pop()
                self._drops.add(1, "the handler failed")
            await asyncio.sleep(0)  # a handler that fails at once must not keep the loop from others
            if not await self._wait_readable():
                return

    # -- sending --------------------------------------------------------------------------------------------------

    def send(self, data: bytes, peer: Address = None) -> None:
        if type(data) is not bytes:
            data = memoryview(data).tobytes()  # a copy: it may wait; and a TypeError here, for str and the like
        if peer is None:
            if self._peer is None:
                raise ValueError("this port is not connected: send(data, peer) needs the peer")
            peer = None if self._connected else self._peer
        elif peer is not self._serving:
            self._check_peer(peer)
        if self._batch is None:
            self._send_all(((data, peer),))
        else:
            self._batch.append((data, peer))
            if len(self._batch) >= SLOTS:
                batch, self._batch = self._batch, []
                self._send_all(batch)

    def _check_peer(self, peer: Address) -> None:
        """The system would look a name up, and block the loop meanwhile."""
        family = self._sock.family
        if self._closing:
            return
        try:
            if not isinstance(peer, tuple):
                raise TypeError
            host, port, *_ = peer
            socket.inet_pton(family, host.partition("%")[0])
        except (OSError, TypeError, ValueError, AttributeError) as exc:
            kind = "IPv6" if family == socket.AF_INET6 else "IPv4"
            raise ValueError(f"peer {peer!r} is not (address, port) with an {kind} address") from exc
        if not isinstance(port, int) or not 0 < port < 65536:
            raise ValueError(f"peer {peer!r} has no port from 1 to 65535")

    def _send_all(self, batch: Sequence[Datagram]) -> None:
        """Send, or put into the outbox behind what waits there already, or drop."""
        if self._sock.fileno() < 0:
            self._drops.add(len(batch), "the port is closed")
            return
        done = 0 if self._outbox.items else self._transmit(batch)
        if done == len(batch):
            return
        if not self._outbox.items and not self._closing:
            self._loop.add_writer(self._sock.fileno(), self._on_writable)
        refused = sum(not self._outbox.put(item) for item in islice(batch, done, None))
        if refused:
            self._drops.add(refused, "the outbox is full")

    def _on_writable(self) -> None:
        outbox = self._outbox
        while outbox.items:
            batch = list(islice(outbox.items, SLOTS))
            done = self._transmit(batch)
            for _ in range(done):
                outbox.pop()
            if done < len(batch):
                return
        if not self._closing:
            self._loop.remove_writer(self._sock.fileno())

    def _transmit(self, batch: Sequence[Datagram]) -> int:
        """Hand datagrams to the system until it takes no more; how many are done with (sent, or refused for good).

        The one place where datagrams leave: many a call, merged where they can be, or one by one.
        """
        done = 0
        while done < len(batch):
            if len(batch) - done > 1:
                rest = batch[done : done + SLOTS]
                taken, size, merged = self._calls.send(self._sock, rest, self._largest_merged, self._on_receive_error)
                done += taken
                self._sent += taken
                self._sent_bytes += size
                if merged:  # longer than the path carries, or the interface cannot take them apart
                    self._largest_merged = len(batch[done][0]) - 1
                if taken == len(rest):
                    continue
            if not self._transmit_one(*batch[done]):
                break
            done += 1
        return done

    def _transmit_one(self, data: bytes, peer: Address) -> bool:
        """Whether the datagram is done with: sent, or refused for good."""
        try:
            if peer is None:
                self._send_connected(self._sock, data)
            else:
                self._sock.sendto(data, cast(SocketAddress, peer))
        except BlockingIOError:
            return False
        except (OSError, OverflowError, TypeError) as exc:  # EMSGSIZE, ENETUNREACH, a scope that cannot be...
            self._drops.add(1, reason_of(exc))
        else:
            self._sent += 1
            self._sent_bytes += len(data)
        return True

    def _send_connected(self, sock: socket.socket, data: bytes) -> None:
        try:
            sock.send(data)
        except ConnectionRefusedError as exc:
            # The refusal is of an earlier datagram; reporting it kept this one from leaving (udp(7)).
            self._on_receive_error(exc)
            sock.send(data)

    # -- facts ----------------------------------------------------------------------------------------------------

    @property
    def sockname(self) -> Address:
        return self._sockname

    @property
    def peername(self) -> Address:
        return self._peer

    @property
    def closing(self) -> bool:
        """Whether the port is closed, or closes as soon as its handler has ended."""
        return self._closing

    @property
    def stats(self) -> DatagramStats:
        return DatagramStats(self._received, self._sent, self._drops.total, self._received_bytes, self._sent_bytes)

    def fileno(self) -> int:
        return self._sock.fileno()

    def __repr__(self) -> str:
        return f"<UDPPort {self.endpoint.location}{' closed' if self._closing else ''}>"
