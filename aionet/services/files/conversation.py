"""One connection as the threads of a server see it: who it is, and how each of its requests is answered.

Nothing here waits for the network, and all of it may wait for the disk: it runs in threads, for one connection in one
at a time. It is asked for one step after the other: bytes that are to go out, and the few things that only the event
loop can do. So many small requests cost one hop to a thread, and a large file goes out without passing through here.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from aionet.events import Address, TransferFinished

from .commands import Command, Options, read_options
from .entries import tag_of
from .errors import BadRequest, Code, NotFound, TransferError, make_error, shown
from .hashing import SHA256, Algorithm
from .manifest import CHUNK, Hashes
from .reading import Sending, get_facts, get_file, get_listing, get_manifest, get_small_file_at_once
from .rules import ANYBODY, Tokens
from .store import Store
from .wire import VERSION, Batch, ErrorReply, Reply, Request, RequestCodec, Unreadable
from .writing import Committing, Writing

__all__ = ["Close", "Conversation", "Pause", "Service", "Step"]

_STEP: Final = 256 * 1024
"""Bytes of answers that are gathered before they are sent."""

_ONE_LINE: Final = 512
"""Bytes of a request that may be answered without a thread."""

_WRONG_TOKEN: Final = 1.0
"""Seconds until a wrong token is answered."""

_MAX_WRONG_TOKENS: Final = 3
"""After so many the connection is closed."""

_encode: Final = RequestCodec().encode
_AUDITED: Final = frozenset("AUTH GET PUT COMMIT CANCEL MKDIR DELETE RENAME".split())
_FOR_ALL: Final = frozenset(("HELLO", "AUTH", "QUIT"))


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is to happen for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Close:
    """The connection is to be closed, behind what was sent."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is to happen next on the connection: ``data`` is sent, then ``action`` done; ``done``: all is answered."""

    data: bytes
    action: Sending | Pause | Close | None = None
    done: bool = False


_Action = Reply | ErrorReply | bytes | Sending | Pause | Close


@dataclass(frozen=True, slots=True)
class Service:
    """What all conversations of one server share."""

    store: Store
    commands: Mapping[str, Command]
    tokens: Tokens | None
    hashes: Hashes
    algorithms: Mapping[str, Algorithm]


class Conversation:
    """One connection, as the threads see it.

    Args:
        service: Of the server.
        user: Who the peer has proven to be by a certificate; ``None``: nobody.
        route, peer: For what is reported.

    Attributes:
        finished: What is to be reported; whoever does so clears it.
        sent: Bytes of a file that have left, also if the connection broke before all had.
        writes: Whether it is at an upload: then it may wait for the disk longer than others want to wait for it.
    """

    def __init__(self, service: Service, user: str | None, route: str, peer: Address) -> None:
        self._service = service
        self._directory = service.store.directory
        self._user = ANYBODY if user is None and service.tokens is None else user
        self._wrong_tokens = 0
        self._route, self._peer = route, peer
        self._writing = Writing(service.store, service.hashes)
        self._actions: Generator[_Action, int, None] | None = None
        self._receiving: tuple[Request, float] | None = None  # since when
        self._received = 0
        self.sent = 0
        self.finished: list[TransferFinished] = []
        self.writes = False

    # ---- what the handler asks for -------------------------------------------------------------

    def begin(self, requests: Iterable[tuple[Request | Unreadable, bytes]]) -> Step:
        """Answer these, each with the whole of its body; the first step."""
        self._actions = self._answer_all(requests)
        return self._advance(None)

    def answer_at_once(self, batch: Batch) -> bytes:
        """The answer to one ``GET`` of a small file that is in memory; empty, where :meth:`begin` has to be asked.

        It never waits for a disk, so that it may be called on the event loop.
        """
        if len(batch.data) > _ONE_LINE or batch.data.count(b"\n") > 1:
            return b""
        started = time.monotonic()
        ((request, _),) = batch
        if not isinstance(request, Request) or request.verb != "GET":
            return b""
        try:
            answer = get_small_file_at_once(self._directory, request.name, self._check(request))
        except TransferError:
            return b""
        if answer is None:
            return b""
        reply, content = answer
        self._audit(request, started, reply.size)
        return _encode(reply) + content

    def go_on(self, sent: int = 0) -> Step:
        """The next step. ``sent``: bytes that have left, if the step before was a :class:`Sending`."""
        return self._advance(sent)

    def receive(self, request: Request) -> bytes:
        """A large body is coming, and will be given to :meth:`take`; unless there is an answer already."""
        started = time.monotonic()
        try:
            options = self._check(request)
            if request.verb != "PUT":
                raise BadRequest(f"a body of {request.size} bytes is too long for {request.verb}")
            self.writes = True
            self._writing.begin(self._name_of_user, request.name, options)
        except TransferError as exc:
            return _encode(self._outcome(request, started, 0, exc))
        self._receiving, self._received = (request, started), 0
        return b""

    def heard(self) -> None:
        """Some of the body has come, though too little to be taken yet. For the event loop, at any time."""
        self._writing.heard()

    def take(self, pieces: Sequence[bytes | memoryview], last: bool, request: Request | None = None) -> bytes:
        """Some of the body; the answer, if it was the last of it, or one is due before.

        ``request``: of which these are the first; unless :meth:`receive` was told of it.
        """
        if request is not None:
            refusal = self.receive(request)
            if refusal:
                return refusal
        assert self._receiving is not None
        request, started = self._receiving
        outcome: Reply | TransferError | None
        try:
            self._writing.write(pieces)
            self._received += sum(map(len, pieces))
            outcome = self._writing.received() if last else None
        except TransferError as exc:
            outcome = exc
        if outcome is None:
            return b""
        self._receiving = None
        return _encode(self._outcome(request, started, self._received, outcome))

    def close(self) -> None:
        """The connection is gone. Idempotent."""
        if self._actions is not None:
            self._actions.close()
        if self._receiving is not None:
            request, started = self._receiving
            self._receiving = None
            self._audit(request, started, self._received, Code.INTERRUPTED)
        self._writing.close()

    def _advance(self, sent: int | None) -> Step:
        assert self._actions is not None
        data: list[bytes] = []
        size = 0
        try:
            action = self._actions.send(cast(int, sent))  # None is what starts a generator
            while not isinstance(action, (Sending, Pause, Close)):
                data.append(_encode(action))
                size += len(data[-1])
                if size >= _STEP:
                    return Step(b"".join(data))
                action = next(self._actions)
        except StopIteration:
            return Step(b"".join(data), done=True)
        return Step(b"".join(data), action)

    # ---- one request after the other -----------------------------------------------------------

    def _answer_all(self, requests: Iterable[tuple[Request | Unreadable, bytes]]) -> Generator[_Action, int, None]:
        held: list[Reply | ErrorReply | Committing] = []  # answers that wait for the disk, or behind such
        for request, body in requests:
            if held and (isinstance(request, Unreadable) or self._writing.must_settle_before(request)):
                yield from self._settle(held)
            if isinstance(request, Unreadable):
                yield ErrorReply(Code.BAD_REQUEST, request.reason)
            elif request.verb in ("PUT", "COMMIT"):
                held.append(self._write(request, body))
                if not self._writing.waiting:
                    yield from self._settle(held)
            else:
                yield from self._answer(request, body)
        yield from self._settle(held)

    def _settle(self, held: list[Reply | ErrorReply | Committing]) -> Iterator[Reply | ErrorReply]:
        """Commit what waits to be committed, and give the answers that wait for it, in their order."""
        settled = iter(self._writing.settle())
        for each in held:
            if isinstance(each, Committing):
                _, outcome = next(settled)
                yield self._outcome(each.request, each.started, each.claim.upload.received, outcome)
            else:
                yield each
        held.clear()

    def _write(self, request: Request, body: bytes) -> Reply | ErrorReply | Committing:
        started = time.monotonic()
        try:
            options, user = self._check(request), self._name_of_user
            self.writes = True
            if request.verb == "COMMIT":
                waiting = self._writing.verify(user, request, options, started)
                if isinstance(waiting, Committing):
                    return waiting
                return self._outcome(request, started, 0, waiting)
            self._writing.begin(user, request.name, options)
            self._writing.write([body])
            return self._outcome(request, started, request.size, self._writing.received())
        except TransferError as exc:
            return self._outcome(request, started, 0, exc)

    def _answer(self, request: Request, body: bytes) -> Generator[_Action, int, None]:
        started, size, outcome = time.monotonic(), 0, "OK"
        try:
            for action in self._carry_out(request, body, self._check(request)):
                sent = yield action
                if isinstance(action, Sending):
                    size += sent
                    if sent < action.count:  # it shrank: the client sees too few bytes, never made-up ones
                        outcome = Code.CHANGED
                elif isinstance(action, bytes):
                    size += len(action)
        except TransferError as exc:
            yield self._outcome(request, started, size, exc)
            if self._wrong_tokens >= _MAX_WRONG_TOKENS:
                yield Close()
        except GeneratorExit:  # the connection is gone
            self._audit(request, started, size + self.sent, Code.INTERRUPTED)
            raise
        else:
            self._audit(request, started, size, outcome)
            if outcome != "OK":
                yield Close()

    def _carry_out(self, request: Request, body: bytes, options: Options) -> Iterable[_Action]:
        name, store = request.name, self._service.store
        match request.verb:
            case "GET":
                return get_file(self._directory, name, options)
            case "LIST":
                return get_listing(self._directory, name, options)
            case "HASH":
                return self._hash(name, options)
            case "STAT" if options:
                upload = self._writing.find(self._name_of_user, name, options["upload"])
                return (Reply(0, {"received": str(upload.received if upload is not None else 0)}),)
            case "STAT":
                return (get_facts(self._directory, name),)
            case "HELLO":
                return self._hello()
            case "AUTH":
                return self._authorize(name)
            case "QUIT":
                return (Reply(0), Close())
            case "CANCEL":
                self._writing.cancel(self._name_of_user, name, options["upload"])
            case "MKDIR":
                store.make_directory(name, self._name_of_user)
            case "DELETE":
                store.delete(name, options.get("tag"))
            case "RENAME":
                self._writing.rename(name, body, options)
        return (Reply(0),)

    def _hello(self) -> tuple[Reply, bytes]:
        rules = self._service.store.rules
        body = "".join(f"{command.usage}\n" for command in self._service.commands.values()).encode()
        facts = {
            "protocol": "aionet-files",
            "version": VERSION,
            "hash": SHA256.name,
            "hashes": ",".join(self._service.algorithms),
            "chunk": str(CHUNK),
            "auth": "none" if self._user is not None else "token",
            "write": "1" if rules.writable else "0",
        }
        return Reply(len(body), facts | ({"max-file": str(rules.max_file)} if rules.writable else {})), body

    def _authorize(self, token: str) -> Iterator[_Action]:
        tokens = self._service.tokens
        user = ANYBODY if tokens is None else tokens.user_of(token)
        if user is not None:
            self._user = user
            yield Reply(0)
            return
        self._wrong_tokens += 1
        yield Pause(_WRONG_TOKEN)
        raise make_error(Code.UNAUTHORIZED, "wrong token")

    def _hash(self, name: str, options: Options) -> Iterator[_Action]:
        hashes = self._service.hashes
        if "upload" not in options:
            with self._directory.opened(name) as (descriptor, found):
                yield from get_manifest(hashes, descriptor, name, options, {"tag": tag_of(found)})
            return
        upload = self._writing.find(self._name_of_user, name, options["upload"])
        if upload is None:
            raise NotFound(f"nothing was received for this upload of {shown(name)}")
        with upload.held() as descriptor:
            yield from get_manifest(hashes, descriptor, name, options, {})

    # ---- what all have in common ---------------------------------------------------------------

    @property
    def _name_of_user(self) -> str:
        return self._user or ANYBODY

    def _check(self, request: Request) -> Options:
        """The options of a request that may be carried out.

        Raises:
            TransferError: BAD_REQUEST, UNAUTHORIZED.
        """
        command = self._service.commands.get(request.verb)
        if command is None:
            known = ", ".join(self._service.commands)
            raise BadRequest(f"there is no command {request.verb}; known: {known}")
        if self._user is None and request.verb not in _FOR_ALL:
            raise make_error(Code.UNAUTHORIZED, "this server wants a token first: AUTH token")
        return read_options(command, request)

    def _outcome(self, request: Request, started: float, size: int, what: Reply | TransferError) -> Reply | ErrorReply:
        """Report how a request ended; what it is answered."""
        if isinstance(what, Reply):
            self._audit(request, started, size)
            return what
        self._audit(request, started, size, what.code)
        return ErrorReply(what.code, what.message)

    def _audit(self, request: Request, started: float, size: int, outcome: str = "OK") -> None:
        if request.verb in _AUDITED:
            name = "" if request.verb == "AUTH" else request.name  # a token is never told
            seconds = time.monotonic() - started
            self.finished.append(
                TransferFinished(
                    self._route, self._peer, self._user or ANYBODY, request.verb, name, size, seconds, outcome
                )
            )
