"""The command line as a plan."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.cli.bench import bench
from aionet.cli.bench_plan import unescape
from aionet.errors import AionetError, ConfigError, EndpointError
from aionet.load import Chat, Download, Exchange, Plan


class Planned(Exception):
    def __init__(self, plan: Plan, options: Any) -> None:
        self.plan = plan


@pytest.fixture(autouse=True)
def _no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(plan: Plan, options: Any) -> None:
        raise Planned(plan, options)

    monkeypatch.setattr("aionet.cli.bench._run", run)
    monkeypatch.setattr("aionet.cli.bench_plan.raise_descriptor_limit", lambda: None)


def plan_of(*words: str) -> Plan:
    with pytest.raises(Planned) as caught:
        command_of(*words)
    return caught.value.plan


def command_of(*words: str) -> None:
    with bench.make_context("bench", list(words)) as ctx:
        bench.invoke(ctx)


TCP = "tcp://127.0.0.1:7000"
UDP = "udp://127.0.0.1:7000"


def test_defaults() -> None:
    plan = plan_of(TCP)
    assert (plan.connections, plan.duration, plan.warmup, plan.rate, plan.timeout) == (50, 10.0, 1.0, None, 5.0)
    assert isinstance(plan.work, Exchange)
    assert (plan.work.pipeline, plan.work.script.request_size, plan.work.script.verify) == (1, 64, True)


def test_a_number_of_messages_has_no_warm_up() -> None:
    plan = plan_of(TCP, "--messages", "7")
    assert (plan.messages, plan.duration, plan.warmup) == (7, None, 0.0)


def test_datagrams_are_numbered_where_they_can_be() -> None:
    for words, numbered in (
        ([UDP], True),
        ([UDP, "--size", "8"], True),
        ([UDP, "--size", "7"], False),
        ([UDP, "--payload", "hello, world"], False),
        ([UDP, "--expect", "ACK"], False),
        ([UDP, "--no-verify"], False),
    ):
        work = plan_of(*words).work
        assert isinstance(work, Exchange)
        assert work.numbered is numbered
    assert plan_of(UDP).timeout == 1.0
    assert plan_of(UDP, "--timeout", "3").timeout == 3.0


def test_modes() -> None:
    plan = plan_of("chat", "--speakers", "3")
    assert isinstance(plan.work, Chat)
    assert (str(plan.endpoint), plan.rate, plan.work.speakers) == ("tcp://127.0.0.1:9999", 12.0, 3)
    assert len(plan.work.run) == 6
    plan = plan_of("files", "a file", "--sha256", "AB", "--pipeline", "2")
    assert plan.work == Download("a file", "ab", True, 2)
    assert str(plan.endpoint) == "tcp://127.0.0.1:5000"
    assert str(plan_of("files", TCP, "x").endpoint) == TCP


def test_what_is_sent(tmp_path: Path) -> None:
    (tmp_path / "payload").write_bytes(b"\0\1\2")
    work = plan_of(TCP, "--payload-file", str(tmp_path / "payload"), "--expect", r"\x41").work
    assert isinstance(work, Exchange)
    assert (work.script.messages, work.script.replies) == ((b"\0\1\2",), (b"A",))
    work = plan_of(TCP, "--codec", "json", "--payload", '{"a": 1}').work
    assert isinstance(work, Exchange)
    assert work.script.messages == ({"a": 1},)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([TCP, "--rate", "5", "--pipeline", "2"], "the clock says"),
        ([TCP, "--messages", "5", "--duration", "2"], "after a number of messages, or after a time"),
        ([TCP, "--messages", "5", "--warmup", "2"], "all count"),
        ([TCP, "--messages", "5", "--find-max", "p99<1s"], "measures for a time"),
        ([TCP, "--payload", "x", "--size", "5"], "the size is that of --payload"),
        ([TCP, "--expect", "x", "--no-verify"], "compares nothing"),
        ([TCP, "--speakers", "3"], "--speakers is for chat"),
        ([TCP, "--sha256", "00"], "--sha256 is for files"),
        (["chat", "--codec", "line"], "--codec is for messages"),
        (["chat", "--messages", "5"], "--messages is for files and messages"),
        (["files", TCP], "which file"),
        (["files"], "which file"),
        ([TCP, TCP], "one endpoint at a time"),
        ([UDP, "--codec", "line"], "a message already"),
        ([TCP, "--codec", "lines"], "did you mean 'line'"),
    ],
)
def test_what_does_not_go_together(words: list[str], said: str) -> None:
    with pytest.raises(click.UsageError, match=said):
        command_of(*words)


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (["localhost"], EndpointError, "no scheme"),
        ([TCP, "--codec", "length:1", "--size", "300"], ConfigError, "no message for --codec length:1"),
        ([TCP, "--codec", "json", "--payload", "{"], ConfigError, "is no message of this codec"),
        ([TCP, "--payload", ""], ConfigError, "at least a byte"),
        (["chat", "--speakers", "3", "-c", "1"], ConfigError, "another one hears"),
        ([UDP, "--size", "70000"], ConfigError, "at most 65507"),
        (["files", UDP, "x"], ConfigError, "a message already"),
        ([TCP, "--rate", "nan"], ConfigError, "positive and finite"),
    ],
)
def test_what_cannot_be(words: list[str], kind: type[AionetError], said: str) -> None:
    with pytest.raises(kind, match=said):
        command_of(*words)


def test_more_connections_than_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1064, 1064))
    assert plan_of(TCP, "-c", "1000").connections == 1000
    with pytest.raises(ConfigError, match="1001 connections in one process") as caught:
        command_of(TCP, "-c", "1001")
    assert caught.value.hint == "--processes 2, or a higher ulimit -n"
    assert plan_of(TCP, "-c", "1001", "--processes", "2").connections == 1001


@given(st.binary())
def test_any_bytes_can_be_typed(data: bytes) -> None:
    assert unescape("".join(f"\\x{byte:02x}" for byte in data)) == data


def test_escapes() -> None:
    assert unescape(r"PING\r\n\t\0\\ü") == b"PING\r\n\t\0\\\xc3\xbc"
    for wrong in ("\\", "\\q", "\\x1", "\\xzz"):
        with pytest.raises(ValueError, match="is no escape"):
            unescape(wrong)
