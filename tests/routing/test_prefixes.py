"""Prefixes, and SSH by one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.errors import ConfigError
from aionet.routing import ConnectionFacts, Verdict, prefix, ssh
from aionet.testing import verify_matcher

NOBODY = ConnectionFacts(peer=None)


def test_a_prefix_is_undecided_only_while_it_can_still_come() -> None:
    matcher = prefix(b"GET ", b"GO")
    verify_matcher(matcher, [b"GET /", b"GO", b"GONE"], [b"", b"G", b"GET", b"get "])
    assert matcher.verdict(b"G", NOBODY) is Verdict.NEED_MORE
    assert matcher.verdict(b"GX", NOBODY) is Verdict.NO_MATCH
    assert (matcher.max_size, matcher.samples) == (4, (b"GET ", b"GO"))


@given(st.lists(st.binary(min_size=1, max_size=3), min_size=1, max_size=4), st.binary(max_size=4))
def test_it_is_what_startswith_says(prefixes: list[bytes], data: bytes) -> None:
    verdict = prefix(*prefixes).verdict(data, NOBODY)
    possible = any(word.startswith(data) for word in prefixes)
    assert (verdict is Verdict.MATCH) == data.startswith(tuple(prefixes))
    if verdict is not Verdict.MATCH:
        assert (verdict is Verdict.NEED_MORE) == possible


def test_ssh_clients() -> None:
    verify_matcher(ssh(), [b"SSH-2.0-OpenSSH_9.2\r\n", b"SSH-1.99-x"], [b"SSH-1.5-old", b"SSH", b"ssh-2.0-x"])
    assert repr(ssh()) == "prefix(b'SSH-2.0-', b'SSH-1.99-')"


@pytest.mark.parametrize("wrong", [(), (b"",), ("text",), (b"a", 1), (b"x" * 600, b"y" * 600)])
def test_what_is_no_prefix(wrong: tuple[Any, ...]) -> None:
    with pytest.raises(ConfigError, match="prefix"):
        prefix(*wrong)
