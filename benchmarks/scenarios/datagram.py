"""UDP echo: one datagram a system call, many a call, and many in one buffer by segmentation offload."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.bench import CAPACITY, Bench, Peer
from benchmarks.loads import Load
from benchmarks.measuring import Case
from benchmarks.programs import c, go, node, python
from benchmarks.results import Goal, Role

__all__ = ["cases"]

AIONET = Peer("aionet", "aionet", python("aionet_datagram"), Role.OURS)
C_BATCH = Peer("c", "C, recvmmsg and sendmmsg", c("c_datagram"), Role.LIMIT)
C_SINGLE = Peer("c-single", "C, one datagram a call", c("c_datagram", "--way", "single"), Role.LIMIT)
UVLOOP = Peer("uvloop", "uvloop DatagramProtocol", python("asyncio_datagram", needs=["uvloop"]))
FEW = [UVLOOP, AIONET, C_BATCH]
ALL = [
    *FEW,
    C_SINGLE,
    Peer("asyncio", "asyncio DatagramProtocol", python("asyncio_datagram", "--loop", "asyncio")),
    Peer("node", "Node dgram", node("node_echo", "--udp")),
    Peer("go", "Go net", go("go_echo", "-udp")),
]
C_OFFLOAD = Peer("c-offload", "C, UDP_GRO and UDP_SEGMENT", c("c_datagram", "--way", "offload"), Role.LIMIT)


def cases(bench: Bench) -> list[Case]:
    goals = [
        Goal("datagram 64 B, 16 peers, to C recvmmsg", "aionet", 0.75, True, "c"),
        Goal("datagram 64 B, 16 peers, to uvloop", "aionet", 1.4, True, "uvloop"),
    ]
    return [
        _case(bench, 64, 16, peers=ALL, goals=goals),
        _case(bench, 64, 1),
        _case(bench, 1200, 16),
        _case(bench, 1200, 1),
        _offload(bench),
    ]


def _case(bench: Bench, size: int, count: int, *, peers: Sequence[Peer] = FEW, goals: Sequence[Goal] = ()) -> Case:
    return bench.case(
        f"datagram-{size}-{count}",
        f"datagrams of {size} B, {count} peer{'s' * (count > 1)}, 16 in flight of each",
        peers,
        Load("datagrams", {"size": size, "peers": count, "pipeline": 16}),
        metric=CAPACITY,
        baseline="uvloop",
        noise=bool(goals),
        goals=goals,
    )


def _offload(bench: Bench) -> Case:
    """The client joins what it sends in every row; only the servers differ."""
    return bench.case(
        "datagram-offload",
        "datagrams of 1,200 B, 16 peers, 32 in flight of each, joined by the sender's kernel",
        [C_SINGLE, AIONET, C_OFFLOAD],
        Load("datagrams", {"size": 1200, "peers": 16, "pipeline": 32, "offload": True}),
        metric=CAPACITY,
        baseline="c-single",
        goals=[Goal("datagram with segmentation offload, to C at one a call", "aionet", 3.0, True, "c-single")],
    )
