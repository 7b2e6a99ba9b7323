"""The terminal client, over a connection without a network and a pipe for a keyboard."""

from __future__ import annotations

import io
import os
import pty
import signal
from collections.abc import Awaitable, Callable, Iterator

import anyio
import pytest

from aionet.codecs import RawCodec
from aionet.handler import TLSFacts
from aionet.services.chat import client
from aionet.services.chat.client import _Client
from aionet.services.chat.keyboard import Keyboard
from aionet.services.chat.screen import Screen
from aionet.services.chat.wire import MAX_LINE, PROMPT

from .fakes import FakeConnection

ASKED = PROMPT.decode()


class Desk:
    """A client with everything around it; the test types, and plays the server."""

    def __init__(self, reader: int, writer: int) -> None:
        self.reader = reader
        self.writer = writer
        self.conn = FakeConnection(RawCodec())
        self.stdout = io.StringIO()
        self.stderr = io.StringIO()

    def type(self, text: str) -> None:
        os.write(self.writer, text.encode())

    def end(self) -> None:
        """No more will be typed."""
        os.close(self.writer)
        self.writer = -1

    async def run(self, script: Callable[[], Awaitable[None]], name: str | None = None) -> int:
        """Run the client while ``script`` goes on beside it."""
        keyboard = Keyboard(self.reader, MAX_LINE)
        screen = Screen(self.stdout, skip=PROMPT if name is not None else b"")
        codes: list[int] = []

        async def run_client() -> None:
            codes.append(await _Client(self.conn, keyboard, screen, self.stderr, name).run())

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run_client)
                await script()
        return codes[0]

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():  # noqa: ASYNC110 - the client has no event to wait for
            await anyio.sleep(0.001)

    async def until_sent(self, data: bytes) -> None:
        await self.until(lambda: self.conn.sent == data)

    async def until_shown(self, text: str) -> None:
        await self.until(lambda: self.stdout.getvalue() == text)


@pytest.fixture(autouse=True)
def _no_greeting_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "GREETING_WAIT", 0.0)


async def test_nothing_is_said_before_the_server_has_spoken(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that on a port that several share, the client's silence can tell whose it is."""
    monkeypatch.setattr(client, "GREETING_WAIT", 20.0)

    async def script() -> None:
        desk.type("alice\n")
        desk.end()
        await anyio.wait_all_tasks_blocked()
        assert desk.conn.sent == b""
        desk.conn.arrive(PROMPT)
        await desk.conn.half_closed.wait()
        desk.conn.arrive(anyio.EndOfStream())

    assert await desk.run(script) == 0
    assert desk.conn.sent == b"alice\n"


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk(*os.pipe())
    yield made
    for descriptor in (made.reader, made.writer):
        if descriptor >= 0:
            os.close(descriptor)


@pytest.fixture
def terminal() -> Iterator[Desk]:
    controller, terminal = pty.openpty()
    yield Desk(terminal, controller)
    os.close(controller)
    os.close(terminal)


async def test_types_and_shows_until_the_input_ends(desk: Desk) -> None:
    async def script() -> None:
        desk.conn.arrive(PROMPT)
        await desk.until_shown(ASKED)
        desk.type("alice\nhello\nlast words")
        desk.end()
        await desk.conn.half_closed.wait()
        desk.conn.arrive(b"[SERVER] alice joined the chat!\n[bob] bye\n", anyio.EndOfStream())

    assert await desk.run(script) == 0
    assert desk.conn.sent == b"alice\nhello\nlast words\n"
    assert desk.stdout.getvalue() == f"{ASKED}\n[SERVER] alice joined the chat!\n[bob] bye\n"
    assert desk.stderr.getvalue() == ""


@pytest.mark.parametrize("word", ["/quit\n", "  /QUIT \r\n"])
async def test_quit_sends_nothing_more(desk: Desk, word: str) -> None:
    async def script() -> None:
        desk.type(f"alice\n{word}never sent\n")
        await desk.conn.half_closed.wait()
        desk.conn.arrive(anyio.EndOfStream())

    assert await desk.run(script) == 0
    assert desk.conn.sent == b"alice\n"


async def test_over_tls_the_server_is_asked_to_close(desk: Desk) -> None:
    desk.conn = FakeConnection(RawCodec(), TLSFacts("TLSv1.3", "x", None, {}))

    async def script() -> None:
        desk.end()
        await desk.until_sent(b"/quit\n")
        desk.conn.arrive(b"[SERVER] goodbye\n", anyio.EndOfStream())

    assert await desk.run(script) == 0
    assert desk.stdout.getvalue() == "[SERVER] goodbye\n"
    assert not desk.conn.half_closed.is_set()


async def test_a_server_that_does_not_close_is_not_waited_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "GOODBYE_WAIT", 0.01)

    async def script() -> None:
        desk.end()

    assert await desk.run(script) == 0


async def test_a_server_that_leaves_is_reported(desk: Desk) -> None:
    async def script() -> None:
        desk.conn.arrive(b"[SERVER] shutting down\nunfini", anyio.EndOfStream())

    assert await desk.run(script) == 1
    assert desk.stdout.getvalue() == "[SERVER] shutting down\nunfini\n"
    assert desk.stderr.getvalue() == "the server closed the connection\n"


async def test_a_broken_connection_is_reported_with_its_cause(desk: Desk) -> None:
    async def script() -> None:
        error = anyio.BrokenResourceError()
        error.__cause__ = ConnectionResetError("reset by the peer")
        desk.conn.arrive(error)

    assert await desk.run(script) == 1
    assert desk.stderr.getvalue() == "the connection to the server is lost: reset by the peer\n"


async def test_sending_on_a_broken_connection_raises_nothing(desk: Desk) -> None:
    async def script() -> None:
        desk.conn.abort()
        desk.type("hello\n")
        await anyio.wait_all_tasks_blocked()
        desk.conn.arrive(anyio.BrokenResourceError())

    assert await desk.run(script) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_leaves(desk: Desk, number: signal.Signals) -> None:
    async def script() -> None:
        desk.conn.arrive(b"ready\n")
        await desk.until_shown("ready\n")
        await anyio.wait_all_tasks_blocked()
        os.kill(os.getpid(), number)
        await desk.conn.half_closed.wait()
        desk.conn.arrive(anyio.EndOfStream())

    assert await desk.run(script) == 0


async def test_a_second_signal_does_not_wait_for_the_server(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "GOODBYE_WAIT", 1000.0)

    async def script() -> None:
        desk.conn.arrive(b"ready\n")
        await desk.until_shown("ready\n")
        await anyio.wait_all_tasks_blocked()
        os.kill(os.getpid(), signal.SIGINT)
        await desk.conn.half_closed.wait()
        os.kill(os.getpid(), signal.SIGINT)

    assert await desk.run(script) == 0


async def test_a_line_too_long_is_not_sent(desk: Desk) -> None:
    async def script() -> None:
        desk.type("x" * (MAX_LINE + 1) + "\nshort\n")
        await desk.until_sent(b"short\n")
        desk.end()
        await desk.conn.half_closed.wait()
        desk.conn.arrive(anyio.EndOfStream())

    assert await desk.run(script) == 0
    assert desk.stderr.getvalue() == f"a line has at most {MAX_LINE} bytes; this one was not sent\n"


async def test_what_the_server_sends_is_not_obeyed(desk: Desk) -> None:
    async def script() -> None:
        desk.conn.arrive(b"\x1b]0;title\x07\x1b[2J\n", anyio.EndOfStream())

    await desk.run(script)
    assert desk.stdout.getvalue() == r"\x1b]0;title\x07\x1b[2J" + "\n"


async def test_a_line_without_end_is_shown_after_a_moment(desk: Desk) -> None:
    async def script() -> None:
        desk.conn.arrive(b"Passw")
        await desk.until_shown("Passw")
        desk.conn.arrive(b"ord: \n", anyio.EndOfStream())

    await desk.run(script)
    assert desk.stdout.getvalue() == "Password: \n"


async def test_nobody_reads_our_output(desk: Desk) -> None:
    class Closed(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    desk.stdout = Closed()

    async def script() -> None:
        desk.conn.arrive(b"one\n")

    assert await desk.run(script) == 0


class TestName:
    async def test_goes_first_and_what_is_typed_waits_for_the_answer(self, desk: Desk) -> None:
        async def script() -> None:
            desk.type("hello\n")
            desk.end()
            desk.conn.arrive(PROMPT)
            await desk.until_sent(b"alice\n")
            await anyio.wait_all_tasks_blocked()
            assert desk.conn.sent == b"alice\n"
            desk.conn.arrive(b"[SERVER] alice joined", b" the chat!\n")
            await desk.conn.half_closed.wait()
            desk.conn.arrive(anyio.EndOfStream())

        assert await desk.run(script, name="alice") == 0
        assert desk.conn.sent == b"alice\nhello\n"
        assert desk.stdout.getvalue() == "[SERVER] alice joined the chat!\n"

    async def test_refused_to_a_pipe_ends_it_before_its_words_become_a_name(self, desk: Desk) -> None:
        async def script() -> None:
            desk.type("hello\n")
            desk.end()
            desk.conn.arrive(PROMPT + b"[SERVER] the name alice is taken\n" + PROMPT)
            await desk.conn.half_closed.wait()
            desk.conn.arrive(anyio.EndOfStream())

        assert await desk.run(script, name="alice") == 1
        assert desk.conn.sent == b"alice\n"
        assert "taken" in desk.stdout.getvalue()
        assert desk.stderr.getvalue() == "the server refused the name alice; nothing was sent\n"

    async def test_refused_to_a_person_is_asked_again(self, terminal: Desk) -> None:
        async def script() -> None:
            terminal.conn.arrive(PROMPT + b"[SERVER] taken\n" + PROMPT)
            await terminal.until_shown(f"[SERVER] taken\n{ASKED}")
            terminal.type("bob\n")
            await terminal.until_sent(b"alice\nbob\n")
            terminal.conn.arrive(b"[SERVER] bob joined the chat!\n")
            terminal.type("\x04")
            await terminal.conn.half_closed.wait()
            terminal.conn.arrive(anyio.EndOfStream())

        assert await terminal.run(script, name="alice") == 0
        assert terminal.stdout.getvalue() == f"[SERVER] taken\n{ASKED}[SERVER] bob joined the chat!\n"

    async def test_no_answer_is_taken_as_yes(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(client, "NAME_WAIT", 0.01)

        async def script() -> None:
            desk.type("hello\n")
            await desk.until_sent(b"alice\nhello\n")
            desk.conn.arrive(anyio.EndOfStream())

        assert await desk.run(script, name="alice") == 1
