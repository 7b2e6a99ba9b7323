"""The echo servers that several scenarios measure: over TCP, over TLS, as they come and go, as they sit idle."""

from __future__ import annotations

from benchmarks.bench import Peer
from benchmarks.programs import Program, c, go, node, python
from benchmarks.results import Role

__all__ = ["AIONET", "ASYNCIO", "C_ECHO", "GO", "NODE", "OTHERS", "STREAMS", "TLS", "UVLOOP", "echo_peers"]

AIONET = Peer("aionet", "aionet", python("aionet_echo"), Role.OURS)
AIONET_ASYNCIO = Peer("aionet-asyncio", "aionet on asyncio", python("aionet_echo", "--loop", "asyncio"), Role.OURS)
UVLOOP = Peer("uvloop", "uvloop Protocol", python("asyncio_protocol", needs=["uvloop"]))
ASYNCIO = Peer("asyncio", "asyncio Protocol", python("asyncio_protocol", "--loop", "asyncio"))
BUFFERED = Peer(
    "asyncio-buffered", "asyncio BufferedProtocol", python("asyncio_buffered", "--loop", "asyncio"), extra=True
)
STREAMS = Peer("streams", "streams on uvloop", python("asyncio_streams", "--style", "echo", needs=["uvloop"]), extra=True)
ASYNCIO_STREAMS = Peer(
    "asyncio-streams",
    "streams on asyncio",
    python("asyncio_streams", "--style", "echo", "--loop", "asyncio"),
    extra=True,
)
ANYIO = Peer("anyio", "anyio on uvloop", python("anyio_echo", needs=["anyio", "uvloop"]), extra=True)
TRIO = Peer("trio", "trio", python("trio_echo", needs=["trio"]), extra=True)
TWISTED = Peer("twisted", "Twisted", python("twisted_echo", needs=["twisted"]), extra=True)
TORNADO = Peer("tornado", "Tornado", python("tornado_echo", "--loop", "asyncio", needs=["tornado"]), extra=True)
GEVENT = Peer("gevent", "gevent", python("gevent_echo", needs=["gevent"]), extra=True)
AIOFASTNET = Peer("aiofastnet", "aiofastnet on uvloop", python("aiofastnet_echo", needs=["aiofastnet"]), extra=True)
NODE = Peer("node", "Node net", node("node_echo"), extra=True)
GO = Peer("go", "Go net", go("go_echo"), extra=True)
C_ECHO = Peer("c", "C, epoll", c("c_echo"), Role.LIMIT)

OTHERS = (ANYIO, TRIO, TWISTED, TORNADO, GEVENT, AIOFASTNET, ASYNCIO_STREAMS, BUFFERED)


def echo_peers() -> list[Peer]:
    """All of them, plain TCP."""
    return [UVLOOP, AIONET, C_ECHO, ASYNCIO, AIONET_ASYNCIO, STREAMS, *OTHERS, NODE, GO]


def _tls(peer: Peer, *, extra: bool, label: str = "") -> Peer:
    program: Program = peer.program.with_arguments("--cert", "{cert}", "--key", "{key}")
    return Peer(peer.key, label or peer.label, program, peer.role, extra)


TLS = [
    _tls(UVLOOP, extra=False),
    _tls(AIONET, extra=False),
    _tls(GO, extra=False, label="Go crypto/tls"),
    _tls(ASYNCIO, extra=True),
    _tls(AIOFASTNET, extra=True),
    _tls(
        Peer(
            "aiofastnet-asyncio",
            "aiofastnet on asyncio",
            python("aiofastnet_echo", "--loop", "asyncio", needs=["aiofastnet"]),
        ),
        extra=True,
    ),
    _tls(STREAMS, extra=True),
    _tls(NODE, extra=True, label="Node tls"),
]
"""The same over TLS 1.3."""
