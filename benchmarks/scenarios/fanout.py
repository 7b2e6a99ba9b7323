"""One says something, many are told: deliveries a CPU-second, beside Redis, NATS and mosquitto."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.bench import CAPACITY, Bench, Peer
from benchmarks.loads import Load
from benchmarks.measuring import Case
from benchmarks.programs import c, python, system
from benchmarks.results import Curve, Goal, Role

__all__ = ["cases"]

REDIS = system(
    *("redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"),
    *("--dir", "{scratch}", "--maxclients", "12000"),
    package="redis-server",
)
NATS = system("nats-server", "-a", "127.0.0.1", "-p", "{port}", package="nats-server")
MOSQUITTO = system("mosquitto", "-c", "{config}", package="mosquitto", config="mosquitto.conf")

REDIS_PEER = Peer("redis", "Redis pub/sub", REDIS)
AIONET = Peer("aionet", "aionet Group", python("aionet_fanout"), Role.OURS)
NATS_PEER = Peer("nats", "NATS", NATS)
PEERS = [
    REDIS_PEER,
    AIONET,
    NATS_PEER,
    Peer("mosquitto", "mosquitto, QoS 0", MOSQUITTO),
    Peer("by-hand", "uvloop Protocol, by hand", python("protocol_fanout", needs=["uvloop"])),
    Peer("c", "C, epoll", c("c_fanout"), Role.LIMIT),
]
FEW = [REDIS_PEER, AIONET, NATS_PEER]
PROTOCOLS = {"redis": "redis", "nats": "nats", "mosquitto": "mqtt"}
NOTES = ["redis, nats, mqtt: in their own protocols; ours: lines.", "32 in flight leave their speaker as one chunk."]
DELIVERIES = replace(CAPACITY, unit="deliveries a second of server CPU")


def cases(bench: Bench) -> list[Case]:
    one = [Goal("fan-out 200 members, 1 in flight, to Redis", "aionet", 1.0, True, "redis")]
    together = "fan-out 200 members, 32 in flight in one chunk"
    apart = "fan-out 200 members, 32 in flight from 32 speakers"
    goals: dict[str, list[Goal]] = {
        name: [
            Goal(f"{name}, to Redis", "aionet", 2.5, True, "redis"),
            Goal(f"{name}, to NATS", "aionet", 3.0, True, "nats"),
        ]
        for name in (together, apart)
    }
    return [
        _case(bench, 200, 32, goals=goals[together]),
        _case(bench, 200, 1, speakers=32, goals=goals[apart]),
        _case(bench, 200, 1, goals=one),
        _case(bench, 10, 1),
        _case(bench, 10, 32),
        _case(bench, 5000, 1),
        _case(bench, 5000, 32),
        _case(bench, 200, 32, slow=1),
    ]


def _case(
    bench: Bench, members: int, in_flight: int, *, speakers: int = 1, slow: int = 0, goals: Sequence[Goal] = ()
) -> Case:
    """Each peer is spoken to in its own protocol, so each has a load of its own."""
    said = f"{in_flight} in flight" if speakers == 1 else f"{speakers} speakers, {in_flight} in flight of each"
    options = {"members": members, "pipeline": in_flight, "speakers": speakers, "slow": slow, "size": 64}
    return bench.case(
        f"fanout-{members}-{in_flight}" + f"-{speakers}-speakers" * (speakers > 1) + "-slow" * slow,
        f"64-byte messages to {members:,} members, {said}" + ", and one member that never reads" * slow,
        PEERS if members == 200 else FEW,
        lambda peer: Load("fanout", {"protocol": PROTOCOLS.get(peer.key, "lines"), **options}),
        metric=DELIVERIES,
        baseline="redis",
        goals=goals,
        notes=NOTES,
        curve=Curve(f"fan-out, {in_flight} in flight", "members", members) if speakers == 1 and not slow else None,
        trace=members == 200,
        extra_seconds=members / 5000,
    )
