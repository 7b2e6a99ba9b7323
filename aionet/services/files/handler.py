"""The server's side of the file service: a directory, over the grammar of ``wire.py``.

One request at a time for each connection, in order. All that may wait for the disk is done in threads, by a
:class:`~.conversation.Conversation`; a large file goes from the disk to the socket by the kernel. What one connection
holds is bounded: the chunks received last, the answers to be sent next, and never a whole file.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar, TypeVarTuple, cast

import anyio

from aionet import CloseReason, Connection, Limits, StreamHandler, Timeouts
from aionet.errors import ProtocolError
from aionet.limits import KIB, MIB
from aionet.routing import regex

from .commands import commands
from .conversation import Close, Conversation, Pause, Service, Step
from .direct import Buffers
from .disk import THREADS, Disk, Lease, outcome
from .errors import from_os_error
from .hashing import choose
from .incoming import BUFFER, SMALL_BUFFER, IncomingBody, receive_whole
from .manifest import Hashes
from .paths import Directory
from .reading import Sending
from .rules import Tokens, certificate_name
from .store import Store
from .wire import MAX_SIZE, Batch, Message, Request, RequestCodec, Unreadable, explain

__all__ = ["Files"]

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

_COLLECTED: Final = 64 * KIB
"""Bytes of a body that is waited for, instead of being written piece by piece."""

_PASSED_OVER: Final = 1 * MIB
"""Bytes of a refused body that are read and thrown away; where more would follow, the connection is closed."""

_WRITING_THREADS: Final = 4
"""Threads in which uploads wait for the disk: fsync can take seconds, and readers must not wait behind it."""

_LARGE_BUFFERS: Final = 64
"""For so many uploads at full speed as disks have use for. A client that sends 4 MiB and then a byte now and then holds
two, and there may be a thousand of them: beyond these they get small ones, that cost some more CPU."""

_VERBS: Final = "|".join(commands(writable=True)).encode()
_MATCH: Final = regex(rb"(?:%b)[ ;\r\n]" % _VERBS) & ~regex(rb"[A-Z]+ (?:/|https?://)")
"""A verb in capitals, for "hello" is said to others too; and no request of HTTP: no name begins with a slash, or has
two in a row."""


class Files(StreamHandler[Message]):
    """Serve a directory: to be read, and if it is allowed to be written.

    While the server drains, a download that runs goes on until the drain deadline; nothing new is taken.

    Args:
        directory: Its path; or a :class:`~aionet.services.files.paths.Directory`, which stays the caller's to close; or
            the :class:`~aionet.services.files.store.Store` of another service, so that both go by the same rules.
        token: What a client has to send before anything else; or each user's own, by his name. A client whose
            certificate TLS has verified needs none, and goes by the common name in it. ``None``: nobody needs one.
        hidden: Whether names that begin with a dot are served; not for a ``Directory``, which has its own setting.
        threads: How many disk operations may run at once, those of uploads not counted.
        algorithms: Names of those by which clients may have contents hashed, the preferred ones first; ``sha256`` is
            one. ``None``: all that this machine has.
        rules: Fields of :class:`~aionet.services.files.rules.Rules`, such as ``writable=True``.

    Raises:
        ConfigError: the directory is absent, no directory, or may not be read; a token, a rule or an algorithm makes no
            sense.
    """

    match = _MATCH

    timeouts = Timeouts(
        first_message=60.0,  # a person who connects by hand types the first line
        message=10.0,  # ... but a line leaves a terminal whole; only the trickling of bytes takes longer
        idle=300.0,  # between two requests; while a file is being sent there are bytes
        send=60.0,  # a laptop that changes its network, a disk that spins up under the receiver
    )

    def __init__(
        self,
        directory: str | os.PathLike[str] | Directory | Store,
        *,
        token: str | Mapping[str, str] | None = None,
        hidden: bool = False,
        threads: int = THREADS,
        algorithms: Iterable[str] | None = None,
        **rules: Any,
    ) -> None:
        self.store = Store.of(directory, hidden=hidden, rules=rules)
        self.directory, checked = self.store.directory, self.store.rules
        # Where files are taken, one that is too large is refused in words, by its announcement.
        self.codec = RequestCodec(max_body=MAX_SIZE if checked.writable else _PASSED_OVER)
        self.limits = Limits(
            # A connection holds a descriptor for its file, and if it writes up to 32 more for a moment; and in bytes
            # what is said below, and while it writes what it has touched of two buffers: 130 KiB if it sends slowly
            # from the beginning, up to 512 KiB else, and 4 MiB the first 32 of them.
            max_connections=1_000,
            max_inbound=64 * KIB,
        )
        offered = choose(algorithms)
        self._service = Service(
            self.store,
            commands(writable=checked.writable, algorithms=offered),
            None if token is None else Tokens(token),
            Hashes(),
            offered,
        )
        self._reading, self._writing = Disk(threads), Disk(_WRITING_THREADS)
        self._buffers = Buffers(BUFFER, kept=2 * _WRITING_THREADS, most=_LARGE_BUFFERS, small=SMALL_BUFFER)

    def on_connect(self, conn: Connection[Message]) -> None:
        """Nothing is said: the client speaks first."""
        conversation = Conversation(self._service, certificate_name(conn.tls), conn.route, conn.peername)
        conn.state = _Connected(conversation)

    def on_close(self, conn: Connection[Message], reason: CloseReason, exc: BaseException | None) -> None:
        """What it holds is closed: now, or by the thread that uses it."""
        if isinstance(conn.state, _Connected):
            conn.state.lease.release()
            _report(conn, conn.state.conversation)

    def on_fault(self, conn: Connection[Message], fault: ProtocolError) -> None:
        """Say why, before the core closes."""
        conn.write(explain(fault))

    def on_message_nowait(self, conn: Connection[Message], message: Message) -> bool:
        """Answer what is asked most: one small file, which is in memory."""
        if not isinstance(message, Batch):
            return False
        conversation = _conversation(conn)
        answer = conversation.answer_at_once(message)
        if answer:
            _report(conn, conversation)
            conn.write(answer)
        return bool(answer)

    async def on_message(self, conn: Connection[Message], message: Message) -> None:
        """Answer any other requests: those that came together, or one whose body still comes."""
        if isinstance(message, Batch):
            await self._answer(conn, message)
        elif isinstance(message, Request) and message.size <= _COLLECTED and message.verb != "PUT":
            await self._answer(conn, [(message, await receive_whole(conn, message.size))])
        elif isinstance(message, Request):
            await self._receive(conn, message)

    async def _answer(self, conn: Connection[Message], requests: Iterable[tuple[Request | Unreadable, bytes]]) -> None:
        conversation = _conversation(conn)
        step = await self._run(conn, conversation.begin, requests)
        while True:
            if step.data:
                await conn.send(step.data)
            sent = await _act(conn, conversation, step)
            _report(conn, conversation)
            if step.done or conn.closing:
                return
            step = await self._run(conn, conversation.go_on, sent)

    async def _receive(self, conn: Connection[Message], request: Request) -> None:
        """Take a large body."""
        conversation, begin = _conversation(conn), [request]

        def take(data: memoryview, last: bool) -> asyncio.Future[bytes]:
            return self._start(conn, conversation.take, [data], last, begin.pop() if begin else None)

        offset = _offset_of(request)
        with IncomingBody(conn, request.size, offset, self._buffers, take, conversation.heard) as body:
            answer = b""
            if not body.has_begun():  # whoever sends nothing behind the line may wait for a refusal
                answer = await self._run(conn, conversation.receive, begin.pop())
            answer = answer or await body.run()
            _report(conn, conversation)
            await conn.send(answer)
            if body.missing > _PASSED_OVER:
                conn.close()
            else:
                await body.pass_over()

    async def _run(self, conn: Connection[Message], function: Callable[[*Ts], R], *args: *Ts) -> R:
        """Call a method of the conversation in a thread. It is closed only when the thread is out of it."""
        return await outcome(self._start(conn, function, *args))

    def _start(self, conn: Connection[Message], function: Callable[[*Ts], R], *args: *Ts) -> asyncio.Future[R]:
        connected = cast(_Connected, conn.state)
        disk = self._writing if connected.conversation.writes else self._reading
        return connected.lease.start(disk, lambda _: function(*args))


class _Connected:
    """What belongs to one connection."""

    __slots__ = ("conversation", "lease")

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.lease: Lease[Conversation] = Lease(Conversation.close)
        self.lease.put(conversation)


def _conversation(conn: Connection[Message]) -> Conversation:
    return cast(_Connected, conn.state).conversation


def _offset_of(request: Request) -> int:
    """Where its body belongs, as far as it can be told before its options are looked at."""
    text = request.options.get("offset", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


async def _act(conn: Connection[Message], conversation: Conversation, step: Step) -> int:
    """Do what only the event loop can; bytes of a file that were sent."""
    action = step.action
    if isinstance(action, Sending):
        before = conn.stats.bytes_sent
        try:
            return await conn.send_file(action.file, action.offset, action.count)
        except OSError as exc:
            raise from_os_error(exc, action.name) from exc
        finally:
            conversation.sent = conn.stats.bytes_sent - before
    if isinstance(action, Pause):
        await anyio.sleep(action.seconds)
    elif isinstance(action, Close):
        conn.close()
    return 0


def _report(conn: Connection[Message], conversation: Conversation) -> None:
    finished, conversation.finished = conversation.finished, []
    for event in finished:
        conn.emit(event)
