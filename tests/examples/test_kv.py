"""The key-value server, tried with Redis' own tools."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from aionet import RawCodec, Router, connect
from aionet.errors import EncodeError, FrameTooLarge
from aionet.testing import verify_codec
from examples import kv
from examples.kv import Failure, KeyValue, RespCodec, Status, Store, make_router

from ..tools import require
from .trying import run_command, serving, shell, told


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def make(max_memory: int = 1000) -> tuple[KeyValue, Clock]:
    clock = Clock()
    return KeyValue(Store(max_memory, clock)), clock


def do(server: KeyValue, line: str) -> Any:
    name, *arguments = line.encode().split()
    return server.execute(name.upper(), arguments)


# ── the codec ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_codec_keeps_the_contract() -> None:
    verify_codec(
        RespCodec(max_size=300, max_arguments=4),
        [
            (b"*1\r\n$4\r\nPING\r\n", [[b"PING"]]),
            (b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", [[b"ECHO", b""]]),
            (b"*2\r\n$1\r\na\r\n$5\r\n\r\n*\r\n\r\n", [[b"a", b"\r\n*\r\n"]]),
            (b"ECHO  hi\r\n", [[b"ECHO", b"hi"]]),
            (b"PING\n*1\r\n$4\r\nPING\r\n\r\n*0\r\n", [[b"PING"], [b"PING"]]),
        ],
        oversize=b"*1\r\n$301\r\n",
        garbage=[b"*x\r\n", b"*1\r\n:1\r\n", b"*1\r\n$-1\r\n", b"*1\r\n$1\r\nabc\r\n", b"*" + b"1" * 40, b"*5\r\n"],
    )


def test_an_inline_command_has_the_same_limit() -> None:
    codec = RespCodec(max_size=10)
    assert codec.feed(b"1234567890\r\n") == [[b"1234567890"]]
    assert codec.feed(b"PING\r\n12345678901\r\n") == [[b"PING"]]
    assert isinstance(codec.fault, FrameTooLarge)


@pytest.mark.parametrize(
    ("reply", "wire"),
    [
        (Status("OK"), b"+OK\r\n"),
        (Failure("ERR two\r\n+OK"), b"-ERR two +OK\r\n"),
        (-7, b":-7\r\n"),
        (b"\r\n", b"$2\r\n\r\n\r\n"),
        (None, b"$-1\r\n"),
        ([b"a", 1, None], b"*3\r\n$1\r\na\r\n:1\r\n$-1\r\n"),
    ],
)
def test_replies(reply: Any, wire: bytes) -> None:
    assert RespCodec().encode(reply) == wire


@pytest.mark.parametrize("reply", [True, "text", 1.5, {}])
def test_what_resp2_has_no_word_for(reply: Any) -> None:
    with pytest.raises(EncodeError):
        RespCodec().encode(reply)


# ── the commands ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_set_and_its_options() -> None:
    server, clock = make()
    assert do(server, "SET a 1 NX EX 10") == "OK"
    assert do(server, "SET a 2 nx") is None
    assert do(server, "SET b 2 XX") is None
    assert do(server, "TTL a") == 10
    assert do(server, "SET a 3 XX") == "OK"
    assert do(server, "TTL a") == -1
    assert do(server, "SET c 1 PX 1500") == "OK"
    clock.now += 1.5
    assert do(server, "GET c") is None
    assert do(server, "TTL c") == -2


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("SET a 1 EX", "syntax error"),
        ("SET a 1 EX 0", "invalid expire"),
        ("SET a 1 EX 1e3", "not an integer"),
        ("SET a 1 NX XX", "syntax error"),
        ("SET a", "wrong number of arguments for 'set'"),
        ("GET a b", "wrong number of arguments for 'get'"),
        ("FLY away", "unknown command 'FLY'"),
        ("INCR text", "not an integer"),
        ("INCR most", "overflow"),
        ("EXPIRE text soon", "not an integer"),
    ],
)
def test_mistakes_have_answers(line: str, why: str) -> None:
    server, _ = make()
    do(server, "SET text hello")
    do(server, f"SET most {(1 << 63) - 1}")
    answer = do(server, line)
    assert isinstance(answer, Failure)
    assert why in answer


def test_expired_entries_give_their_memory_back_unasked() -> None:
    server, clock = make()
    for number in range(10):
        assert do(server, f"SET key{number} {'x' * 90} EX {number + 1}") == "OK"
    assert do(server, f"SET more {'x' * 90}") == kv._FULL
    clock.now += 3
    assert do(server, f"SET more {'x' * 90}") == "OK"
    assert do(server, "DBSIZE") == 8
    clock.now += 100
    assert do(server, "KEYS *") == [b"more"]
    assert server.store.used == 94


def test_entries_whose_expiry_changed_go_when_it_says_so() -> None:
    server, clock = make()
    do(server, "SET a 1 EX 5")
    assert do(server, "EXPIRE a 50") == 1
    clock.now += 6
    assert do(server, "GET a") == b"1"
    for _ in range(1000):  # what is remembered of it does not grow
        do(server, "EXPIRE a 50")
    assert len(server.store._due) <= 2 + 64 + 1
    assert do(server, "EXPIRE a 0") == 1
    assert do(server, "EXISTS a") == 0
    assert do(server, "EXPIRE a 10") == 0


def test_counting_deleting_and_patterns() -> None:
    server, _ = make()
    assert [do(server, "INCR n"), do(server, "INCR n")] == [1, 2]
    do(server, "SET user:1 ada")
    assert do(server, "KEYS user:[^2]") == [b"user:1"]
    assert do(server, "EXISTS n n nobody") == 2
    assert do(server, "DEL n n nobody") == 1
    assert do(server, "COMMAND COUNT") == 14
    assert do(server, "COMMAND DOCS") == []


# ── over the wire ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_commands_of_the_docstring() -> None:
    for tool in ("redis-cli", "nc"):
        require(tool)
    async with serving(make_router("tcp://127.0.0.1:0")) as server:
        place = {"6380": str(server.addresses[0].port)}
        assert await shell(told(kv, "redis-cli -p 6380 SET", place)) == "OK\n"
        assert await shell(told(kv, "redis-cli -p 6380 GET", place)) == "hello\n"
        assert await shell(told(kv, "printf", place)) == "+OK\r\n:2\r\n+OK\r\n"
        command = told(kv, "redis-benchmark", place)
        said = await shell(f"{command} -n 2000 -c 10")
    assert set(re.findall(r"(\w+): [\d.]+ requests per second", said)) >= {"PING_INLINE", "SET", "GET", "INCR"}


async def test_redis_cli_in_a_conversation() -> None:
    require("redis-cli")
    async with serving(make_router("tcp://127.0.0.1:0")) as server:
        said = await run_command(
            "redis-cli",
            "-p",
            str(server.addresses[0].port),
            stdin=b'SET key "two words"\nGET key\nINCR key\nTTL nobody\nKEYS *\nINFO\nSET a 1 NX\nSET a 1 NX\n',
        )
    lines = said.splitlines()
    assert lines[:2] == ["OK", "two words"]
    assert lines[2] == "ERR value is not an integer or out of range"
    assert [line for line in lines if line in ("-2", "key", "# Server")] == ["-2", "key", "# Server"]
    assert "maxmemory:67108864" in said


async def raw(router: Router, data: bytes) -> bytes:
    async with serving(router) as server, connect(server.addresses[0], codec=RawCodec()) as conn:
        await conn.send(data)
        await conn.send_eof()
        return b"".join([chunk async for chunk in conn])


async def test_a_peer_that_breaks_the_grammar_is_told_after_its_good_commands() -> None:
    answer = await raw(make_router("tcp://127.0.0.1:0"), b"PING\r\n*1\r\n$9999999\r\n")
    assert answer == b"+PONG\r\n-ERR Protocol error: invalid bulk length: a command has at most 1048576 bytes\r\n"


async def test_half_a_command_then_the_end() -> None:
    answer = await raw(make_router("tcp://127.0.0.1:0"), b"*2\r\n$4\r\nECHO\r\n")
    assert answer == b"-ERR Protocol error: the stream ended inside a message, 14 bytes into it\r\n"


async def test_clients_share_the_store() -> None:
    async with serving(make_router("tcp://127.0.0.1:0")) as server:

        async def count() -> None:
            async with connect(server.addresses[0]) as conn:
                await conn.send(b"INCR n\r\n" * 50 + b"QUIT\r\n")
                assert b"".join([chunk async for chunk in conn]).endswith(b"+OK\r\n")

        await asyncio.gather(*(count() for _ in range(10)))
        async with connect(server.addresses[0]) as conn:
            await conn.send(b"GET n\r\nQUIT\r\n")
            assert b"".join([chunk async for chunk in conn]) == b"$3\r\n500\r\n+OK\r\n"
