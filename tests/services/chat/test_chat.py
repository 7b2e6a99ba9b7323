"""The whole chat over real sockets: raw clients, ``nc``, ``telnet``, and the terminal client."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from aionet import Router, Server
from aionet.errors import ConfigError, ConnectError
from aionet.services.chat import Chat, run_chat
from aionet.services.chat.wire import MAX_LINE, PROMPT

from ...conftest import TLSFiles
from ...tools import require

ASKED = PROMPT.decode()


class Person:
    """A raw client; every wait is bounded by the test's own time limit."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def hears(self, text: str) -> None:
        """The next bytes are exactly these."""
        assert (await self.reader.readexactly(len(text.encode()))).decode() == text

    async def hears_nothing_more(self) -> None:
        assert await self.reader.read() == b""

    def says(self, *lines: str) -> None:
        self.writer.write("".join(f"{line}\n" for line in lines).encode())

    def reset(self) -> None:
        """Gone without a goodbye: RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class House:
    """A served chat and the people in it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.endpoint = server.addresses[0]
        self.port = self.endpoint.port
        self.people: list[Person] = []

    async def connect(self) -> Person:
        person = Person(*await asyncio.open_connection("127.0.0.1", self.port))
        self.people.append(person)
        await person.hears(ASKED)
        return person

    async def join(self, name: str) -> Person:
        person = await self.connect()
        person.says(name)
        await person.hears(f"[SERVER] {name} joined the chat!\n")
        return person


@asynccontextmanager
async def chat_house(endpoint: str = "tcp://127.0.0.1:0", **options: Any) -> AsyncIterator[House]:
    router = Router()
    router.add(endpoint, Chat(**options))
    async with Server(router) as server:
        house = House(server)
        try:
            yield house
        finally:
            for person in house.people:
                person.writer.close()


async def test_three_people_talk() -> None:
    async with chat_house() as house:
        alice = await house.join("alice")
        bob = await house.join("bob")
        await alice.hears("[SERVER] bob joined the chat!\n")
        carol = await house.join("carol")
        alice.says("hello", "everybody")
        for other in (bob, carol):
            if other is bob:
                await other.hears("[SERVER] carol joined the chat!\n")
            await other.hears("[alice] hello\n[alice] everybody\n")
        bob.says("hi")
        await carol.hears("[bob] hi\n")
        await alice.hears("[SERVER] carol joined the chat!\n[bob] hi\n")


@pytest.mark.parametrize("policy", ["disconnect", "drop_oldest", "drop_newest"])
async def test_every_policy_serves(policy: str) -> None:
    async with chat_house(policy=policy) as house:
        alice, bob = await house.join("alice"), await house.join("bob")
        bob.says("hi")
        await alice.hears("[SERVER] bob joined the chat!\n[bob] hi\n")


async def test_a_reset_is_a_departure_and_frees_the_name() -> None:
    async with chat_house() as house:
        alice, bob = await house.join("alice"), await house.join("bob")
        bob.reset()
        await alice.hears("[SERVER] bob joined the chat!\n[SERVER] bob left the chat\n")
        await house.join("bob")


async def test_quit_says_goodbye_and_closes() -> None:
    async with chat_house() as house:
        alice, bob = await house.join("alice"), await house.join("bob")
        bob.says("last words", "/quit", "not heard")
        await bob.hears("[SERVER] goodbye\n")
        await bob.hears_nothing_more()
        await alice.hears("[SERVER] bob joined the chat!\n[bob] last words\n[SERVER] bob left the chat\n")


async def test_half_close_leaves_after_the_last_line_even_without_its_end() -> None:
    async with chat_house() as house:
        alice, bob = await house.join("alice"), await house.join("bob")
        bob.writer.write(b"/who\nunfinished")
        bob.writer.write_eof()
        await bob.hears("[SERVER] 2 here: alice, bob\n")
        await bob.hears_nothing_more()
        await alice.hears("[SERVER] bob joined the chat!\n[bob] unfinished\n[SERVER] bob left the chat\n")


async def test_a_line_too_long_is_answered_before_the_end() -> None:
    async with chat_house() as house:
        alice = await house.join("alice")
        alice.writer.write(b"x" * (MAX_LINE + 1000) + b"\n")
        await alice.hears(f"[SERVER] a line has at most {MAX_LINE} bytes; goodbye\n")
        await alice.hears_nothing_more()


async def test_draining_says_so() -> None:
    async with chat_house() as house:
        alice, stranger = await house.join("alice"), await house.connect()
        await house.server.drain(5)
        for person in (alice, stranger):
            await person.hears("[SERVER] shutting down\n")
            await person.hears_nothing_more()


async def test_the_longest_line_of_the_worst_bytes_arrives_whole() -> None:
    async with chat_house() as house:
        alice, bob = await house.join("alice"), await house.join("bob")
        bob.writer.write(b"\x9b" * MAX_LINE + b"\n")
        await alice.hears("[SERVER] bob joined the chat!\n[bob] " + r"\x9b" * MAX_LINE + "\n")


async def run_program(*command: str, typed: bytes) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        return (await asyncio.wait_for(process.communicate(typed), 20))[0]
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_nc_is_a_client() -> None:
    nc = require("nc")
    async with chat_house() as house:
        alice = await house.join("alice")
        shown = await run_program(
            nc, "-N", "127.0.0.1", str(house.port), typed=b"SERVER\nbob\nhello from nc\n/who\nbye"
        )
        assert shown.decode() == (
            f"{ASKED}[SERVER] the name SERVER is reserved\n"
            f"{ASKED}[SERVER] bob joined the chat!\n[SERVER] 2 here: alice, bob\n"
        )
        await alice.hears("[SERVER] bob joined the chat!\n[bob] hello from nc\n[bob] bye\n[SERVER] bob left the chat\n")


async def test_telnet_is_a_client() -> None:
    telnet = require("telnet")
    async with chat_house() as house:
        alice = await house.join("alice")
        process = await asyncio.create_subprocess_exec(
            telnet, "127.0.0.1", str(house.port),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdin is not None
        try:
            process.stdin.write(b"bob\nhello from telnet\n")
            await alice.hears("[SERVER] bob joined the chat!\n[bob] hello from telnet\n")
            process.stdin.write(b"/quit\n")
            await alice.hears("[SERVER] bob left the chat\n")
            shown = (await asyncio.wait_for(process.communicate(), 20))[0]
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert b"[SERVER] bob joined the chat!" in shown
        assert b"[SERVER] goodbye" in shown


class Terminal:
    """The terminal client with a pipe for a keyboard."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.stdout, self.stderr = io.StringIO(), io.StringIO()

    def type(self, text: str) -> None:
        os.write(self.writer, text.encode())

    async def run(self, endpoint: object, **options: Any) -> int:
        return await run_chat(str(endpoint), stdin=self.reader, stdout=self.stdout, stderr=self.stderr, **options)

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


@asynccontextmanager
async def a_terminal() -> AsyncIterator[Terminal]:
    terminal = Terminal()
    try:
        yield terminal
    finally:
        terminal.close()


async def test_the_terminal_client_talks_and_quits() -> None:
    async with chat_house() as house, a_terminal() as terminal:
        alice = await house.join("alice")
        client = asyncio.create_task(terminal.run(house.endpoint, name="bob"))
        await alice.hears("[SERVER] bob joined the chat!\n")
        alice.says("hi \x1b[2J bob")
        terminal.type("hello\n")
        await alice.hears("[bob] hello\n")
        terminal.type("/quit\n")
        assert await client == 0
        await alice.hears("[SERVER] bob left the chat\n")
        shown = terminal.stdout.getvalue()
        assert shown == "[SERVER] bob joined the chat!\n[alice] hi \\x1b[2J bob\n"


async def test_the_terminal_client_reports_a_server_that_leaves() -> None:
    async with chat_house() as house, a_terminal() as terminal:
        alice = await house.join("alice")
        client = asyncio.create_task(terminal.run(house.endpoint, name="bob"))
        await alice.hears("[SERVER] bob joined the chat!\n")
        await house.server.drain(5)
        assert await client == 1
        assert terminal.stdout.getvalue().endswith("[SERVER] shutting down\n")
        assert terminal.stderr.getvalue() == "the server closed the connection\n"


async def test_a_file_is_said_and_answered_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("one\n/who\ntwo")
    async with chat_house() as house:
        alice = await house.join("alice")
        out = io.StringIO()
        with path.open("rb") as file:
            assert await run_chat(house.endpoint, name="bob", stdin=file, stdout=out) == 0
        await alice.hears("[SERVER] bob joined the chat!\n[bob] one\n[bob] two\n[SERVER] bob left the chat\n")
        assert out.getvalue() == "[SERVER] bob joined the chat!\n[SERVER] 2 here: alice, bob\n"


async def test_over_tls(tls_files: TLSFiles, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("one\n/who\n")
    out = io.StringIO()
    async with chat_house(f"tls://127.0.0.1:0?cert={tls_files.server_cert}&key={tls_files.server_key}") as house:
        with path.open("rb") as file:
            endpoint = f"tls://127.0.0.1:{house.port}?ca={tls_files.ca}"
            assert await run_chat(endpoint, name="bob", stdin=file, stdout=out) == 0
    assert out.getvalue() == "[SERVER] bob joined the chat!\n[SERVER] 1 here: bob\n[SERVER] goodbye\n"


async def test_nobody_there_and_a_name_of_two_lines() -> None:
    async with chat_house() as house:
        port = house.port
    with pytest.raises(ConnectError):
        await run_chat(f"tcp://127.0.0.1:{port}", stdin=0)
    with pytest.raises(ConfigError):
        await run_chat(f"tcp://127.0.0.1:{port}", name="a\nb", stdin=0)


async def test_a_stop_of_the_task_stops_the_client_while_it_waits_for_input() -> None:
    async with chat_house() as house, a_terminal() as terminal:
        alice = await house.join("alice")
        client = asyncio.create_task(terminal.run(house.endpoint, name="bob"))
        await alice.hears("[SERVER] bob joined the chat!\n")
        client.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client
        await alice.hears("[SERVER] bob left the chat\n")
