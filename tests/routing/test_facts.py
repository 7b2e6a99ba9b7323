"""Matchers that look at no byte: peers, users, silence, anything."""

from __future__ import annotations

import os
from typing import Any

import pytest

from aionet.errors import ConfigError
from aionet.events import Address
from aionet.routing import ConnectionFacts, Matcher, Verdict, anything, peer, silence, unix_user
from aionet.routing import facts as module
from aionet.testing import verify_decision

YES, NO, MORE = Verdict.MATCH, Verdict.NO_MATCH, Verdict.NEED_MORE


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (("10.1.2.3", 5), YES),
        (("11.1.2.3", 5), NO),
        (("::ffff:10.1.2.3", 5, 0, 0), YES),
        (("fe80::1%eth0", 5, 0, 2), YES),
        (("fe81::1", 5, 0, 0), NO),
        ("/run/app.sock", NO),
        ("", NO),
        (None, NO),
        ((), NO),
        (("no address", 1), NO),
    ],
)
def test_peers_by_network(address: Address, expected: Verdict) -> None:
    matcher = peer("10.0.0.0/8", "fe80::/64")
    assert matcher.verdict(b"", ConnectionFacts(peer=address)) is expected
    assert matcher.max_size == 0


def test_users_by_number_and_name() -> None:
    matcher = unix_user(os.getuid(), "root")
    assert matcher.verdict(b"", ConnectionFacts(peer="", unix_user=0)) is YES
    assert matcher.verdict(b"", ConnectionFacts(peer="", unix_user=os.getuid())) is YES
    assert matcher.verdict(b"", ConnectionFacts(peer="", unix_user=4_000_000)) is NO
    assert matcher.verdict(b"", ConnectionFacts(peer=None)) is NO


def test_names_of_users_need_a_system_that_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "pwd", None)
    assert repr(unix_user(7)) == "unix_user(7)"
    with pytest.raises(ConfigError, match="'root' is no user"):
        unix_user("root")


def test_silence_is_the_absence_of_bytes_once_it_has_lasted() -> None:
    matcher = silence(0.5)
    assert matcher.silence == 0.5
    assert matcher.verdict(b"", ConnectionFacts(peer=None)) is MORE
    assert matcher.verdict(b"", ConnectionFacts(peer=None, silent=True)) is YES
    assert matcher.verdict(b"x", ConnectionFacts(peer=None)) is NO
    assert matcher.verdict(b"x", ConnectionFacts(peer=None, silent=True)) is NO


def test_anything_needs_nothing() -> None:
    assert anything().verdict(b"", ConnectionFacts(peer=None)) is YES
    assert verify_decision(anything(), b"abc") is YES
    assert anything().max_size == 0


@pytest.mark.parametrize(
    ("matcher", "text"),
    [
        (peer("10.0.0.0/8", "::1"), "peer('10.0.0.0/8', '::1/128')"),
        (unix_user(0, 5), "unix_user(0, 5)"),
        (silence(1.5), "silence(1.5)"),
        (anything(), "anything()"),
    ],
)
def test_how_they_read(matcher: Matcher, text: str) -> None:
    assert repr(matcher) == text


@pytest.mark.parametrize(
    ("make", "arguments", "says"),
    [
        (peer, (), "at least one network"),
        (peer, ("10.0.0.1/8",), "host bits set"),
        (peer, ("example.com",), "does not appear to be"),
        (unix_user, (), "at least one user"),
        (unix_user, ("no such user",), "has no user 'no such user'"),
        (unix_user, (-1,), "-1 is no user"),
        (unix_user, (True,), "True is no user"),
        (silence, (0,), "positive number"),
        (silence, (float("inf"),), "positive number"),
        (silence, (float("nan"),), "positive number"),
    ],
)
def test_what_is_refused(make: Any, arguments: tuple[Any, ...], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make(*arguments)
