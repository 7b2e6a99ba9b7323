"""A key-value server that Redis clients can talk to (RESP2), with a codec of its own, expiry and a memory limit.

Run it, from the project's directory, by any of::

    python -m examples.kv
    python -m aionet serve examples.kv:router

Try it, with Redis' own tools or by hand (inline commands)::

    redis-cli -p 6380 SET greeting hello EX 60
    redis-cli -p 6380 GET greeting
    redis-benchmark -p 6380 -t ping,set,get,incr -P 16 -q
    printf 'SET a 1\\r\\nINCR a\\r\\nQUIT\\r\\n' | nc 127.0.0.1 6380

Nothing is written to disk.
"""

from __future__ import annotations

import heapq
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from aionet import Codec, Connection, Router, StreamHandler, run
from aionet.errors import EncodeError, FrameTooLarge, MalformedFrame, ProtocolError

MAX_COMMAND: Final = 1024 * 1024
"""Bytes of one command on the wire. Redis allows 512 MiB a value, for clients it trusts."""

MAX_ARGUMENTS: Final = 1024
"""Arguments of one command, its name included."""

MAX_MEMORY: Final = 64 * 1024 * 1024
"""Bytes of keys and values together; beyond, SET and INCR are refused."""

HEADER: Final = 32
"""Bytes of a line that announces a count or a length: a 64-bit number has 20 digits."""

_INTEGER: Final = re.compile(rb"-?(0|[1-9][0-9]{0,18})\Z")


class Status(str):
    """A simple string: ``+OK``."""

    __slots__ = ()


class Failure(str):
    """An error: ``-ERR no such thing``. It is an answer, the connection goes on."""

    __slots__ = ()


class RespCodec(Codec[Any]):
    """Commands in (a list of ``bytes`` each), replies out (RESP2, the "Redis serialization protocol specification").

    A command is an array of bulk strings, ``*1\\r\\n$4\\r\\nPING\\r\\n``, or an inline one, words on a line. A reply
    is a :class:`Status`, a :class:`Failure`, an ``int``, ``bytes``, ``None``, or a list of replies.

    Args:
        max_size: Bytes of one command on the wire.
        max_arguments: Arguments of one command.
    """

    def __init__(self, max_size: int = MAX_COMMAND, max_arguments: int = MAX_ARGUMENTS) -> None:
        self.max_size = max_size
        self.max_arguments = max_arguments
        self._buffer = bytearray()  # from the first byte not yet taken
        self._position = 0  # up to where this chunk's loop has taken bytes
        self._searched = 0  # up to where there is no line end: nothing is searched twice
        self._reset()

    def _reset(self) -> None:
        self._arguments: list[bytes] = []
        self._missing = 0  # arguments still to come
        self._bulk = -1  # length of the argument being read; -1: its header comes first
        self._taken = 0  # bytes of this command that are out of the buffer

    def feed(self, data: bytes) -> list[list[bytes]]:
        """The commands that this chunk completes. Sizes are checked when they are announced."""
        if self.fault is not None:
            return []
        self._buffer += data
        commands: list[list[bytes]] = []
        while self._advance(commands):
            pass
        if self.fault is not None:
            self._buffer.clear()
            self._reset()
        else:
            del self._buffer[: self._position]
            self._searched -= self._position
        self._position = 0
        return commands

    @property
    def buffered(self) -> int:
        """Bytes of a command that is not complete."""
        return self._taken + len(self._buffer)

    def encode(self, message: Any) -> bytes:
        """A reply; of a list of ``bytes`` it is what a client would send as a command."""
        match message:
            case Status():
                return b"+%b\r\n" % message.encode()
            case Failure():
                return b"-%b\r\n" % " ".join(message.split()).encode()  # a line end in it would end the reply
            case bytes():
                return b"$%d\r\n%b\r\n" % (len(message), message)
            case bool():
                raise EncodeError("RESP2 has no booleans: reply 0 or 1")
            case int():
                return b":%d\r\n" % message
            case None:
                return b"$-1\r\n"
            case list():
                return b"*%d\r\n%b" % (len(message), b"".join([self.encode(part) for part in message]))
        raise EncodeError(f"a reply is a Status, Failure, int, bytes, None or list, not {type(message).__name__}")

    def _advance(self, commands: list[list[bytes]]) -> bool:
        """Take a line or an argument; whether there may be more."""
        if self._bulk >= 0:
            return self._take_argument(commands)
        line = self._take_line()
        if line is None:
            return False
        if self._missing:
            self._announce_argument(line)
        elif line.startswith(b"*"):
            self._announce_array(line)
        else:
            self._taken = 0
            words = line.split()
            if len(words) > self.max_arguments:
                self.fault = FrameTooLarge(f"more than {self.max_arguments} arguments")
            elif words:  # an empty line is nothing, as in Redis
                commands.append(words)
        return self.fault is None

    def _take_line(self) -> bytes | None:
        start, buffer = self._position, self._buffer
        if start == len(buffer):
            return None
        announces = self._missing > 0 or buffer[start] == ord("*")
        limit = HEADER if announces else self.max_size
        end = buffer.find(b"\n", max(start, self._searched))
        size = (end if end >= 0 else len(buffer)) - start
        if size > limit and not (size == limit + 1 and buffer[start + limit] == ord("\r")):
            self.fault = MalformedFrame("expected a number") if announces else FrameTooLarge("too big inline request")
            return None
        if end < 0:
            self._searched = len(buffer)
            return None
        self._position = self._searched = end + 1
        self._taken += size + 1
        return bytes(buffer[start:end]).removesuffix(b"\r")

    def _announce_array(self, line: bytes) -> None:
        count = _number(line[1:])
        if count is None:
            self.fault = MalformedFrame("invalid multibulk length")
        elif count > self.max_arguments:
            self.fault = FrameTooLarge(f"invalid multibulk length: {count}, at most {self.max_arguments}")
        elif count > 0:
            self._missing = count
        else:  # an empty array is nothing, as in Redis
            self._taken = 0

    def _announce_argument(self, line: bytes) -> None:
        size = _number(line[1:])
        if not line.startswith(b"$"):
            self.fault = MalformedFrame(f"expected '$', got {ascii(line[:1])[1:]}")
        elif size is None or size < 0:
            self.fault = MalformedFrame("invalid bulk length")
        elif self._taken + size + 2 > self.max_size:
            self.fault = FrameTooLarge(f"invalid bulk length: a command has at most {self.max_size} bytes")
        else:
            self._bulk = size

    def _take_argument(self, commands: list[list[bytes]]) -> bool:
        start = self._position
        end = start + self._bulk
        if len(self._buffer) < end + 2:
            return False
        if self._buffer[end : end + 2] != b"\r\n":
            self.fault = MalformedFrame("an argument is longer than announced")
            return False
        self._arguments.append(bytes(self._buffer[start:end]))
        self._position = self._searched = end + 2
        self._taken += self._bulk + 2
        self._bulk = -1
        self._missing -= 1
        if not self._missing:
            commands.append(self._arguments)
            self._reset()
        return True


@dataclass(slots=True)
class Entry:
    """A value, and when it expires (by the store's clock), if it does."""

    value: bytes
    expires: float | None = None


class Store:
    """Keys and values in memory, with a limit and expiry.

    Args:
        max_memory: Bytes of keys and values together.
        clock: Seconds, monotonic.
    """

    def __init__(self, max_memory: int = MAX_MEMORY, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_memory = max_memory
        self.used = 0
        self.clock = clock
        self._entries: dict[bytes, Entry] = {}
        self._due: list[tuple[float, bytes]] = []  # a heap; entries that changed since are skipped

    def __len__(self) -> int:
        self.expire_due()
        return len(self._entries)

    def get(self, key: bytes) -> Entry | None:
        """The entry, if it is there and has not expired."""
        entry = self._entries.get(key)
        if entry is not None and entry.expires is not None and entry.expires <= self.clock():
            self.delete(key)
            return None
        return entry

    def set(self, key: bytes, value: bytes, expires: float | None = None) -> bool:
        """Whether there was room."""
        self.expire_due()
        old = self._entries.get(key)
        growth = len(value) - len(old.value) if old is not None else len(key) + len(value)
        if growth > 0 and self.used + growth > self.max_memory:
            return False
        self.used += growth
        self._entries[key] = Entry(value, expires)
        self._remember(key, expires)
        return True

    def expire(self, key: bytes, expires: float) -> None:
        """Let an entry that is there expire at this time."""
        self._entries[key].expires = expires
        self._remember(key, expires)

    def delete(self, key: bytes) -> None:
        """Remove an entry that is there."""
        self.used -= len(key) + len(self._entries.pop(key).value)

    def live(self) -> list[bytes]:
        """All keys that have not expired."""
        self.expire_due()
        return list(self._entries)

    def expire_due(self) -> None:
        """Remove what has expired."""
        now = self.clock()
        while self._due and self._due[0][0] <= now:
            when, key = heapq.heappop(self._due)
            entry = self._entries.get(key)
            if entry is not None and entry.expires == when:
                self.delete(key)

    def _remember(self, key: bytes, expires: float | None) -> None:
        if expires is None:
            return
        heapq.heappush(self._due, (expires, key))
        if len(self._due) > 2 * len(self._entries) + 64:  # mostly of entries that changed since
            self._due = [(entry.expires, key) for key, entry in self._entries.items() if entry.expires is not None]
            heapq.heapify(self._due)


class KeyValue(StreamHandler[Any]):
    """Answers commands. One instance serves all connections, so the store is shared between them."""

    codec = RespCodec()

    def __init__(self, store: Store | None = None) -> None:
        self.store = Store() if store is None else store
        self._started = self.store.clock()
        self._commands: dict[bytes, tuple[Callable[[list[bytes]], Any], int, int]] = {
            # name: (what answers it, fewest arguments, most arguments)
            b"PING": (self._ping, 0, 1),
            b"ECHO": (lambda arguments: arguments[0], 1, 1),
            b"SET": (self._set, 2, 5),
            b"GET": (self._get, 1, 1),
            b"DEL": (self._delete, 1, MAX_ARGUMENTS),
            b"EXISTS": (self._exists, 1, MAX_ARGUMENTS),
            b"INCR": (self._increment, 1, 1),
            b"EXPIRE": (self._expire, 2, 2),
            b"TTL": (self._ttl, 1, 1),
            b"KEYS": (self._keys, 1, 1),
            b"DBSIZE": (lambda _: len(self.store), 0, 0),
            b"INFO": (self._info, 0, 1),
            b"COMMAND": (self._command, 0, MAX_ARGUMENTS),
            b"QUIT": (lambda _: Status("OK"), 0, 0),
        }

    def on_message(self, conn: Connection[Any], message: list[bytes]) -> None:
        """Answer one command; a whole pipeline's answers leave as one write."""
        name = message[0].upper()
        conn.write(self.execute(name, message[1:]))
        if name == b"QUIT":
            conn.close()

    def on_fault(self, conn: Connection[Any], fault: ProtocolError) -> None:
        """The peer broke the grammar: say so as Redis does. The connection closes after that."""
        conn.write(Failure(f"ERR Protocol error: {fault}"))

    def execute(self, name: bytes, arguments: list[bytes]) -> Any:
        """The reply to a command."""
        known = self._commands.get(name)
        if known is None:
            return Failure(f"ERR unknown command '{ascii(name[:64])[2:-1]}'")
        command, least, most = known
        if not least <= len(arguments) <= most:
            return Failure(f"ERR wrong number of arguments for '{name.decode().lower()}' command")
        return command(arguments)

    def _ping(self, arguments: list[bytes]) -> Any:
        return arguments[0] if arguments else Status("PONG")

    def _get(self, arguments: list[bytes]) -> bytes | None:
        entry = self.store.get(arguments[0])
        return None if entry is None else entry.value

    def _set(self, arguments: list[bytes]) -> Any:
        key, value, *options = arguments
        expires: float | None = None
        only: bytes | None = None
        while options:
            option = options.pop(0).upper()
            if option in (b"NX", b"XX") and only is None:
                only = option
            elif option in (b"EX", b"PX") and expires is None and options:
                amount = _number(options.pop(0))
                if amount is None:
                    return Failure("ERR value is not an integer or out of range")
                if amount <= 0:
                    return Failure("ERR invalid expire time in 'set' command")
                expires = self.store.clock() + (amount if option == b"EX" else amount / 1000)
            else:
                return Failure("ERR syntax error")
        if only is not None and (self.store.get(key) is None) is (only == b"XX"):
            return None
        return Status("OK") if self.store.set(key, value, expires) else _FULL

    def _delete(self, arguments: list[bytes]) -> int:
        there = [key for key in dict.fromkeys(arguments) if self.store.get(key) is not None]
        for key in there:
            self.store.delete(key)
        return len(there)

    def _exists(self, arguments: list[bytes]) -> int:
        return sum(self.store.get(key) is not None for key in arguments)

    def _increment(self, arguments: list[bytes]) -> Any:
        entry = self.store.get(arguments[0]) or Entry(b"0")
        value = _number(entry.value)
        if value is None:
            return Failure("ERR value is not an integer or out of range")
        if value == (1 << 63) - 1:
            return Failure("ERR increment or decrement would overflow")
        stored = self.store.set(arguments[0], b"%d" % (value + 1), entry.expires)
        return value + 1 if stored else _FULL

    def _expire(self, arguments: list[bytes]) -> Any:
        seconds = _number(arguments[1])
        if seconds is None:
            return Failure("ERR value is not an integer or out of range")
        if self.store.get(arguments[0]) is None:
            return 0
        if seconds <= 0:
            self.store.delete(arguments[0])
        else:
            self.store.expire(arguments[0], self.store.clock() + seconds)
        return 1

    def _ttl(self, arguments: list[bytes]) -> int:
        entry = self.store.get(arguments[0])
        if entry is None:
            return -2
        return -1 if entry.expires is None else round(entry.expires - self.store.clock())

    def _keys(self, arguments: list[bytes]) -> list[bytes]:
        pattern = arguments[0].decode("latin-1").replace("[^", "[!")  # one byte is one character
        return [key for key in self.store.live() if fnmatchcase(key.decode("latin-1"), pattern)]

    def _info(self, arguments: list[bytes]) -> bytes:
        facts = {
            "uptime_in_seconds": int(self.store.clock() - self._started),
            "used_memory": self.store.used,
            "maxmemory": self.store.max_memory,
            "keys": len(self.store),
        }
        return b"# Server\r\nserver:aionet example\r\n" + "".join(f"{k}:{v}\r\n" for k, v in facts.items()).encode()

    def _command(self, arguments: list[bytes]) -> Any:
        if arguments and arguments[0].upper() == b"COUNT":
            return len(self._commands)
        return []  # redis-cli asks for documentation when it starts, and does without


_FULL: Final = Failure("OOM command not allowed when used memory > 'maxmemory'.")


def _number(text: bytes) -> int | None:
    """A 64-bit integer in its only form, or ``None``."""
    if _INTEGER.match(text) is None or not -(1 << 63) <= (value := int(text)) < 1 << 63:
        return None
    return value


def make_router(endpoint: str = "tcp://127.0.0.1:6380") -> Router:
    """A server with a store of its own."""
    router = Router()
    router.add(endpoint, KeyValue())
    return router


router = make_router()

if __name__ == "__main__":
    raise SystemExit(run(make_router(*sys.argv[1:])))
