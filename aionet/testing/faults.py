"""Faults of a network, at the byte: a proxy that cuts, resets, stalls or slows the connections through it.

::

    async def test_the_upload_survives() -> None:
        faults = [Fault(FaultKind.RESET, after=100_000)] * 20     # one for each of the first 20 connections
        async with FaultProxy(server.addresses[0], faults) as proxy:
            await upload(proxy.endpoint, "big.bin")
        assert proxy.happened == 20

A fault meets one connection; those that come when all are used up pass unharmed. Nothing depends on time: a fault
happens when its bytes have passed, and they are counted exactly.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import anyio

from aionet import Connection, Endpoint, Router, Server, Timeouts, connect
from aionet.errors import ConfigError, ConnectError

__all__ = ["Direction", "Fault", "FaultKind", "FaultProxy"]

_FOR_EVER: Final = Timeouts(first_message=math.inf, message=math.inf, idle=math.inf, send=math.inf)
"""What a proxy adds to the deadlines of both ends: none."""


class FaultKind(enum.Enum):
    """What happens to a connection."""

    CUT = "cut"
    """Both sides see an orderly end (FIN), after all the bytes that passed. What they still send is thrown away."""

    RESET = "reset"
    """Both sides see a reset (RST). Bytes that passed may be lost on their way, as in a real reset."""

    STALL = "stall"
    """Nothing passes any more in either direction, and nothing ends: a cable that was pulled."""

    THROTTLE = "throttle"
    """Bytes pass at :attr:`Fault.rate` from then on; nothing ends."""


class Direction(enum.Enum):
    """Whose bytes are counted."""

    UP = "up"
    """From the client to the server."""

    DOWN = "down"
    """From the server to the client."""

    BOTH = "both"
    """Together, as they pass."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one connection.

    Attributes:
        kind: What happens.
        after: When: this many bytes pass first, exactly.
        direction: Whose bytes count for ``after``.
        rate: Bytes a second in each direction, of a ``THROTTLE``.

    Raises:
        ConfigError: a negative ``after``, a ``THROTTLE`` without a rate.
    """

    kind: FaultKind
    after: int = 0
    direction: Direction = Direction.BOTH
    rate: int = 0

    def __post_init__(self) -> None:
        if self.after < 0:
            raise ConfigError(f"a fault happens after 0 bytes or more, not {self.after}")
        if (self.kind is FaultKind.THROTTLE) != (self.rate > 0):
            raise ConfigError("a rate above 0 belongs to a THROTTLE, and to nothing else")


class FaultProxy:
    """A TCP proxy that does to connections what networks do. An asynchronous context manager.

    Args:
        target: The server behind it.
        faults: One for each connection, in the order in which they come; ``None`` lets one pass unharmed.
        listen: Where it listens.

    Attributes:
        target: The server behind it; another one, once it is set, for connections that come from then on.
        connections: How many have come.
        happened: How many faults have happened.
        passed: Bytes that passed, both directions of all connections together.
    """

    def __init__(
        self,
        target: Endpoint | str,
        faults: Iterable[Fault | None] = (),
        *,
        listen: Endpoint | str = "tcp://127.0.0.1:0",
    ) -> None:
        self.connections = self.happened = self.passed = 0
        self.target = Endpoint.parse(target)
        self._faults = iter(faults)
        router = Router()
        router.add(listen, self._serve, name="faults", timeouts=_FOR_EVER)
        self._server = Server(router, drain_timeout=0.0, log=False)
        self._stack = AsyncExitStack()

    @property
    def endpoint(self) -> Endpoint:
        """Where clients connect to, once it is entered."""
        return self._server.addresses[0]

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._server)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _serve(self, client: Connection[bytes]) -> None:
        self.connections += 1
        fault = next(self._faults, None)
        try:
            server = await connect(self.target, timeouts=_FOR_EVER)
        except ConnectError:
            client.abort()
            return
        relay = _Relay(self, fault, client, server)
        async with server, anyio.create_task_group() as directions:
            directions.start_soon(relay.pump, client, server, Direction.UP)
            directions.start_soon(relay.pump, server, client, Direction.DOWN)


class _Relay:
    """One connection through the proxy, and what is to happen to it."""

    def __init__(
        self, proxy: FaultProxy, fault: Fault | None, client: Connection[bytes], server: Connection[bytes]
    ) -> None:
        self._proxy = proxy
        self._fault = fault
        self._left = 0 if fault is None else fault.after  # bytes until it happens
        self._ends = (client, server)
        self._happened = False

    async def pump(self, source: Connection[bytes], sink: Connection[bytes], direction: Direction) -> None:
        """Carry bytes until the source ends, or the fault has happened."""
        try:
            if self._fault is not None and not self._left and not self._happened:
                await self._happen(self._fault)
            async for chunk in source:
                await self._carry(chunk, sink, direction)
            await sink.send_eof()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            for conn in self._ends:  # one end broke: so does the other
                conn.abort()

    async def _carry(self, chunk: bytes, sink: Connection[bytes], direction: Direction) -> None:
        fault = self._fault
        if fault is None or (not self._happened and fault.direction not in (direction, Direction.BOTH)):
            await self._pass(chunk, sink)
            return
        now = chunk if self._happened else chunk[: self._left]
        self._left -= len(now)
        await self._pass(now, sink)
        if not self._happened and self._left == 0:
            await self._happen(fault)
            await self._pass(chunk[len(now) :], sink)

    async def _pass(self, data: bytes, sink: Connection[bytes]) -> None:
        fault = self._fault
        if not data or (self._happened and fault is not None and fault.kind is FaultKind.CUT):
            return
        self._proxy.passed += len(data)
        if not self._happened or fault is None:
            await sink.send(data)
            return
        step = max(1, fault.rate // 10)  # a tenth of a second at a time: the peer shall see a stream, not lumps
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            await anyio.sleep(len(piece) / fault.rate)
            await sink.send(piece)

    async def _happen(self, fault: Fault) -> None:
        """The fault happens; returns where the connections live on, if only to be read to their ends."""
        self._happened = True
        self._proxy.happened += 1
        if fault.kind is FaultKind.STALL:
            for conn in self._ends:
                conn.pause_reading()
            await anyio.sleep_forever()
        for conn in self._ends:
            if fault.kind is FaultKind.CUT:
                await conn.send_eof()
            elif fault.kind is FaultKind.RESET:
                conn.abort()
        if fault.kind is FaultKind.RESET:
            raise anyio.ClosedResourceError
