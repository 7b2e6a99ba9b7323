"""What tests of the load share: a run inside the test's own loop, and servers that misbehave."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aionet import Connection, DatagramHandler, Endpoint, RawCodec, StreamHandler
from aionet.events import Address
from aionet.load import Exchange, Plan, Script, generated_messages
from aionet.load.engine import Engine
from aionet.load.outcome import Outcome
from aionet.load.plan import Share

__all__ = ["Misbehaving", "Unreliable", "exchange", "generate", "plan_for"]


async def generate(plan: Plan, shares: int = 1) -> Outcome:
    """Do a run as the processes of :func:`aionet.load.run_load` would, all of them here."""
    outcome = Outcome(plan, shares)
    engines = [Engine(plan, Share(number, shares), outcome.add) for number in range(shares)]
    outcome.connections = sum(await asyncio.gather(*(engine.open() for engine in engines)))
    start = time.perf_counter_ns() + 1_000_000
    await asyncio.gather(*(engine.run(start) for engine in engines))
    return outcome


def exchange(size: int = 64, codec: Any = RawCodec, *, pipeline: int = 1, **options: Any) -> Exchange:
    """Generated messages that are expected back."""
    messages = generated_messages(size, codec())
    return Exchange(Script(messages, messages, codec, **options), pipeline)


def plan_for(endpoint: Endpoint, work: Any = None, **options: Any) -> Plan:
    """A short run: 200 messages over 4 connections, unless something else is said."""
    if "duration" in options:
        options.setdefault("warmup", 0.0)
    else:
        options = {"messages": 200, "duration": None, "warmup": 0.0, **options}
    options.setdefault("connections", 4)
    return Plan(endpoint=endpoint, work=exchange() if work is None else work, **options)


class Misbehaving(StreamHandler[bytes]):
    """An echo that does something else with the messages from a certain number of chunks on.

    Args:
        how: ``"close"``, ``"reset"``, ``"silence"``, ``"wrong"``, ``"double"``, ``"short"``.
        after: Chunks answered rightly, on each connection.
    """

    def __init__(self, how: str, after: int = 3) -> None:
        self.how = how
        self.after = after
        self.connections = 0

    def on_connect(self, conn: Connection[bytes]) -> None:
        self.connections += 1
        conn.state = 0

    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        conn.state += 1
        if conn.state <= self.after:
            conn.write(message)
            return
        match self.how:
            case "close":
                conn.close()
            case "reset":
                conn.abort()
            case "wrong":
                conn.write(message[:-1] + b"!")
            case "double":
                conn.write(message)
                conn.write(message)
            case "short":
                conn.write(message[:10])
                conn.close()


class Unreliable(DatagramHandler):
    """An echo that treats every fifth datagram in its own way: ``"drop"``, ``"double"``, ``"swap"``, ``"wrong"``."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.count = 0
        self.held: tuple[bytes, Address] | None = None

    def on_datagram(self, port: Any, data: bytes, peer: Address) -> None:
        self.count += 1
        if self.count % 5:
            port.send(data, peer)
            if self.held is not None:
                held, self.held = self.held, None
                port.send(*held)
        elif self.how == "double":
            port.send(data, peer)
            port.send(data, peer)
        elif self.how == "swap":
            self.held = data, peer
        elif self.how == "wrong":
            port.send(data[:-1] + b"!", peer)
