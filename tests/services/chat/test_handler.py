"""The room: who comes, who goes, who hears what; over a connection without a network."""

from __future__ import annotations

import math
import random

import pytest

from aionet import CloseReason, Timeouts
from aionet.errors import ConfigError, IncompleteFrame
from aionet.routing import ConnectionFacts, Verdict
from aionet.services.chat import Chat
from aionet.services.chat.handler import LISTED_NAMES
from aionet.services.chat.text import visible
from aionet.services.chat.wire import MAX_LINE, PROMPT, REFUSAL_LIMIT
from aionet.styles import StreamStyle, stream_style
from aionet.testing import HandlerHarness, verify_matcher

from .fakes import FakeRoom, World

ASKED = PROMPT.decode()


def test_is_a_callback_handler_with_deadlines_of_its_own() -> None:
    assert stream_style(Chat(room=FakeRoom())) is StreamStyle.CALLBACK
    assert isinstance(Chat.timeouts, Timeouts)
    assert Chat.timeouts.idle > 3600


def test_clients_are_known_by_their_silence_or_a_command() -> None:
    assert Chat.match is not None
    verify_matcher(Chat.match, [b"/who\n"], [b"", b"alice\n"])
    assert Chat.match.verdict(b"", ConnectionFacts(peer=None, silent=True)) is Verdict.MATCH


class NoTask:
    """sniffio, as it answers in a callback, where no task runs."""

    AsyncLibraryNotFoundError = RuntimeError

    @staticmethod
    def current_async_library() -> str:
        raise RuntimeError


def test_its_clock_needs_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """trio brings sniffio along, which anyio then asks; and callbacks of connections run outside all tasks."""
    monkeypatch.setattr("anyio._core._eventloop.sniffio", NoTask)
    with HandlerHarness(Chat()) as peer:
        assert peer.sent == PROMPT


@pytest.mark.parametrize("options", [{"rate": 0}, {"rate": math.nan}, {"burst": 0}])
def test_impossible_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        World(**options)


class TestJoining:
    def test_asks_without_a_line_end(self) -> None:
        assert World().connect().sent == b"Enter your username: "

    def test_is_announced_to_all_and_to_oneself(self) -> None:
        world = World()
        alice = world.join("alice")
        bob = world.connect()
        bob.taken()
        world.say(bob, "bob")
        assert alice.taken() == ["[SERVER] bob joined the chat!"]
        assert bob.taken() == ["[SERVER] bob joined the chat!"]
        assert world.chat.names == ("alice", "bob")

    def test_the_nameless_hear_nothing_and_are_not_heard(self) -> None:
        world = World()
        alice = world.join("alice")
        stranger = world.connect()
        world.say(alice, "hello")
        assert stranger.taken() == [ASKED]
        world.gone(stranger)
        assert alice.taken() == []

    def test_name_and_first_words_in_one_chunk(self) -> None:
        world = World()
        alice = world.join("alice")
        world.say(world.connect(), "bob", "hello")
        assert alice.taken() == ["[SERVER] bob joined the chat!", "[bob] hello"]

    def test_telnet_negotiation_is_no_part_of_the_name(self) -> None:
        world = World()
        world.say(world.connect(), b"\xff\xfd\x03\xff\xfb\x18\xff\xfa\x18\x00xterm\xff\xf0alice\r")
        assert world.chat.names == ("alice",)

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            (b"", "a name must not be empty"),
            (b"x" * 25, "a name has at most 24 characters, not 25"),
            (b"a\x1b[2J", "a name has letters, digits, _ - and . only, not U+001B"),
            (b"\xff", r"a name must be UTF-8, and \xff is not"),
            (b"SERVER", "the name SERVER is reserved"),
            (b"Alice", "the name Alice, or one that looks like it, is taken"),
            (b"a1ice", "the name a1ice, or one that looks like it, is taken"),
        ],
    )
    def test_a_refusal_has_its_reason_and_asks_again(self, line: bytes, reason: str) -> None:
        world = World()
        world.join("alice")
        conn = world.connect()
        conn.taken()
        world.say(conn, line)
        assert conn.taken() == [f"[SERVER] {reason}", ASKED]
        assert not conn.closing
        world.say(conn, "bob")
        assert world.chat.names == ("alice", "bob")

    def test_refusals_are_bounded(self) -> None:
        world = World()
        conn = world.connect()
        world.say(conn, *[""] * (REFUSAL_LIMIT - 1))
        assert not conn.closing
        conn.taken()
        world.say(conn, "", "alice")
        assert conn.taken() == [f"[SERVER] a name must not be empty; {REFUSAL_LIMIT} names refused, goodbye"]
        assert conn.closing
        assert world.chat.names == ()

    def test_quitting_at_the_door(self) -> None:
        world = World()
        conn = world.connect()
        conn.taken()
        world.say(conn, "/quit")
        assert conn.taken() == ["[SERVER] goodbye"]
        assert conn.closing

    def test_who_gives_no_name_is_let_go_when_somebody_else_arrives(self) -> None:
        world = World()
        first, second = world.connect(), world.connect()
        world.say(second, "bob")
        world.now += world.chat.name_timeout - 1
        world.connect()
        assert not first.closing
        first.taken()
        world.now += 1
        last = world.connect()
        assert first.closing
        assert first.taken() == ["[SERVER] no name within 120 seconds; goodbye"]
        assert not second.closing
        assert not last.closing


class TestTalking:
    def test_all_others_hear_it_in_order_and_the_sender_does_not(self) -> None:
        world = World()
        alice, bob, carol = map(world.join, ("alice", "bob", "carol"))
        world.say(alice, "one", "two")
        world.say(bob, "three")
        assert carol.taken() == ["[alice] one", "[alice] two", "[bob] three"]
        assert bob.taken() == ["[alice] one", "[alice] two"]
        assert alice.taken() == ["[bob] three"]

    @pytest.mark.parametrize(
        ("line", "heard"),
        [
            (b"[SERVER] shutting down", "[alice] [SERVER] shutting down"),
            (b"\r[SERVER] hi", r"[alice] \r[SERVER] hi"),
            ("x\u2028[SERVER] hi".encode(), r"[alice] x\u2028[SERVER] hi"),
            (b"\x1b[2K\x1b[G[bob] I owe you", r"[alice] \x1b[2K\x1b[G[bob] I owe you"),
            (b"\xff\xfe", r"[alice] \xff\xfe"),
            (b"  indented", "[alice]   indented"),
            (b"\xff\xf4\xff\xfd\x06after ctrl+c in telnet", "[alice] after ctrl+c in telnet"),
        ],
    )
    def test_nobody_speaks_as_another(self, line: bytes, heard: str) -> None:
        world = World()
        alice, bob = world.join("alice"), world.join("bob")
        world.say(alice, line)
        assert bob.sent.decode() == heard + "\n"

    def test_empty_lines_are_ignored(self) -> None:
        world = World()
        alice, bob = world.join("alice"), world.join("bob")
        world.say(alice, "", "   ", "\t", "\r", b"\xff\xf4")
        assert (alice.taken(), bob.taken()) == ([], [])

    def test_a_line_too_long_is_said_to_be(self) -> None:
        world = World()
        alice, bob = world.join("alice"), world.join("bob")
        world.feed(alice, b"good\n" + b"x" * (MAX_LINE + 2))
        assert alice.taken() == [f"[SERVER] a line has at most {MAX_LINE} bytes; goodbye"]
        assert bob.taken() == ["[alice] good", "[SERVER] alice left the chat"]
        assert alice.closing

    def test_any_other_fault_is_passed_on_harmlessly(self) -> None:
        world = World()
        alice = world.join("alice")
        world.chat.on_fault(alice, IncompleteFrame("ended inside \x1b[2J"))
        assert alice.taken() == [r"[SERVER] ended inside \x1b[2J; goodbye"]


class TestCommands:
    def test_who(self) -> None:
        world = World()
        alice, bob = world.join("alice"), world.join("bob")
        world.say(alice, "/who")
        assert alice.taken() == ["[SERVER] 2 here: alice, bob"]
        assert bob.taken() == []

    def test_who_is_bounded(self) -> None:
        world = World()
        for number in range(LISTED_NAMES + 20):
            last = world.join(f"guest{number}")
        world.say(last, "/who")
        (line,) = last.taken()
        assert line.startswith(f"[SERVER] {LISTED_NAMES + 20} here: guest0, guest")
        assert line.endswith(" and 20 more")
        assert line.count(",") == LISTED_NAMES - 1

    def test_help_and_unknown(self) -> None:
        world = World()
        alice, bob = world.join("alice"), world.join("bob")
        world.say(alice, "/help")
        lines = alice.taken()
        assert [line for line in lines if "/who" in line or "/quit" in line]
        assert all(line.startswith("[SERVER] ") for line in lines)
        world.say(alice, "/nick bob", "/\x1b[2J")
        assert alice.taken() == [
            "[SERVER] unknown command /nick; /help lists what there is",
            r"[SERVER] unknown command /\x1b[2J; /help lists what there is",
        ]
        assert bob.taken() == []

    @pytest.mark.parametrize("line", ["/quit", "/QUIT ", b"/quit\r"])
    def test_quit(self, line: str | bytes) -> None:
        world = World()
        alice, bob = world.join("alice"), world.join("bob")
        world.say(alice, line, "not heard any more")
        assert alice.taken() == ["[SERVER] goodbye"]
        assert alice.closing
        assert bob.taken() == ["[SERVER] alice left the chat"]


class TestLeaving:
    @pytest.mark.parametrize(
        "reason",
        [CloseReason.PEER_RESET, CloseReason.SLOW_CONSUMER, CloseReason.IDLE_TIMEOUT, CloseReason.HANDLER_ERROR],
    )
    def test_an_abrupt_end_is_announced_and_frees_the_name(self, reason: CloseReason) -> None:
        world = World()
        alice, bob = world.join("alice"), world.join("bob")
        world.gone(alice, reason)
        assert bob.taken() == ["[SERVER] alice left the chat"]
        assert alice.taken() == []
        assert list(world.room.members) == [bob]
        world.say(world.connect(), "ALICE")
        assert world.chat.names == ("bob", "ALICE")

    def test_end_of_input_leaves_and_closes(self) -> None:
        world = World()
        alice, bob = world.join("alice"), world.join("bob")
        world.chat.on_eof(alice)
        assert alice.closing
        world.gone(alice, CloseReason.PEER_CLOSED)
        assert bob.taken() == ["[SERVER] alice left the chat"]

    def test_draining_says_so_once_to_each_and_announces_nobody(self) -> None:
        world = World()
        alice, bob, stranger = world.join("alice"), world.join("bob"), world.connect()
        stranger.taken()
        for conn in (alice, bob, stranger):
            world.chat.on_drain(conn)
            assert conn.closing
        for conn in (alice, bob, stranger):
            world.gone(conn, CloseReason.SHUTDOWN)
            assert conn.taken() == ["[SERVER] shutting down"]
        assert world.chat.names == ()

    def test_nothing_is_kept_of_those_who_left(self) -> None:
        world = World()
        for number in range(50):
            conn = world.connect()
            if number % 2:
                world.say(conn, f"guest{number}", "hello")
            world.gone(conn)
        assert vars(world.chat)["_names"] == vars(world.chat)["_members"] == vars(world.chat)["_nameless"] == {}
        assert not world.room.members


class TestFlood:
    def test_is_told_once_refused_and_then_counted(self) -> None:
        world = World(rate=2.0, burst=4)
        alice, bob = world.join("alice"), world.join("bob")
        world.say(alice, *"abcdefg")
        assert bob.taken() == ["[alice] a", "[alice] b", "[alice] c", "[alice] d"]
        assert alice.taken() == [
            "[SERVER] too many messages: this one, and those of the next 2.0 seconds, are not passed on"
        ]
        world.now += 1.9
        world.say(alice, "h")
        assert (alice.taken(), bob.taken()) == ([], [])
        world.now += 0.2
        world.say(alice, "i")
        assert alice.taken() == ["[SERVER] 4 messages of yours not passed on"]
        assert bob.taken() == ["[alice] i"]

    def test_an_even_pace_at_the_rate_is_never_refused(self) -> None:
        world = World(rate=2.0, burst=1)
        alice, bob = world.join("alice"), world.join("bob")
        for _ in range(100):
            world.say(alice, "x")
            world.now += 0.5
        assert len(bob.taken()) == 100
        assert alice.taken() == []

    def test_commands_count_but_leaving_does_not(self) -> None:
        world = World(burst=2)
        alice = world.join("alice")
        world.say(alice, "/who", "/who", "/who", "/who")
        assert [line for line in alice.taken() if "here" in line] == ["[SERVER] 1 here: alice"] * 2
        world.say(alice, "/quit")
        assert alice.taken() == ["[SERVER] 2 messages of yours not passed on", "[SERVER] goodbye"]

    def test_each_has_a_bucket_of_its_own(self) -> None:
        world = World(burst=1)
        alice, bob = world.join("alice"), world.join("bob")
        world.say(alice, "1", "2")
        world.say(bob, "3")
        assert "[bob] 3" in alice.taken()

    def test_can_be_switched_off(self) -> None:
        world = World(rate=math.inf)
        alice, bob = world.join("alice"), world.join("bob")
        world.say(alice, *["x"] * 1000)
        assert len(bob.taken()) == 1000


def test_ten_thousand_lines_of_noise_neither_raise_nor_reach_anybody_raw() -> None:
    noise = random.Random(20)
    world = World(rate=math.inf)
    witness = world.join("witness")
    conn = world.join("noise")
    joined = 0
    for _ in range(10_000):
        world.say(conn, noise.randbytes(noise.randrange(60)).replace(b"\n", b"\r"))
        if conn.closing:
            conn, joined = world.connect(), joined + 1
            if noise.random() < 0.5:
                world.say(conn, f"noise{joined}")
    heard = witness.sent.decode()
    assert heard.count("\n") > 1000
    for line in heard.removesuffix("\n").split("\n"):
        assert line.startswith(("[SERVER] ", "[noise"))
        assert visible(line) == line
