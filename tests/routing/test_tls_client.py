"""TLS clients: by their hello where TLS is not ours, by what was agreed where it is."""

from __future__ import annotations

from typing import Any

import pytest

from aionet.errors import ConfigError
from aionet.routing import ConnectionFacts, Matcher, Verdict, alpn, sni, tls
from aionet.testing import verify_decision, verify_matcher

from .hellos import in_records, real_hello

A, B, NAMELESS = real_hello("a.example.com", ["h2"]), real_hello("b.example.com"), real_hello()
YES, NO, MORE = Verdict.MATCH, Verdict.NO_MATCH, Verdict.NEED_MORE
PLAIN = [b"GET / HTTP/1.1\r\n", b"hello\n", b"\x80\x2e\1\3\1", b"", A[:5]]


def test_six_bytes_tell_a_hello() -> None:
    verify_matcher(tls(), [A, B, NAMELESS, A[:6], in_records(A, 1)], PLAIN)
    assert tls().max_size == 6


def test_names() -> None:
    verify_matcher(sni("a.example.com", "x.test"), [A, in_records(A, 7)], [*PLAIN, B, NAMELESS, A[:-1]])
    verify_matcher(sni("*.example.com"), [A, B], [NAMELESS, real_hello("example.com"), real_hello("a.b.example.com")])


def test_protocols() -> None:
    verify_matcher(alpn("h2"), [A], [B, *PLAIN, A[:-1]])
    verify_matcher(alpn("http/1.1", "h2"), [A], [B])


def test_half_a_hello_is_undecided() -> None:
    for size in range(len(A)):
        assert sni("a.example.com").verdict(A[:size], ConnectionFacts(peer=None)) is MORE


def agreed(name: str | None = None, protocol: str | None = None) -> ConnectionFacts:
    return ConnectionFacts(peer=None, tls=True, server_name=name, alpn=protocol)


@pytest.mark.parametrize(
    ("matcher", "facts", "expected"),
    [
        (tls(), agreed(), YES),
        (sni("a.example.com"), agreed("A.Example.com"), YES),
        (sni("a.example.com"), agreed("b.example.com"), NO),
        (sni("a.example.com"), agreed(), NO),
        (alpn("h2"), agreed(protocol="h2"), YES),
        (alpn("h2"), agreed(protocol="http/1.1"), NO),
        (alpn("h2"), agreed(), NO),
    ],
)
def test_inside_our_own_tls_the_facts_decide_at_once(
    matcher: Matcher, facts: ConnectionFacts, expected: Verdict
) -> None:
    assert matcher.verdict(b"", facts) is expected
    assert verify_decision(matcher, B, facts) is expected


@pytest.mark.parametrize(
    ("make", "arguments", "says"),
    [
        (sni, (), "at least one name"),
        (sni, ("*",), "is no host name"),
        (sni, ("a.*.com",), "is no host name"),
        (sni, (b"a",), "is text"),
        (alpn, (), "at least one protocol"),
        (alpn, ("",), "is no protocol name"),
        (alpn, ("x" * 256,), "is no protocol name"),
    ],
)
def test_what_is_refused(make: Any, arguments: tuple[Any, ...], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make(*arguments)


def test_how_they_read() -> None:
    assert repr(sni("A.example.com") | alpn("h2") | tls()) == "sni('a.example.com') | alpn('h2') | tls()"
