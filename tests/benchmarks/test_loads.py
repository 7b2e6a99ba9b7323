"""The load generators: what is right is counted, and every kind of wrong is noticed."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from benchmarks.loads import Load, LoadResult, Window, holding, parse_result, run_load, running_load
from benchmarks.problems import MeasureError, WrongReplies
from benchmarks.processes import Serving, available_cores, serving
from benchmarks.programs import Program, c
from benchmarks.workspace import workspace

from .wrong_server import Answer, answering

CORES = available_cores()
C_ECHO = c("c_echo")
ME = (os.getpid(),)


def stream(connections: int, size: int, pipeline: int, **options: object) -> Load:
    return Load("streams", {"connections": connections, "size": size, "pipeline": pipeline, **options})


def run(server: Serving, load: Load, duration: float = 0.1) -> LoadResult:
    return run_load(server, load, Window(0.02, duration), CORES.load)


def served(program: Program, load: Load, duration: float = 0.1) -> LoadResult:
    with serving(program, [CORES.server]) as server:
        return run(server, load, duration)


def test_half_a_second_of_echo_is_counted_and_verified() -> None:
    result = served(C_ECHO, stream(64, 1024, 1), duration=0.5)
    assert result.verified >= result.messages > 0
    assert result.bytes == 1024 * result.messages
    assert result.seconds >= 0.5
    assert result.server_cpu > 0
    assert result.disturbed >= 0
    latencies = [result.latency[name] for name in ("p50", "p75", "p90", "p99", "p99.9", "p99.99", "max")]
    assert latencies == sorted(latencies)
    sample = result.sample()
    assert sample["cpu"] * sample["capacity"] == pytest.approx(1e6)


@pytest.mark.parametrize("refill", ["batch", "sliding"])
@pytest.mark.parametrize("framing", ["raw", "lines", "length"])
def test_framings_and_refills(framing: str, refill: str) -> None:
    program = C_ECHO if framing == "raw" else c("c_lines", "--framing", framing)
    assert served(program, stream(8, 64, 16, framing=framing, refill=refill)).verified > 0


@pytest.mark.parametrize("shape", [(4, 17, 1), (3, 300_000, 8), (1, 1_000_000, 16)], ids=str)
def test_messages_that_do_not_fit_into_a_socket(shape: tuple[int, int, int]) -> None:
    assert served(C_ECHO, stream(*shape)).verified > 0


def test_an_open_loop_sends_no_more_than_is_due() -> None:
    result = served(C_ECHO, stream(8, 64, 64, rate=1000), duration=0.5)
    assert 0 < result.verified <= 1000 * (result.seconds + 1.0)


def test_an_open_loop_counts_from_when_a_message_was_due() -> None:
    """The server stops for 0.2 s: all messages due meanwhile waited, though most of them were not even sent."""
    text = """
import asyncio, time
from benchmarks.peers.asyncio_protocol import Echo
async def main():
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    print(f"ready 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    while True:
        await asyncio.sleep(0.05)
        time.sleep(0.2)
asyncio.run(main())
"""
    program = Program(lambda: (sys.executable, "-c", text))
    closed = served(program, stream(1, 64, 1), duration=0.6)
    due = served(program, stream(1, 64, 1, rate=500), duration=0.6)
    assert closed.latency["p50"] < due.latency["p50"]
    assert due.latency["p50"] > 50_000


def flip_last_byte(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


WRONG: dict[str, tuple[Answer, str]] = {
    "another byte": (flip_last_byte, "byte 63 of 64 is 0x0b, sent was 0x0a"),
    "the number of another message": (lambda data: b"0000009" + data[7:], "reply 0: byte 6 of 64 is 0x39"),
    "messages in another order": (lambda data: data[64:] + data[:64], "byte 6 of 64"),
    "one message twice": (lambda data: data[:64] + data[:64] + data[128:], "reply 1: byte 6 of 64"),
    "a surplus byte": (lambda data: data + b"!", "more bytes came back"),
    "nothing, and closes": (lambda data: None, "closed by the server, 256 bytes of replies missing"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_replies_are_noticed(kind: str) -> None:
    answer, message = WRONG[kind]
    with answering(answer) as port, pytest.raises(WrongReplies, match=message):
        run(Serving(ME, (port,)), stream(1, 64, 4, framing="lines"))


def test_a_server_that_falls_silent_is_given_up() -> None:
    with answering(lambda data: data[:-1]) as port, pytest.raises(WrongReplies, match=r"no reply for 0\.3 s, 1 outst"):
        run_load(Serving(ME, (port,)), stream(1, 64, 4, framing="lines"), Window(0.0, 0.1, stall=0.3), CORES.load)


FANOUT = """
import asyncio
members = []
class Fanout(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        if data == b"SUB\\n":
            members.append(self.transport)
            self.transport.write(b"+OK\\n")
        else:
            for member in members:
                member.write({said})
async def main():
    server = await asyncio.get_running_loop().create_server(Fanout, "127.0.0.1", 0)
    print(f"ready 127.0.0.1:{{server.sockets[0].getsockname()[1]}}", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("data + data", "member 0: more came than was said"),
        ("data[65:]", "message 0000001:0000000: came, expected was 0000000:0000000:"),
        ("data.replace(b'Z', b'z')", "message 0000000:0000000: is not what was said"),
        ("b'no number' + data", "member 0: not the frame expected"),
        ("data[:-1] + b'!'", "is not what was said"),
        ("b''", "no reply for 0.5 s, 4 outstanding"),
    ],
)
def test_wrong_deliveries_are_noticed(said: str, message: str) -> None:
    program = Program(lambda: (sys.executable, "-c", FANOUT.format(said=said)))
    load, window = Load("fanout", {"members": 2, "pipeline": 2}), Window(0.0, 0.1, stall=0.5)
    with serving(program, [CORES.server]) as server, pytest.raises(WrongReplies, match=message):
        run_load(server, load, window, CORES.load)


def test_a_server_that_lets_nobody_join_is_told_apart() -> None:
    with answering(lambda data: None) as port, pytest.raises(MeasureError, match="did not let a member in"):
        run(Serving(ME, (port,)), Load("fanout", {"members": 1}))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda data: b"ERR NOT_FOUND there is no 'x'\n", "the server said 'ERR NOT_FOUND"),
        (lambda data: b"OK 7\n", "the file has 7 bytes, not 9"),
        (lambda data: b"OK 9\nabcdefghx", "byte 8 of the file is wrong"),
        (lambda data: b"OK 9\nabcdefghijk", "more bytes came than the file has"),
        (lambda data: None, "closed by the server"),
    ],
)
def test_wrong_files_are_noticed(answer: Answer, message: str) -> None:
    load = Load("files", {"name": "x", "size": 9})
    with answering(answer) as port, pytest.raises(WrongReplies, match=message):
        run_load(Serving(ME, (port,)), load, Window(0.0, 0.1, stall=0.3), CORES.load)


def test_connections_that_come_and_go_are_counted() -> None:
    assert served(C_ECHO, Load("connections", {"concurrency": 8})).verified > 0
    with answering(lambda data: b"x" * len(data)) as port, pytest.raises(WrongReplies, match="byte 0 of the reply"):
        run(Serving(ME, (port,)), Load("connections", {"concurrency": 1}))


def test_held_connections_wait_to_be_looked_at() -> None:
    with serving(C_ECHO, [CORES.server]) as server, holding(server, [5, 20], CORES.load) as steps:
        files = Path(f"/proc/{server.pids[0]}/fd")
        assert next(steps) > 0
        with_five = len(list(files.iterdir()))
        assert next(steps) > 0
        assert len(list(files.iterdir())) == with_five + 15


def test_load_beside_another_is_ended_with_its_block() -> None:
    with serving(C_ECHO, [CORES.server]) as server:
        with running_load(server, stream(1, 64, 1), Window(0.0, 600.0), CORES.load) as beside:
            assert run(server, stream(1, 64, 1)).verified > 0
            assert beside.poll() is None
        assert beside.poll() is not None


def test_datagrams_that_are_lost_are_counted_and_wrong_ones_noticed() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        load = Load("datagrams", {"peers": 1, "pipeline": 4, "patience": 0.02})
        with pytest.raises(WrongReplies, match="not one datagram came back"):
            run(Serving(ME, (deaf.getsockname()[1],)), load)
    result = served(c("c_datagram"), Load("datagrams", {"peers": 2, "pipeline": 4}))
    assert result.extra == {"lost": 0, "late": 0}


def test_nobody_there_is_said_with_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(MeasureError, match=rf"cannot connect to 127\.0\.0\.1:{port}: Connection refused"):
        run(Serving(ME, (port,)), stream(1, 64, 1))


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (stream(0, 64, 1), "--connections must be a number from 1 to 60000, not '0'"),
        (stream(1, 16, 1), "--size must be a number from 17"),
        (stream(1, 64, 0), "--pipeline must be"),
        (stream(1, 64, 1, framing="json"), "--framing is 'raw', 'lines', 'length' or 'websocket', not 'json'"),
        (stream(1, 64, 1, nonsense=True), "unexpected argument '--nonsense'"),
        (Load("fanout", {"protocol": "smtp"}), "--protocol is 'lines', 'redis', 'nats' or 'mqtt', not 'smtp'"),
        (Load("files"), "--name is missing"),
        (Load("datagrams", {"offload": True, "size": 60_000, "pipeline": 2}), "--offload takes at most 65507 bytes"),
    ],
)
def test_load_that_makes_no_sense_is_refused(load: Load, message: str) -> None:
    with pytest.raises(MeasureError, match=message):
        run(Serving(ME, (1,)), load)


def test_a_window_too_short_to_count_anything_is_said() -> None:
    result = LoadResult(0, 0, 0.01, 0.0, 0.0, 0.0, 0, {}, {})
    with pytest.raises(MeasureError, match=r"nothing to count in 0\.01 s; measure for longer"):
        result.sample()


def test_a_kernel_that_tells_no_cpu_times_is_said() -> None:
    with pytest.raises(MeasureError, match="does not tell the CPU time"):
        parse_result({"error": None, "server_cpu_seconds": None})


def test_the_content_of_files_is_what_the_load_generator_expects() -> None:
    with workspace() as places:
        program = c("c_files", "--directory", str(places.files))
        for size in (1, 65521, 100_000, 10_000_000):
            name = places.file(size)
            assert served(program, Load("files", {"name": name, "size": size, "connections": 2})).verified >= 2
