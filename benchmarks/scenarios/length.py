"""Messages of 64 bytes behind their length, a handler called for each, in all three styles of handler."""

from __future__ import annotations

from benchmarks.bench import CAPACITY, Bench, Peer
from benchmarks.loads import Load
from benchmarks.measuring import Case
from benchmarks.programs import c, go, python
from benchmarks.results import Role

__all__ = ["cases"]

FRAMED = ("--framing", "length")
STYLES = {"coroutine": "async for", "async": "async on_message", "batch": "on_messages"}
PEERS = [
    Peer("c", "C, epoll, lengths parsed", c("c_lines", *FRAMED), Role.LIMIT),
    Peer("aionet", "aionet, on_message", python("aionet_lines", *FRAMED), Role.OURS),
    *(
        Peer(f"aionet-{style}", f"aionet, {label}", python("aionet_lines", *FRAMED, "--style", style), Role.OURS)
        for style, label in STYLES.items()
    ),
    Peer("by-hand", "uvloop Protocol, by hand", python("protocol_lines", *FRAMED, needs=["uvloop"])),
    Peer("streams", "streams on uvloop", python("asyncio_streams", "--style", "length", needs=["uvloop"])),
    Peer("twisted", "Twisted Int32StringReceiver", python("twisted_echo", *FRAMED, needs=["twisted"])),
    Peer("go", "Go bufio", go("go_echo", "-framing", "length")),
]


def cases(bench: Bench) -> list[Case]:
    return [
        bench.case(
            "length-16",
            "64-byte messages behind four bytes of length, 64 connections, 16 in flight on each",
            PEERS,
            Load("streams", {"connections": 64, "size": 64, "pipeline": 16, "framing": "length"}),
            metric=CAPACITY,
            baseline="c",
        )
    ]
