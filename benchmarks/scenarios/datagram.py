"""UDP echo: one datagram a system call, many a call, and many in one buffer by segmentation offload."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.bench import CAPACITY, Bench, Peer
from benchmarks.loads import Load
from benchmarks.measuring import Case
from benchmarks.programs import c, go, node, python
from benchmarks.results import Goal, Role

__all__ = ["cases"]

AIONET = Peer("aionet", "aionet", python("aionet_datagram"), Role.OURS)
C_BATCH = Peer("c", "C, recvmmsg and sendmmsg", c("c_datagram"), Role.LIMIT)
C_SINGLE = Peer("c-single", "C, one datagram a call", c("c_datagram", "--way", "single"), Role.LIMIT)
PEERS = [
    Peer("uvloop", "uvloop DatagramProtocol", python("asyncio_datagram", needs=["uvloop"])),
    AIONET,
    C_BATCH,
    replace(C_SINGLE, extra=True),
    Peer("asyncio", "asyncio DatagramProtocol", python("asyncio_datagram", "--loop", "asyncio"), extra=True),
    Peer("node", "Node dgram", node("node_echo", "--udp"), extra=True),
    Peer("go", "Go net", go("go_echo", "-udp"), extra=True),
]
OFFLOADING = [
    C_SINGLE,
    AIONET,
    Peer("c-offload", "C, UDP_GRO and UDP_SEGMENT", c("c_datagram", "--way", "offload"), Role.LIMIT),
]


def cases(bench: Bench) -> list[Case]:
    goals = [
        Goal("datagram 64 B, 16 peers, to C recvmmsg", "aionet", 0.75, True, "c"),
        Goal("datagram 64 B, 16 peers, to uvloop", "aionet", 1.4, True, "uvloop"),
    ]
    main = _case(bench, 64, 16, goals=goals)
    offload = _offload(bench)
    if bench.settings.quick:
        return [main, offload]
    return [main, _case(bench, 64, 1), _case(bench, 1200, 16), _case(bench, 1200, 1), offload]


def _case(bench: Bench, size: int, peers: int, goals: list[Goal] | None = None) -> Case:
    return bench.case(
        f"datagram-{size}-{peers}",
        f"datagrams of {size} B, {peers} peer{'s' * (peers > 1)}, 16 in flight of each",
        bench.chosen(PEERS, main=size == 64 and peers == 16),
        Load("datagrams", {"size": size, "peers": peers, "pipeline": 16}),
        metric=CAPACITY,
        baseline="uvloop",
        noise=goals is not None,
        goals=goals or (),
    )


def _offload(bench: Bench) -> Case:
    """The client joins what it sends in every row; only the servers differ."""
    return bench.case(
        "datagram-offload",
        "datagrams of 1,200 B, 16 peers, 32 in flight of each, joined by the sender's kernel",
        OFFLOADING,
        Load("datagrams", {"size": 1200, "peers": 16, "pipeline": 32, "offload": True}),
        metric=CAPACITY,
        baseline="c-single",
        goals=[Goal("datagram with segmentation offload, to C at one a call", "aionet", 3.0, True, "c-single")],
    )
