"""One connection: answers in order, in parts, refused, and what is not believed."""

from __future__ import annotations

import pytest

from aionet.services.files.client.channel import number_of, time_of
from aionet.services.files.client.remote import Remote
from aionet.services.files.errors import Code, Interrupted, NotFound, TransferError
from aionet.services.files.wire import Reply, Request

from .scripted import ok, scripted


async def test_the_servers_words_are_harmless_on_a_terminal() -> None:
    async with (
        scripted(lambda line: "ERR NOT_FOUND \u202e red\n".encode()) as server,
        Remote(server.endpoint) as remote,
    ):
        with pytest.raises(NotFound) as caught:
            await remote.ask(Request("STAT"))
        assert str(caught.value) == "\\u202e red"


async def test_a_code_that_only_a_newer_server_knows() -> None:
    async with scripted(lambda line: b"ERR FULL_MOON no\n") as server, Remote(server.endpoint) as remote:
        with pytest.raises(TransferError) as caught:
            await remote.ask(Request("STAT"))
        assert (caught.value.code, caught.value.remote) == ("FULL_MOON", True)


async def test_a_body_is_not_believed_to_be_of_any_size() -> None:
    def answer(line: str) -> bytes:
        return b"OK 99999999999\n"

    async with scripted(answer) as server, Remote(server.endpoint) as remote, remote.channel() as channel:
        channel.post(Request("LIST"))
        reply = await channel.reply()
        with pytest.raises(TransferError, match="at most") as caught:
            await channel.body(reply.size)
        assert caught.value.code == Code.TOO_LARGE


async def test_parts() -> None:
    said = ok(b"one", more=1) + ok(b"", more=1) + ok(b"three", last="yes")
    async with scripted(lambda line: said) as server, Remote(server.endpoint) as remote, remote.channel() as channel:
        channel.post(Request("LIST"))
        assert [body async for _, body in channel.parts()] == [b"one", b"", b"three"]
        assert (await channel.ask(Request("LIST"))).facts == {"last": "yes"}
        assert channel.settled


async def test_refusals_as_values() -> None:
    answers = {"STAT a": b"ERR NOT_FOUND no\n", "STAT b": ok()}
    async with scripted(answers.get) as server, Remote(server.endpoint) as remote, remote.channel() as channel:
        for name in "aaab":
            channel.post(Request("STAT", name))
        assert isinstance(await channel.outcome(), NotFound)
        assert isinstance(await channel.settle(), NotFound)
        assert isinstance(await channel.outcome(), NotFound)
        assert isinstance(await channel.settle(), Reply)
        assert channel.settled
        channel.post(Request("STAT", "nothing: the server closes"))
        with pytest.raises(Interrupted):
            await channel.outcome()


@pytest.mark.parametrize(
    ("facts", "number"), [({}, None), ({"n": "x"}, None), ({"n": "-1"}, None), ({"n": "٣"}, None), ({"n": "7"}, 7)]
)
def test_numbers_of_answers(facts: dict[str, str], number: int | None) -> None:
    if number is None:
        with pytest.raises(TransferError, match="lacks n"):
            number_of(Reply(0, facts), "n")
    else:
        assert number_of(Reply(0, facts), "n") == number


def test_times_of_answers() -> None:
    assert time_of(Reply(0, {"mtime": "1.5"})) == 1_500_000_000
    assert time_of(Reply(0, {"mtime": "yesterday"})) == time_of(Reply(0)) == 0
