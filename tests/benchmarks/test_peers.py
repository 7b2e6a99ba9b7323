"""Every peer of every scenario starts, and answers rightly; one that is not installed says how to install it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from benchmarks.bench import Peer
from benchmarks.catalogue import TLS, echo_peers
from benchmarks.loads import Load, LoadResult, Window, run_load
from benchmarks.problems import Unavailable
from benchmarks.processes import available_cores, serving
from benchmarks.scenarios import datagram, fanout, files, length, lines, mixed, websocket
from benchmarks.workspace import Workspace, workspace

CORES = available_cores()
WINDOW = Window(0.0, 0.02)
HUNDRED = {"connections": 4, "size": 64, "pipeline": 25}
"""All that was sent has to come back, so at least a hundred messages are verified."""


@dataclass(frozen=True)
class Try:
    """A peer, and a load that verifies a hundred messages."""

    name: str
    peer: Peer
    load: Load


def streams(scenario: str, peers: Sequence[Peer], **options: object) -> Iterator[Try]:
    return (Try(f"{scenario} {peer.key}", peer, Load("streams", {**HUNDRED, **options})) for peer in peers)


def protocol(peer: Peer) -> str:
    return "http" if peer.key in files.HTTP else "aionet"


TRIES = [
    *streams("echo", echo_peers()),
    *streams("lines", lines.PEERS, framing="lines"),
    *streams("length", length.PEERS, framing="length"),
    *streams("tls", TLS, tls=True),
    *streams("websocket", websocket.PEERS, framing="websocket"),
    *(
        Try(
            f"fanout {peer.key}",
            peer,
            Load(
                "fanout",
                {"members": 5, "speakers": 2, "pipeline": 10, "protocol": fanout.PROTOCOLS.get(peer.key, "lines")},
            ),
        )
        for peer in fanout.PEERS
    ),
    *(
        Try(
            f"files {peer.key}",
            peer,
            Load("files", {"name": "4096.bin", "size": 4096, "protocol": protocol(peer)}),
        )
        for peer in files.PEERS
    ),
    *(
        Try(
            f"tls-file {peer.key}",
            peer,
            Load("files", {"name": "4096.bin", "size": 4096, "protocol": protocol(peer), "tls": True}),
        )
        for peer in files.TLS_PEERS
    ),
    *(
        Try(f"datagram {peer.key}", peer, Load("datagrams", {"peers": 4, "pipeline": 25}))
        for peer in (*datagram.ALL, datagram.C_OFFLOAD)
    ),
]


@pytest.fixture(scope="module")
def places() -> Iterator[Workspace]:
    with workspace() as made:
        made.file(4096)
        yield made


def loaded(attempt: Try, places: Workspace) -> LoadResult:
    with serving(attempt.peer.program, [CORES.server], places) as server:
        return run_load(server, attempt.load, WINDOW, CORES.load)


def why_absent(peer: Peer) -> str | None:
    try:
        peer.program.find()
    except Unavailable as error:
        return str(error)
    return None


@pytest.mark.parametrize("attempt", TRIES, ids=lambda attempt: attempt.name)
def test_every_peer_starts_and_is_right(attempt: Try, places: Workspace) -> None:
    absent = why_absent(attempt.peer)
    if absent is not None:
        assert "install" in absent
        return
    result = loaded(attempt, places)
    assert result.verified >= (1 if attempt.load.program == "files" else 100)


def test_the_three_services_on_one_loop_are_told_in_order(places: Workspace) -> None:
    with serving(mixed.PROGRAM, [CORES.server], places) as server:
        loads = [Load("streams", HUNDRED), Load("files", {"name": "4096.bin", "size": 4096}, 1), Load("fanout", port=2)]
        assert [run_load(server, load, WINDOW, CORES.load).verified > 0 for load in loads] == [True] * 3


def test_one_slow_member_does_not_hold_the_others_back(places: Workspace) -> None:
    load = Load("fanout", {"members": 5, "pipeline": 32, "slow": 1})
    with serving(fanout.AIONET.program, [CORES.server], places) as server:
        assert run_load(server, load, Window(0.0, 0.3), CORES.load).verified > 0


def test_labels_name_each_peer_once() -> None:
    for scenario in {attempt.name.partition(" ")[0] for attempt in TRIES}:
        labels = [attempt.peer.label for attempt in TRIES if attempt.name.startswith(f"{scenario} ")]
        assert len(set(labels)) == len(labels)
