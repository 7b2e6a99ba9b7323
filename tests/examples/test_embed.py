"""A program with a port: its own work goes on, its own signals end it."""

from __future__ import annotations

import pytest

from aionet import LineCodec, Server, connect
from examples import embed
from examples.embed import Search, count_primes, make_router, router

from ..tools import require
from .trying import program, serving, shell, told


@pytest.mark.parametrize(
    ("lower", "upper", "count"), [(0, 2, 0), (0, 3, 1), (0, 100, 25), (2, 2, 0), (90, 98, 1), (1000, 2000, 135)]
)
def test_counting_primes(lower: int, upper: int, count: int) -> None:
    assert count_primes(lower, upper) == count


def test_blocks_add_up() -> None:
    assert sum(count_primes(lower, lower + 37) for lower in range(0, 37 * 30, 37)) == count_primes(0, 37 * 30)


async def test_the_program_ends_when_its_work_does(capsys: pytest.CaptureFixture[str]) -> None:
    await embed.run(Search(block=1000, limit=10_000), "tcp://127.0.0.1:0")
    said = capsys.readouterr()
    assert said.out == "1229 primes below 10000\n"
    assert "listening on tcp://127.0.0.1:" in said.err


async def test_watching_and_stopping() -> None:
    search = Search(block=100, limit=1000)
    async with (
        Server(make_router(search, "tcp://127.0.0.1:0")) as server,
        connect(server.addresses[0], codec=LineCodec()) as conn,
    ):
        await conn.send(b"watch")
        await conn.send(b"dance")
        assert await conn.receive() == b"status, watch or stop?"
        await search.work()
        heard = [await conn.receive() for _ in range(10)]
        assert heard[0] == b"25 primes below 100"
        assert heard[-1] == b"168 primes below 1000"
        await conn.send(b"stop")
        assert await conn.receive() == b"stopping"
        assert search.stopped.is_set()
        await server.drain()
        assert await conn.receive() == b"goodbye: 168 primes below 1000"


async def test_the_command_of_the_docstring() -> None:
    require("nc")
    async with serving(make_router(Search(), "tcp://127.0.0.1:0")) as server:
        command = told(embed, "printf", {"7040": str(server.addresses[0].port)})
        assert await shell(command) == "0 primes below 0\n"


def test_its_own_signal_handler_ends_it() -> None:
    with program("-m", "examples.embed", "tcp://127.0.0.1:0") as running:
        assert running.stop() == 0, running.said


async def test_serve_shows_the_port_alone() -> None:
    (route,) = router().routes
    assert route.name == "control"
