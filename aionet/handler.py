"""The contracts: what users subclass, and what they hold.

Three ways to write a handler for a stream, chosen once at registration by what is overridden:

* **callbacks** (:class:`StreamHandler` with a plain ``on_message`` or ``on_messages``): called straight from the
  socket's readiness, no task, the fast path. A callback must not block.
* **async messages** (:class:`StreamHandler` with ``async def on_message``): one task per connection serves the
  messages in order, one at a time; those that ``on_message_nowait`` can answer need no turn of it.
* **coroutine** (a plain ``async def handler(conn)``): one task per connection; it reads with ``async for`` and
  the connection closes when it returns.

Datagrams have the same three: ``datagram.py``.

One handler instance serves a whole route. What belongs to one connection is kept in ``conn.state``.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Hashable
from typing import Any, Generic, Self, TypeVar

from anyio.abc import ObjectStream

from .errors import IncompleteFrame, ProtocolError
from .events import Address, CloseReason, ConnectionStats, Event
from .limits import Limits, Timeouts
from .matching import Matcher

__all__ = [
    "Codec",
    "CodecSource",
    "Connection",
    "StreamHandler",
    "TLSFacts",
]

M = TypeVar("M")


class Codec(Generic[M]):
    """Bytes to messages and back, without IO. One instance for each connection.

    Subclass it with :meth:`feed` and :meth:`encode` alone; the rest has working defaults. A subclass that keeps its
    instances small with ``__slots__`` lists ``"fault"`` among them (and ``"max_size"``, ``"replies"`` if it sets
    them for each instance) and sets it to ``None`` in its constructor.

    Attributes:
        max_size: Largest message taken from a peer, bytes. Always finite, and checked from the header where the
            grammar has one: before the message is buffered.
        fault: Set by ``feed``/``feed_eof`` when the peer broke the grammar; from then on nothing more is fed.
        replies: Whether the codec has a conversation of its own with the peer (a handshake, pongs, a farewell): only
            then is it asked for the last four methods below. Codecs that leave it ``False`` pay nothing for it.
        batches: Whether messages are ``bytes`` and :meth:`encode_batch` is faster than one :meth:`encode` each. What a
            callback writes to its own connection is then encoded when its chunk is done.
        pending: Whether more messages are complete than were returned: ``feed(b"")`` gives the next. A coroutine's
            connection, or one with an ``async def on_message``, asks once those before are taken: so a chunk of tiny
            messages is not ten thousand objects at once. Other styles do not ask.
        text: Whether messages are text, for a carrier that tells text from binary.
        is_open: Whether its handshake with the peer, if it has one, is done: ``on_connect`` comes after that. It then
            stays true. The handshake has ``Timeouts.handshake``; if it comes to a :attr:`fault`, or is :attr:`ended`,
            the connection closes and no handler hears of it.
        ended: Whether the peer has said goodbye in the codec's own way: to the handler that is the end of the stream.
    """

    __slots__ = ()  # so that the built-in codecs, of which every idle connection has one, go without a dictionary

    max_size: int = 64 * 1024
    fault: ProtocolError | None = None
    replies: bool = False
    batches: bool = False
    pending: bool = False
    text: bool = False
    is_open: bool = True
    ended: bool = False

    def feed(self, data: bytes) -> list[M]:
        """Take a whole chunk as it came from the socket; return every message it completes.

        "Not complete yet" is an empty list. What the peer did wrong is put into :attr:`fault`, not raised, so that
        the good messages before it in the same chunk are delivered first. Called once a chunk, by the core.
        """
        raise NotImplementedError

    def feed_eof(self) -> list[M]:
        """The peer will send no more. Called at most once, after the last ``feed``, unless there was a fault.

        Bytes left over are a fault (:class:`~aionet.errors.IncompleteFrame`), unless the grammar says otherwise.
        """
        if self.buffered:
            # mypy does not see that every subclass has a place for it: a slot of its own, or a dictionary.
            self.fault = IncompleteFrame(  # type: ignore[misc]
                f"the stream ended inside a message, {self.buffered} bytes into it"
            )
        return []

    @property
    def buffered(self) -> int:
        """Bytes held of a message not yet complete. Asked at deadlines and at the end, never a message."""
        return 0

    def encode(self, message: M) -> bytes:
        """The message as bytes for the wire, ready to be sent in any order with others.

        Raises:
            EncodeError: the grammar cannot carry this message: our side's mistake, so it goes to the caller.
        """
        raise NotImplementedError

    def encode_batch(self, messages: list[M]) -> bytes:
        """Several messages at once: one ``join`` instead of many additions. Used where :attr:`batches` is true.

        Raises:
            EncodeError: one of them cannot be encoded.
        """
        return b"".join([self.encode(message) for message in messages])

    def encoder(self) -> Callable[[M], bytes]:
        """What a connection calls for each message that it does not batch: :meth:`encode`, or the same done faster."""
        return self.encode

    def encoding_key(self) -> Hashable:
        """Codecs with equal keys encode equally, so that a group encodes a message once for all of them.

        ``None`` (the default) means: the same as the other connections of its route. A codec whose encoding depends
        on the connection must return something unique.
        """
        return None

    def clone(self) -> Self:
        """A fresh codec with the same settings, for the next connection. Only called on one never fed."""
        return copy.deepcopy(self)

    def adopt(self, own: CodecSource[Any]) -> Codec[Any]:
        """The codec to serve a handler by, which has ``own``: this one, unless it is a carrier that lacks an inner one.

        Called once a route, before any :meth:`clone`.
        """
        return self

    # ---- in a carrier: another codec whose messages have borders, such as WebSocket's ------------

    def feed_payload(self, payload: bytes) -> list[M]:
        """Take one whole message of a carrier. By default those of a peer, put together, are the stream to feed.

        A codec whose messages need no framing there says so by overriding this and :meth:`encode_payload`: a line is
        one without its line end, too. Faults as in :meth:`feed`.
        """
        return self.feed(payload)

    def encode_payload(self, message: M) -> bytes:
        """As :meth:`encode`, for one whole message of a carrier."""
        return self.encode(message)

    # ---- a conversation of its own: asked for only where ``replies`` is true ---------------------

    def data_to_send(self) -> bytes:
        """What the codec itself has to send. Asked after each ``feed``; on a codec not open, at the start, too."""
        return b""

    def farewell(self, reason: CloseReason) -> bytes:
        """The last words: nothing will be encoded after them. The peer's goodbye, if it is to come, is waited for."""
        return b""

    def keepalive(self) -> bytes:
        """A question that a living peer answers, asked when nothing was heard from it for ``Timeouts.keepalive``."""
        return b""

    def carry(self, data: bytes) -> bytes:
        """Bytes that :meth:`encode` did not make, as they go over the wire: of ``write_encoded``, of a file."""
        return data


CodecSource = Codec[M] | Callable[[], Codec[M]]
"""An instance, of which each connection gets a ``clone()``, or anything that makes one: the class itself, a lambda."""


class TLSFacts:
    """What the TLS handshake of a connection agreed on.

    Attributes:
        version: Such as ``"TLSv1.3"``.
        cipher: Such as ``"TLS_AES_256_GCM_SHA384"``.
        alpn: The protocol chosen by ALPN, or ``None``.
        peer_certificate: The peer's certificate as :meth:`ssl.SSLSocket.getpeercert` gives it; empty if none was shown,
            or if it was not verified.
        certificate: The same certificate as it came (DER, X.509), verified or not; empty if none was shown.
    """

    __slots__ = ("alpn", "certificate", "cipher", "peer_certificate", "version")

    def __init__(
        self,
        version: str,
        cipher: str,
        alpn: str | None,
        peer_certificate: dict[str, Any],
        certificate: bytes = b"",
    ) -> None:
        self.version = version
        self.cipher = cipher
        self.alpn = alpn
        self.peer_certificate = peer_certificate
        self.certificate = certificate

    def __repr__(self) -> str:
        return f"TLSFacts(version={self.version!r}, cipher={self.cipher!r}, alpn={self.alpn!r})"


class Connection(ObjectStream[M]):
    """One connection, on either side. It is anyio's ``ObjectStream`` of messages, and more.

    Callback handlers use :meth:`write`; coroutines use :meth:`send`, :meth:`receive` and ``async for``. Operations
    raise anyio's exceptions: ``EndOfStream`` (the peer said goodbye), ``ClosedResourceError`` (we closed),
    ``BrokenResourceError`` (anything else ended it; its ``__cause__`` says what), ``BusyResourceError`` (two tasks
    at once). Not thread-safe: only the event loop's thread may touch it.
    """

    __slots__ = ()

    @abstractmethod
    def write(self, message: M) -> None:
        """Encode and buffer a message; returns at once. All writes of one chunk, or one tick, leave together.

        On a connection that is closing or closed it does nothing: the bytes could not arrive either way. Whoever
        needs to know uses :meth:`send`. Back-pressure: ``on_writable``, :attr:`writable`, or :meth:`send`.

        Raises:
            EncodeError: the codec cannot encode this message. With a codec that batches (lines), what a callback writes
                to its own connection is checked when the chunk is done: then the connection closes, HANDLER_ERROR.
        """

    @abstractmethod
    def write_encoded(self, data: bytes) -> None:
        """As :meth:`write`, for bytes in the codec's form already; of a codec that carries another, in that one's."""

    @abstractmethod
    async def send(self, item: M) -> None:
        """:meth:`write`, then wait until the peer keeps up. Some, all or none of it may have arrived on return.

        Cancelled while it waits, the message stays buffered and is still sent.

        Raises:
            EncodeError: the codec cannot encode this message.
            anyio.ClosedResourceError: we closed the connection.
            anyio.BrokenResourceError: it ended for any other reason.
        """

    @abstractmethod
    async def send_file(self, file: int, offset: int, count: int) -> int:
        """Send bytes of a file, behind what was written before; what is written meanwhile follows behind them.

        The bytes go to the peer as they are: a codec's header is written first. On a plain connection the kernel
        copies them (``sendfile(2)``). Waits while the peer does not keep up, and takes turns with others that send
        files, so that the loop is never held for longer than half a MiB takes. A slow disk is waited for in
        a thread.

        Args:
            file: Descriptor of a regular file; stays the caller's, who keeps it open until this returns.
            offset: Where in the file to begin, bytes.
            count: How many bytes.

        Returns:
            Bytes that left, or wait in the transport; fewer than ``count`` only where the file ended before. Whoever
            has announced more can but close.

        Raises:
            ValueError: a negative number.
            OSError: the file cannot be read; some of it may have left.
            anyio.BusyResourceError: another file is being sent.
            anyio.ClosedResourceError: we closed the connection.
            anyio.BrokenResourceError: it ended for any other reason.

        Cancelled, some of it has left: whoever has announced the rest can but abort.
        """

    @abstractmethod
    async def receive(self) -> M:
        """The next message. Only for clients, coroutine handlers, and ``async on_message``, which is then not called
        for it; cancelled, it loses nothing.

        Raises:
            anyio.EndOfStream: the peer sends no more (or the server drains), and all was received.
            anyio.ClosedResourceError: we closed the connection.
            anyio.BrokenResourceError: it ended for any other reason.
            anyio.BusyResourceError: another task is already receiving.
        """

    @abstractmethod
    def receive_nowait(self) -> M:
        """The next message, if it has come already; for whoever can use several at once.

        Raises:
            anyio.WouldBlock: it has not, or none will: :meth:`receive` tells.
        """

    @abstractmethod
    async def send_eof(self) -> None:
        """Send what waits, then tell the peer that no more will come. Reading goes on.

        The TLS of a client cannot: it closes.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """:meth:`close`, then wait until the connection is gone. Cancelled while it waits, it aborts."""

    @abstractmethod
    def close(self) -> None:
        """Send what waits, then close. Messages received and not yet delivered are discarded. Idempotent."""

    @abstractmethod
    def abort(self, reason: CloseReason = CloseReason.LOCAL_CLOSED) -> None:
        """Close at once; what waits is thrown away and the peer sees a reset. Idempotent."""

    @abstractmethod
    def pause_reading(self) -> None:
        """Deliver no more messages, and read no more, until :meth:`resume_reading`. Idempotent."""

    @abstractmethod
    def resume_reading(self) -> None:
        """Undo :meth:`pause_reading`. Messages held back are delivered from the next tick on. Idempotent."""

    @abstractmethod
    async def wait_closed(self) -> None:
        """Wait until the connection is gone, whoever ends it."""

    @property
    @abstractmethod
    def writable(self) -> bool:
        """Whether the peer keeps up: open, and no more than ``high_water`` bytes wait."""

    @property
    @abstractmethod
    def closing(self) -> bool:
        """Whether the connection is closed or about to be."""

    @property
    @abstractmethod
    def peername(self) -> Address:
        """The peer's address, as the socket module gives it."""

    @property
    @abstractmethod
    def sockname(self) -> Address:
        """Our own address."""

    @property
    @abstractmethod
    def tls(self) -> TLSFacts | None:
        """What TLS agreed on, or ``None`` on a plain connection."""

    @property
    @abstractmethod
    def route(self) -> str:
        """The name of the route that serves this connection; a client's: the endpoint it connected to."""

    @property
    @abstractmethod
    def stats(self) -> ConnectionStats:
        """Counts up to now."""

    @property
    @abstractmethod
    def state(self) -> Any:
        """Yours: a :class:`types.SimpleNamespace`, made at first use; or assign whatever you like to it."""

    @state.setter
    @abstractmethod
    def state(self, value: Any) -> None: ...

    @property
    @abstractmethod
    def codec(self) -> Codec[M]:
        """This connection's codec."""

    @abstractmethod
    def emit(self, event: Event) -> None:
        """Report something about this connection to whoever watches the server."""

    @abstractmethod
    def wants(self, kind: type[Event]) -> bool:
        """Whether anybody listens for events of this kind. Ask before building one on a busy path."""

    @abstractmethod
    def fileno(self) -> int:
        """The socket's descriptor, for looking (options, TCP_INFO); -1 when closed. Do not read or write it."""


class StreamHandler(Generic[M]):
    """What to do with a stream connection. Override what you need; every callback is optional.

    One instance serves all connections of its route. Callbacks run on the event loop and must not block. For one
    connection they never overlap and come in this order: ``on_connect``, then any number of ``on_message`` and
    ``on_writable``, then at most one of ``on_eof`` or ``on_fault``, then exactly one ``on_close``. An exception
    raised by any of them closes that connection alone (``HANDLER_ERROR``), is reported once, and never reaches the
    loop; ``on_close`` still follows.

    Attributes:
        codec: How bytes become messages. ``None``: chunks of bytes as they come.
        limits: Replaces the server's limits for routes of this handler, unless the route says otherwise.
        timeouts: Likewise for deadlines.
        match: How its clients begin, for a port that it shares: ``router.add(endpoint, Mine(), match=Mine.match)``, or
            ``serve ENDPOINT=one,two`` on the command line. On a port of its own it plays no part.
    """

    codec: CodecSource[M] | None = None
    limits: Limits | None = None
    timeouts: Timeouts | None = None
    match: Matcher | None = None

    def on_connect(self, conn: Connection[M]) -> None:
        """A connection is admitted, its handshakes (TLS, codec) done. Called once, before any message. May close."""

    def on_message(self, conn: Connection[M], message: M) -> Any:
        """One message has come. ``async def`` is allowed: then each is awaited before the next is delivered.

        If it closes or pauses the connection, the rest of the batch is discarded, or held back.
        """

    def on_message_nowait(self, conn: Connection[M], message: M) -> bool:
        """Beside an ``async def on_message``: each message is offered here first, unless the peer lags behind.

        ``True``: it is answered, without the turn of a task (15 us). ``False``: nothing was written; it is awaited.
        """
        return False

    def on_messages(self, conn: Connection[M], messages: list[M]) -> None:
        """All messages of one chunk at once, for handlers that can use the whole batch. Instead of ``on_message``."""

    def on_eof(self, conn: Connection[M]) -> None:
        """The peer sends no more; it may still read. Called at most once. The default closes after what waits."""
        conn.close()

    def on_writable(self, conn: Connection[M]) -> None:
        """The output fell below ``low_water`` after it had been above ``high_water``."""

    def on_fault(self, conn: Connection[M], fault: ProtocolError) -> None:
        """The peer broke the grammar. Last chance to write why; the connection closes after what waits."""

    def on_drain(self, conn: Connection[M]) -> None:
        """The server is leaving: finish, say goodbye, close. The default closes after what waits.

        A handler that does not close here is waited for until the drain deadline, then cut.
        """
        conn.close()

    def on_close(self, conn: Connection[M], reason: CloseReason, exc: BaseException | None) -> None:
        """The connection is gone, its socket closed. Exactly once, after everything else."""
