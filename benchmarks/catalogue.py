"""The echo servers that several scenarios measure: over TCP, over TLS, as they come and go, as they sit idle."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.bench import Peer
from benchmarks.programs import c, go, node, python
from benchmarks.results import Role

__all__ = ["AIONET", "ASYNCIO", "C_ECHO", "GO", "NODE", "OTHERS", "STREAMS", "TLS", "UVLOOP", "echo_peers"]

AIONET = Peer("aionet", "aionet", python("aionet_echo"), Role.OURS)
AIONET_ASYNCIO = Peer("aionet-asyncio", "aionet on asyncio", python("aionet_echo", "--loop", "asyncio"), Role.OURS)
UVLOOP = Peer("uvloop", "uvloop Protocol", python("asyncio_protocol", needs=["uvloop"]))
ASYNCIO = Peer("asyncio", "asyncio Protocol", python("asyncio_protocol", "--loop", "asyncio"))
BUFFERED = Peer("asyncio-buffered", "asyncio BufferedProtocol", python("asyncio_buffered", "--loop", "asyncio"))
STREAMS = Peer("streams", "streams on uvloop", python("asyncio_streams", "--style", "echo", needs=["uvloop"]))
ASYNCIO_STREAMS = Peer(
    "asyncio-streams", "streams on asyncio", python("asyncio_streams", "--style", "echo", "--loop", "asyncio")
)
ANYIO = Peer("anyio", "anyio on uvloop", python("anyio_echo", needs=["anyio", "uvloop"]))
TRIO = Peer("trio", "trio", python("trio_echo", needs=["trio"]))
TWISTED = Peer("twisted", "Twisted", python("twisted_echo", needs=["twisted"]))
TORNADO = Peer("tornado", "Tornado", python("tornado_echo", "--loop", "asyncio", needs=["tornado"]))
GEVENT = Peer("gevent", "gevent", python("gevent_echo", needs=["gevent"]))
AIOFASTNET = Peer("aiofastnet", "aiofastnet on uvloop", python("aiofastnet_echo", needs=["aiofastnet"]))
AIOFASTNET_ASYNCIO = Peer(
    "aiofastnet-asyncio",
    "aiofastnet on asyncio",
    python("aiofastnet_echo", "--loop", "asyncio", needs=["aiofastnet"]),
)
NODE = Peer("node", "Node net", node("node_echo"))
GO = Peer("go", "Go net", go("go_echo"))
C_ECHO = Peer("c", "C, epoll", c("c_echo"), Role.LIMIT)

OTHERS = (ANYIO, TRIO, TWISTED, TORNADO, GEVENT, AIOFASTNET, ASYNCIO_STREAMS, BUFFERED)


def echo_peers() -> list[Peer]:
    """All of them, plain TCP."""
    return [UVLOOP, AIONET, C_ECHO, ASYNCIO, AIONET_ASYNCIO, STREAMS, *OTHERS, NODE, GO]


def _tls(peer: Peer, label: str = "") -> Peer:
    program = peer.program.with_arguments("--cert", "{cert}", "--key", "{key}")
    return replace(peer, label=label or peer.label, program=program)


TLS = [
    _tls(UVLOOP),
    _tls(AIONET),
    _tls(GO, "Go crypto/tls"),
    _tls(ASYNCIO),
    _tls(AIOFASTNET),
    _tls(AIOFASTNET_ASYNCIO),
    _tls(STREAMS),
    _tls(NODE, "Node tls"),
]
"""The same over TLS 1.3."""
