"""Events become log records: which, at what level, and that no peer can write into them."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from aionet.events import (
    AcceptResumed,
    AcceptSuspended,
    CloseReason,
    ConnectionClosed,
    ConnectionOpened,
    ConnectionRefused,
    ConnectionStats,
    DatagramsDropped,
    DrainFinished,
    Event,
    Events,
    HandlerFailed,
    ListenerStarted,
    MessagesDropped,
    ServerStateChanged,
    TransferFinished,
)
from aionet.observe.logging import (
    MAX_FAILURES_PER_SECOND,
    MAX_QUEUED,
    MAX_TEXT,
    MAX_TRACEBACK,
    LogObserver,
    LogSetup,
    format_address,
    printable,
    setup_logging,
)

PEER = ("127.0.0.1", 7000)
STATS = ConnectionStats(3, 2, 0, 30, 20)
HOSTILE = "\x1b]0;owned\x07\nWARNING forged \u202e\u2028 \x9b31m"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def bare_root() -> Iterator[logging.Logger]:
    """The root logger as a program finds it: without the handlers that pytest puts there for each test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    try:
        yield root
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@contextmanager
def logging_to(stream: io.StringIO, level: str = "warning") -> Iterator[LogSetup]:
    with bare_root():
        setup = setup_logging(level, stream=stream)
        assert setup is not None
        yield setup
        setup.close()


def failure(text: str = "boom") -> HandlerFailed:
    try:
        raise RuntimeError(text)
    except RuntimeError as exc:
        return HandlerFailed("echo", PEER, "on_message", exc)


@pytest.mark.parametrize(
    ("event", "logger", "level", "words"),
    [
        (ServerStateChanged("NEW", "STARTING"), "aionet.server", logging.INFO, "NEW -> STARTING"),
        (ListenerStarted("tcp://127.0.0.1:80", "echo"), "aionet.server", logging.INFO, "tcp://127.0.0.1:80 for echo"),
        (DrainFinished(0.5, ()), "aionet.server", logging.INFO, "drained in 0.5 s"),
        (DrainFinished(9.0, (PEER, None)), "aionet.server", logging.WARNING, "2 cut after 9.0 s: 127.0.0.1:7000, unn"),
        (AcceptSuspended("tcp://*:80", 10, 10), "aionet.security", logging.WARNING, "10 connections open, limit 10"),
        (AcceptResumed("tcp://*:80", 9), "aionet.security", logging.INFO, "accepts again"),
        (
            ConnectionRefused("tcp://*:80", PEER, "too many", 7),
            "aionet.security",
            logging.WARNING,
            "refused 7, last 127",
        ),
        (
            TransferFinished("files", PEER, "anna", "GET", "a\x1b[2J\nb", 5, 0.25, "OK"),
            "aionet.audit",
            logging.INFO,
            r"127.0.0.1:7000 (anna) GET a\x1b[2J\nb of files: 5 bytes in 0.250 s: OK",
        ),
        (
            TransferFinished("files", None, "", "AUTH", "", 0, 1.0, "UNAUTHORIZED"),
            "aionet.audit",
            logging.INFO,
            "unnamed peer AUTH - of files: 0 bytes in 1.000 s: UNAUTHORIZED",
        ),
        (MessagesDropped(PEER, 5, 500), "aionet.security", logging.WARNING, "5 messages (500 bytes) dropped"),
        (
            DatagramsDropped("udp://*:80", 4, "inbox full"),
            "aionet.security",
            logging.WARNING,
            "4 datagrams: inbox full",
        ),
        (
            failure(),
            "aionet.error",
            logging.WARNING,
            "echo failed in on_message, peer 127.0.0.1:7000: RuntimeError: boom",
        ),
    ],
)
def test_each_event_is_one_record(
    event: Event, logger: str, level: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "aionet")
    events = Events()
    observer = LogObserver(events)
    events.emit(event)
    observer.close()
    events.emit(event)
    [record] = caplog.records
    assert (record.name, record.levelno) == (logger, level)
    assert words in record.getMessage()


def test_connections_are_subscribed_to_only_when_somebody_reads_them(caplog: pytest.LogCaptureFixture) -> None:
    events = Events()
    caplog.set_level(logging.INFO, "aionet")
    LogObserver(events)
    assert not events.wants(ConnectionOpened)
    assert not events.wants(ConnectionClosed)
    caplog.set_level(logging.DEBUG, "aionet")
    LogObserver(events)
    events.emit(ConnectionOpened("echo", PEER))
    events.emit(ConnectionClosed("echo", PEER, CloseReason.PEER_RESET, OSError("gone"), STATS))
    opened, closed = (record.getMessage() for record in caplog.records)
    assert opened == "127.0.0.1:7000 open to echo"
    assert closed == (
        "127.0.0.1:7000 gone from echo: reset by the peer (OSError: gone); "
        "received 3 messages, 30 bytes; sent 2 messages, 20 bytes"
    )


def test_a_failed_handler_comes_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    events = Events()
    LogObserver(events)
    event = failure()
    events.emit(event)
    assert caplog.records[0].exc_info is not None
    assert caplog.records[0].exc_info[1] is event.exc


def test_failures_in_one_second_are_bounded_and_the_rest_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    clock, events = Clock(), Events()
    LogObserver(events, clock=clock)
    for _ in range(MAX_FAILURES_PER_SECOND + 5):
        events.emit(failure())
    assert len(caplog.records) == MAX_FAILURES_PER_SECOND
    clock.now += 1
    events.emit(failure())
    assert caplog.records[-2].getMessage() == "5 more handler failures in that second"
    for _ in range(MAX_FAILURES_PER_SECOND):
        events.emit(failure())
    events.emit(DrainFinished(0.0, ()))
    assert caplog.records[-1].getMessage() == "1 more handler failures in that second"


def test_many_cut_peers_are_counted_not_all_listed(caplog: pytest.LogCaptureFixture) -> None:
    events = Events()
    LogObserver(events)
    events.emit(DrainFinished(1.0, tuple(("127.0.0.1", port) for port in range(1, 101))))
    assert caplog.records[0].getMessage().endswith("127.0.0.1:8 and 92 more")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        (b"a\x00\xff", "a\\x00\\xff"),
        (bytearray(b"hi"), "hi"),
        ("caf\u00e9\n", "caf\\xe9\\n"),
        ('it\'s "so"', 'it\\\'s "so"'),
        (ValueError("\x1b[31m"), "\\x1b[31m"),
        (17, "17"),
        ("x" * MAX_TEXT, "x" * MAX_TEXT),
        ("x" * 100_000, "x" * (MAX_TEXT - 3) + "..."),
        (b"\x00" * 100_000, ("\\x00" * MAX_TEXT)[: MAX_TEXT - 3] + "..."),
    ],
)
def test_printable(value: object, shown: str) -> None:
    assert printable(value) == shown
    assert len(printable(value)) <= MAX_TEXT


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (PEER, "127.0.0.1:7000"),
        (("::1", 7000, 0, 0), "[::1]:7000"),
        ("/run/\x1bapp.sock", "/run/\\x1bapp.sock"),
        ("", "unnamed peer"),
        (None, "unnamed peer"),
    ],
)
def test_format_address(address: tuple[object, ...] | str | None, shown: str) -> None:
    assert format_address(address) == shown


def test_a_peer_cannot_forge_a_line_nor_drive_the_terminal() -> None:
    stream = io.StringIO()
    events = Events()
    with logging_to(stream, "debug"):
        LogObserver(events)
        events.emit(ConnectionRefused("tcp://*:80", ("127.0.0.1", 1), HOSTILE, 1))
        events.emit(failure(HOSTILE))
        logging.getLogger("app").warning("user code logs %s", HOSTILE)
    text = stream.getvalue()
    assert all(character == "\n" or character.isprintable() for character in text)
    records = [line for line in text.splitlines() if not line.startswith("    ")]
    assert len(records) == 3
    assert all(" WARNING " in line and line[:2] == "20" for line in records)
    assert "Traceback" in text


def test_a_traceback_is_bounded() -> None:
    stream = io.StringIO()
    events = Events()
    with logging_to(stream):
        LogObserver(events)
        events.emit(failure("x" * 10_000_000))
    assert len(stream.getvalue()) < MAX_TRACEBACK + 1024


class Stuck(io.StringIO):
    """A terminal that takes nothing until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.asked = threading.Event()

    def write(self, text: str) -> int:
        self.asked.set()
        self.go.wait()
        return super().write(text)


def test_a_stuck_terminal_holds_nobody_up_and_what_is_lost_is_counted() -> None:
    stream = Stuck()
    log = logging.getLogger("aionet.server")
    with logging_to(stream) as setup:
        log.warning("first")
        assert stream.asked.wait(10)
        for number in range(MAX_QUEUED + 7):
            log.warning("%d", number)
        setup.close()  # the queue is full and stays so: it leaves at once
        setup.close()
    stream.go.set()
    thread = next(thread for thread in threading.enumerate() if thread.name == "aionet-log")
    setup._queue.put(None)
    thread.join(10)
    assert not thread.is_alive()
    assert "(7 log lines dropped: the output does not keep up)" in stream.getvalue()


def test_a_terminal_that_is_gone_ends_the_writer_quietly() -> None:
    stream = io.StringIO()
    with logging_to(stream) as setup:
        stream.close()
        logging.getLogger("aionet.server").warning("nobody reads this")
        setup.close()
        assert logging.getLogger().handlers == []


def test_a_program_with_its_own_logging_keeps_it() -> None:
    own = logging.NullHandler()
    ours = logging.getLogger("aionet")
    old = ours.level
    with bare_root() as root:
        root.addHandler(own)
        before = root.level
        try:
            assert setup_logging("debug") is None
            assert (root.handlers, root.level) == ([own], before)
            assert ours.level == logging.DEBUG
        finally:
            ours.setLevel(old)


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="'loud': known are debug, info"):
        setup_logging("loud")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colour_only_on_a_terminal_that_wants_it(
    monkeypatch: pytest.MonkeyPatch, no_color: str, coloured: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    stream = Terminal()
    with logging_to(stream):
        logging.getLogger("aionet.server").warning("careful")
    assert stream.getvalue().startswith("\x1b[33m") is coloured


def test_the_last_lines_of_a_program_that_does_not_close_are_written() -> None:
    code = (
        "import logging; from aionet.observe.logging import setup_logging; setup_logging('info'); "
        "[logging.getLogger('aionet.server').info('line %d', number) for number in range(1000)]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1000
    assert done.stderr.endswith("INFO aionet.server: line 999\n")


class Shared(io.StringIO):
    """A terminal that another process made non-blocking: full once."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            self.full = False
            raise BlockingIOError
        return super().write(text)


def test_a_terminal_that_is_full_for_a_moment_loses_a_line_and_says_so() -> None:
    stream = Shared()
    with logging_to(stream):
        for word in ("first", "second"):
            logging.getLogger("aionet.server").warning(word)
    assert "first" not in stream.getvalue()
    assert stream.getvalue().endswith("second\n(1 log lines dropped: the output does not keep up)\n")
