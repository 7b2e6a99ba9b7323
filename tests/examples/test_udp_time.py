"""The time over UDP, asked by the example's own client and by nc."""

from __future__ import annotations

import struct
import sys

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet import Router, open_datagram
from examples import udp_time
from examples.udp_time import SNTP, ask, make_router, seconds, timestamp

from ..tools import require
from .trying import ROOT, run_command, serving, shell, told


@given(st.floats(min_value=0, max_value=4_000_000_000))
def test_timestamps_keep_the_microsecond(unix: float) -> None:
    assert abs(seconds(timestamp(unix)) - unix) < 1e-6


async def test_asking() -> None:
    async with serving(make_router("udp://127.0.0.1:0")) as server:
        told_time, offset = await ask(str(server.addresses[0]))
        assert told_time.year >= 2024
        assert abs(offset) < 10


async def test_a_clock_that_is_ahead_is_noticed() -> None:
    router = Router()
    router.add("udp://127.0.0.1:0", SNTP(clock=lambda: 4_000_000_000.0))  # in 2096: the second era
    async with serving(router) as server:
        told_time, offset = await ask(str(server.addresses[0]))
    assert told_time.timestamp() == pytest.approx(4_000_000_000)
    assert offset > 0


@pytest.mark.parametrize("data", [b"", b"\x23" * 47, b"\x24" + bytes(47), b"\x20" + bytes(47)])
async def test_only_requests_are_answered(data: bytes) -> None:
    async with (
        serving(make_router("udp://127.0.0.1:0")) as server,
        open_datagram(server.addresses[0]) as port,
    ):
        port.send(data)
        port.send(b"\x1b" + bytes(39) + b"question")  # version 3, a request
        answer, _ = await port.receive()  # the first answer there is
        assert len(answer) == 48
        assert answer[0] == 0x1C  # version 3, an answer
        assert answer[24:32] == b"question"


async def test_the_commands_of_the_docstring() -> None:
    require("nc")
    async with serving(make_router("udp://127.0.0.1:0")) as server:
        number = str(server.addresses[0].port)
        dump = await shell(told(udp_time, "printf", {"7030": number}))
        packet = bytes(int(byte, 16) for line in dump.splitlines() for byte in line.split()[1:])
        assert len(packet) == 48
        assert struct.unpack_from(">BB", packet) == (0x24, udp_time.STRATUM)
        command = told(udp_time, "python -m examples.udp_time ask", {"7030": number}).split()
        said = await run_command(sys.executable, *command[1:], cwd=ROOT)
        assert "s from ours" in said


async def test_asking_nobody() -> None:
    async with serving(make_router("udp://127.0.0.1:0")) as server:
        gone = str(server.addresses[0])
    with pytest.raises((TimeoutError, anyio.BrokenResourceError)):
        await ask(gone, timeout=0.5)
