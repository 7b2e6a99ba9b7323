"""Connections to a server: greeted, kept, given up, made again; and what a server may not make us believe."""

from __future__ import annotations

from pathlib import Path

import pytest

from aionet.errors import ConfigError, ConnectError, EncodeError, EndpointError
from aionet.services.files.client.remote import Remote, as_remote
from aionet.services.files.errors import BadRequest, Code, Interrupted, NotFound, TransferError
from aionet.services.files.handler import Files
from aionet.services.files.hashing import ALGORITHMS, SHA256
from aionet.services.files.wire import Request

from ..serving import serve
from .scripted import HELLO, ok, scripted

TOKEN = "correct-horse-battery-staple"


async def test_a_connection_is_kept_for_the_next(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, Remote(served.endpoint) as remote:
        for _ in range(5):
            with pytest.raises(NotFound):
                await remote.ask(Request("STAT", "nothing"))
        assert (await remote.ask(Request("STAT"))).facts["kind"] == "dir"
        assert remote.chunk == 4 * 1024 * 1024
        assert not remote.writable
    assert len(served.closed) == 1


async def test_several_at_once_are_several_connections(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        async with Remote(served.endpoint) as remote:
            async with remote.channel() as one, remote.channel() as two:
                assert one is not two
            async with remote.channel() as three:
                assert three in (one, two)
        await served.server.drain()
    assert len(served.closed) == 2


async def test_what_is_not_taken_to_its_end_is_not_used_again(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, Remote(served.endpoint) as remote:
        async with remote.channel() as one:
            one.post(Request("LIST"))
        assert not one.settled
        async with remote.channel() as two:
            assert two is not one


async def test_tokens(tmp_path: Path) -> None:
    async with serve(Files(tmp_path, token=TOKEN)) as served:
        async with Remote(served.endpoint, token=TOKEN) as remote:
            await remote.ask(Request("STAT"))
        assert TOKEN not in repr(remote)
        async with Remote(served.endpoint) as remote:
            with pytest.raises(TransferError, match="wants a token") as caught:
                await remote.ask(Request("STAT"))
            assert caught.value.code == Code.UNAUTHORIZED
        async with Remote(served.endpoint, token="wrong" + TOKEN) as remote:
            with pytest.raises(TransferError) as caught:
                await remote.ask(Request("STAT"))
            assert caught.value.code == Code.UNAUTHORIZED
            assert TOKEN not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("token", ["", "line\nfeed", "x" * 5000, "caf\udce9"])
def test_a_token_that_cannot_be_said_is_not_shown_either(token: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Remote("tcp://127.0.0.1:1", token=token)
    assert not token or token not in str(caught.value)


def test_what_is_no_server() -> None:
    with pytest.raises(EndpointError):
        Remote("nonsense")
    with pytest.raises(ConfigError):
        Remote("tcp://127.0.0.1:1", rate=0)


@pytest.mark.parametrize(
    ("hello", "said"),
    [
        (b"220 mail.example.com ESMTP\r\n", "no file service"),
        (HELLO.replace(b"version=1", b"version=2"), "another version"),
        (HELLO.replace(b"aionet-files", b"something-else"), "another protocol"),
        (HELLO.replace(b"sha256", b"md5"), "another way than SHA-256"),
        (HELLO.replace(b"chunk=", b"chunk=9999999"), "in other chunks"),
        (HELLO.replace(b"chunk=1000", b"chunk=0"), "another way"),
        (HELLO.replace(b";chunk=1000", b""), "lacks chunk"),
    ],
)
async def test_other_services_are_told_apart(hello: bytes, said: str) -> None:
    async with scripted(lambda line: ok(), hello) as server, Remote(server.endpoint) as remote:
        with pytest.raises(TransferError, match=said) as caught:
            await remote.ask(Request("STAT"))
        assert caught.value.code == Code.BAD_REPLY
        assert server.connections == 1


@pytest.mark.parametrize(
    ("said", "option"),
    [
        (b"", {}),  # before BLAKE3
        (b";hashes=blake3,sha256", {"hash": "blake3"}),
        (b";hashes=sha256,blake3", {}),  # it prefers the other
        (b";hashes=whirlpool,blake3", {"hash": "blake3"}),
        (b";hashes=whirlpool,,md5", {}),
    ],
)
async def test_the_algorithm_is_the_first_of_the_servers_that_is_here_too(said: bytes, option: dict[str, str]) -> None:
    hello = HELLO.replace(b";chunk", said + b";chunk")
    async with scripted(lambda line: ok(), hello) as server, Remote(server.endpoint) as remote:
        assert (await remote.agree(None)).option == option
        assert await remote.agree(SHA256) is SHA256
        if b"blake3" not in said:
            with pytest.raises(BadRequest, match="the server does not have BLAKE3"):
                await remote.agree(ALGORITHMS["blake3"])
        else:
            assert await remote.agree(ALGORITHMS["blake3"]) is ALGORITHMS["blake3"]
        assert server.connections == 1


async def test_a_server_that_was_never_there_is_not_waited_for(pauses: list[float]) -> None:
    async with scripted(lambda line: ok()) as server:
        pass
    async with Remote(server.endpoint) as remote:
        with pytest.raises(ConnectError):
            await remote.ask(Request("STAT"))
    assert pauses == []


async def test_a_connection_that_breaks_is_made_again(pauses: list[float]) -> None:
    answers = iter([None, None, b"OK 5\nhal", None, ok(b"hello", kind="file")])
    async with scripted(lambda line: next(answers)) as server, Remote(server.endpoint, timeout=0.3) as remote:
        reply = await remote.ask(Request("STAT", "x"))
        assert reply.facts == {"kind": "file"}
        assert server.lines == ["STAT x"] * 5
        assert len(pauses) == 4


async def test_it_is_given_up_after_so_many_failures_in_a_row(pauses: list[float]) -> None:
    async with scripted(lambda line: None) as server, Remote(server.endpoint, retries=3) as remote:
        with pytest.raises(Interrupted):
            await remote.ask(Request("STAT"))
        assert server.connections == 4


async def test_a_busy_server_is_waited_for(pauses: list[float]) -> None:
    answers = iter([b"ERR BUSY later\n"] * 8 + [ok(kind="file")])
    async with scripted(lambda line: next(answers)) as server, Remote(server.endpoint, retries=1) as remote:
        await remote.ask(Request("STAT"))
        assert server.connections == 1
    assert len(pauses) == 8


async def test_a_server_that_falls_silent(pauses: list[float]) -> None:
    async with scripted(lambda line: b"") as server, Remote(server.endpoint, timeout=0.2, retries=0) as remote:
        with pytest.raises(Interrupted, match=r"nothing passed for 0\.2 s") as caught:
            await remote.ask(Request("STAT"))
        assert caught.value.hint is not None


async def test_a_name_that_no_request_can_carry(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, Remote(served.endpoint) as remote:
        with pytest.raises(EncodeError):
            await remote.ask(Request("STAT", "line\nfeed"))
        await remote.ask(Request("STAT"))
    assert len(served.closed) <= 1


async def test_the_callers_own_server_stays_open(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, Remote(served.endpoint) as remote:
        async with as_remote(remote) as same:
            assert same is remote
            await same.ask(Request("STAT"))
        await remote.ask(Request("STAT"))
        async with as_remote(str(served.endpoint)) as other:
            await other.ask(Request("STAT"))


async def test_a_limited_rate_passes_everything(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(200_000))
    async with serve(tmp_path) as served, Remote(served.endpoint, rate=50e6) as remote, remote.channel() as channel:
        channel.post(Request("GET", "file"))
        assert await channel.body((await channel.reply()).size) == bytes(200_000)
