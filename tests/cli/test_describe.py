from __future__ import annotations

import dataclasses
import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.cli.describe import BAR, address_text, bars, duration, tcp_dict, tcp_state, tls_dict, tls_line, tls_lines
from aionet.core.certificate import CertificateFacts
from aionet.core.socket_facts import SocketFacts
from aionet.events import Address
from aionet.handler import TLSFacts

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
TLS = TLSFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", None, {})


def certificate(before: datetime.datetime, after: datetime.datetime) -> CertificateFacts:
    return CertificateFacts("CN=\x1b[2J", "CN=\x1b[2J", ("a\x07.example",), before, after, "01", "ff")


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("127.0.0.1", 80), "127.0.0.1:80"),
        (("::1", 80, 0, 0), "[::1]:80"),
        ("/run/\x1b", "/run/\\x1b"),
        (b"\0abc", "\\x00abc"),
        (None, "-"),
    ],
)
def test_addresses(address: Address, text: str) -> None:
    assert address_text(address) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 us"), (4.2e-7, "0.42 us"), (0.0005, "500 us"), (0.0421, "42.1 ms"), (1.5, "1.5 s"), (12345, "12345 s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_each_bar_begins_where_the_last_one_ended() -> None:
    drawn = bars([("a", 1.0), ("long", 1.0), ("c", 2.0)], block="#")
    quarter = BAR // 4
    assert [line.partition("|")[2] for line in drawn] == [
        "#" * quarter + " " * 3 * quarter + "|",
        " " * quarter + "#" * quarter + " " * 2 * quarter + "|",
        " " * 2 * quarter + "#" * 2 * quarter + "|",
    ]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=6))
def test_bars_are_seen_and_fit(seconds: list[float]) -> None:
    for line in bars([("x", value) for value in seconds], block="#"):
        bar = line.partition("|")[2][:-1]
        assert len(bar) == BAR
        assert "#" in bar


def test_certificates_are_shown_and_not_obeyed() -> None:
    for before, after, said in (
        (NOW - DAY, NOW + 2.5 * DAY, "(2 days left)"),
        (NOW - 3 * DAY, NOW - 1.5 * DAY, "(EXPIRED 2 days ago)"),
        (NOW + DAY, NOW + 2 * DAY, "(NOT YET VALID)"),
    ):
        lines = dict(tls_lines(TLS, certificate(before, after)))
        assert lines["subject"] == "CN=\\x1b[2J"
        assert lines["issuer"] == "CN=\\x1b[2J (self-signed)"
        assert lines["names"] == "a\\x07.example"
        assert lines["valid"].endswith(said)
        assert lines["checked"].startswith("NO")
    assert dict(tls_lines(TLS, None))["certificate"] == "none that can be read"


def test_tls_for_programs() -> None:
    assert tls_dict(None, None) is None
    found = tls_dict(TLS, certificate(NOW, NOW))
    assert found is not None
    assert found["certificate"]["subject"] == "CN=\x1b[2J"
    assert found["verified"] is False


def test_tcp_states() -> None:
    assert [tcp_state(number) for number in (1, 0, 99)] == ["ESTABLISHED", "state 0", "state 99"]
    facts = SocketFacts("IPv4", None, None, (), {"state": 8, "rtt": 5}, None)
    assert tcp_dict(facts) == {"state": "CLOSE_WAIT", "rtt": 5}
    assert tcp_dict(SocketFacts("Unix", None, None, (), {}, None)) is None


def year(number: int) -> datetime.datetime:
    return datetime.datetime(number, 1, 1, tzinfo=datetime.UTC)


def test_a_certificate_in_one_line() -> None:
    tls = TLSFacts(version="TLSv1.3", cipher="AES", alpn=None, peer_certificate={})
    begin, end = year(2000), year(2999)
    good = CertificateFacts("CN=a.example.com", "CN=Example CA", ("a.example.com", "127.0.0.1"), begin, end, "0a", "00")
    assert tls_line(tls, good) == (
        "TLSv1.3, CN=a.example.com by CN=Example CA, until 2999-01-01, names: a.example.com 127.0.0.1"
    )
    assert "self-signed by CN=Example CA" in tls_line(tls, dataclasses.replace(good, subject="CN=Example CA"))
    assert "EXPIRED 2001-01-01" in tls_line(tls, dataclasses.replace(good, not_after=year(2001)))
    assert "NOT VALID before 2998-01-01" in tls_line(tls, dataclasses.replace(good, not_before=year(2998)))
    assert tls_line(tls, None) == "TLSv1.3, no certificate that can be read"
    assert "\x1b" not in tls_line(tls, dataclasses.replace(good, subject="CN=\x1b[31m"))
