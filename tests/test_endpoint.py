"""Endpoint strings: what they mean, their way back to text, and what a typo is told."""

from __future__ import annotations

import ipaddress
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.endpoint import OPTIONS, SCHEMES, Endpoint, OptionValue
from aionet.errors import EndpointError


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "path", "options"),
    [
        ("tcp://127.0.0.1:7000", "tcp", "127.0.0.1", 7000, "", {}),
        ("tcp://[::1]:7000?nodelay=0&rcvbuf=262144", "tcp", "::1", 7000, "", {"nodelay": False, "rcvbuf": 262144}),
        ("tcp://[fe80::1%eth0]:7", "tcp", "fe80::1%eth0", 7, "", {}),
        ("tcp://:7000", "tcp", "", 7000, "", {}),
        ("tcp://*:0?", "tcp", "", 0, "", {}),
        ("tls://a.example.com:65535?cert=a%20b.pem", "tls", "a.example.com", 65535, "", {"cert": "a b.pem"}),
        ("unix:///run/app.sock?mode=0600", "unix", "", 0, "/run/app.sock", {"mode": "0600"}),
        ("unix://app%3F.sock", "unix", "", 0, "app?.sock", {}),
        ("udp://239.1.2.3:5000?interface=127.0.0.1&ttl=0", "udp", "239.1.2.3", 5000, "", None),
        ("fd://3", "fd", "", 3, "", {}),
        ("ws://127.0.0.1:8081/chat", "ws", "127.0.0.1", 8081, "/chat", {}),
        ("wss://[::1]:8443?cert=a.pem", "wss", "::1", 8443, "/", {"cert": "a.pem"}),
        ("ws://example.com/a/b%20c?nodelay=0", "ws", "example.com", 80, "/a/b%20c", {"nodelay": False}),
        ("wss://[::1]/", "wss", "::1", 443, "/", {}),
        ("ws://*:0", "ws", "", 0, "/", {}),
        ("tcp://127.0.0.1:1?proxy_header=v2", "tcp", "127.0.0.1", 1, "", {"proxy_header": "v2"}),
        ("tcp://h:1?nodelay=YES&keepalive=off", "tcp", "h", 1, "", {"nodelay": True, "keepalive": False}),
    ],
)
def test_parse(text: str, scheme: str, host: str, port: int, path: str, options: dict[str, OptionValue] | None) -> None:
    endpoint = Endpoint.parse(text)
    assert (endpoint.scheme, endpoint.host, endpoint.port, endpoint.path) == (scheme, host, port, path)
    assert options is None or endpoint.options == options
    assert Endpoint.parse(str(endpoint)) == endpoint
    assert hash(Endpoint.parse(str(endpoint))) == hash(endpoint)
    assert Endpoint.parse(endpoint) is endpoint


TYPOS = [
    (7000, "an endpoint is a string such as", None),
    ("", "no scheme", "try tcp://"),
    ("127.0.0.1:7000", "no scheme", "try tcp://127.0.0.1:7000"),
    ("tpc://127.0.0.1:7000", "unknown scheme 'tpc'", "did you mean 'tcp'?"),
    ("http://127.0.0.1:80", "unknown scheme 'http'", "known: tcp, tls, auto, ws, wss, unix, udp, fd"),
    ("tcp://127.0.0.1", "no port", "such as 127.0.0.1:7000"),
    ("tcp://127.0.0.1:", "port '' is not a number", None),
    ("tcp://127.0.0.1:http", "port 'http' is not a number", None),
    ("tcp://127.0.0.1:-1", "port '-1' is not a number", None),
    ("tcp://127.0.0.1:+1", "port '+1' is not a number", None),
    ("tcp://127.0.0.1:1_0", "port '1_0' is not a number", None),
    ("tcp://127.0.0.1:\u0661", "is not a number", None),
    ("tcp://127.0.0.1:65536", "port 65536 is above 65535", None),
    ("tcp://127.0.0.1:" + "9" * 5000, "is above 65535", None),
    ("tcp://::1:7000", "an IPv6 address stands in brackets", "such as tcp://[::1]:7000"),
    ("tcp://[::1]", "no port behind the bracketed address", "such as tcp://[::1]:7000"),
    ("tcp://[::1:7000", "no port behind the bracketed address", None),
    ("tcp://[localhost]:7000", "'localhost' is not an IPv6 address", None),
    ("tcp://127.0.0.1:7000/path", "only host:port may stand here", None),
    ("tcp://user@127.0.0.1:7000", "only host:port may stand here", None),
    ("tcp://127.0. 0.1:7000", "a host has no spaces", None),
    ("tcp://127.0.0.1:7000\n", "contains a control character", None),
    ("tcp://127.0.0.1:7000?nodelya=1", "unknown option 'nodelya'", "did you mean 'nodelay'?"),
    ("udp://127.0.0.1:7000?nodelay=1", "udp has no option 'nodelay'", "known: "),
    ("tcp://127.0.0.1:7000?cert=a.pem", "tcp has no option 'cert'", None),
    ("tcp://127.0.0.1:7000?nodelay=1&nodelay=0", "option 'nodelay' is given twice", None),
    ("tcp://127.0.0.1:7000?proxy=10.0.0.1/8", "proxy: 10.0.0.1/8 has host bits set", "such as proxy=10.0.0.0/8"),
    ("unix:///run/a.sock?proxy=::1", "unix has no option 'proxy'", None),
    ("tcp://127.0.0.1:7000?nodelay", "nodelay is 0 or 1, not ''", None),
    ("tcp://127.0.0.1:7000?nodelay=maybe", "nodelay is 0 or 1, not 'maybe'", None),
    ("tcp://127.0.0.1:7000?rcvbuf=64k", "rcvbuf '64k' is not a number", None),
    ("tcp://127.0.0.1:7000?rcvbuf=0", "rcvbuf must be at least 1, not 0", None),
    ("tcp://127.0.0.1:7000?rcvbuf=2147483648", "rcvbuf 2147483648 is above 2147483647", None),
    ("tls://127.0.0.1:7000?cert=", "cert has no value", None),
    ("unix://", "no path", "unix:///run/app.sock"),
    ("unix:///run/a%00b", "a path has no NUL byte", None),
    ("unix:///run/a.sock?mode=rw", "mode 'rw' is not octal", "such as mode=0600"),
    ("unix:///run/a.sock?mode=0888", "mode '0888' is not octal", None),
    ("unix:///run/a.sock?mode=100600", "mode '100600' is not octal", None),
    ("ws://127.0.0.1:x/", "port 'x' is not a number", None),
    ("ws://::1/", "an IPv6 address stands in brackets", None),
    ("ws://user@127.0.0.1:1/", "only host:port may stand here", None),
    ("ws://127.0.0.1:1/a b", "'/a b' is no path of a URL", "percent-encoded: /a%20b"),
    ("ws://127.0.0.1:1/é", "is no path of a URL", "percent-encoded: /%C3%A9"),
    ("ws://127.0.0.1:1/#top", "is no path of a URL", None),
    ("ws://127.0.0.1:1/?cert=a.pem", "ws has no option 'cert'", None),
    ("tcp://127.0.0.1:1?proxy_header=v3", "proxy_header is v1 or v2, not 'v3'", None),
    ("fd://three", "descriptor 'three' is not a number", None),
    ("fd://-1", "descriptor '-1' is not a number", None),
    ("fd://2000000", "descriptor 2000000 is above 1048576", None),
]


@pytest.mark.parametrize(("text", "says", "hint"), TYPOS, ids=[str(number) for number in range(len(TYPOS))])
def test_typos(text: Any, says: str, hint: str | None) -> None:
    with pytest.raises(EndpointError) as caught:
        Endpoint.parse(text)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 12_000
    if hint is not None:
        assert caught.value.hint is not None
        assert hint in caught.value.hint


@given(st.text())
def test_any_text_parses_or_is_refused(text: str) -> None:
    for candidate in (text, *(f"{scheme}://{text}" for scheme in SCHEMES)):
        try:
            endpoint = Endpoint.parse(candidate)
        except EndpointError:
            continue
        assert Endpoint.parse(str(endpoint)) == endpoint


PATHS = st.binary(min_size=1).filter(lambda name: b"\0" not in name).map(os.fsdecode)


def _values(scheme: str) -> st.SearchStrategy[dict[str, OptionValue]]:
    kinds: dict[type, st.SearchStrategy[Any]] = {bool: st.booleans(), int: st.integers(1, (1 << 31) - 1), str: PATHS}
    here = {key: kinds[option.kind] for key, option in OPTIONS.items() if scheme in option.schemes and key != "mode"}
    if "proxy_header" in here:
        here["proxy_header"] = st.sampled_from(["v1", "v2"])
    if "proxy" in here:
        here["proxy"] = (st.ip_addresses(v=4) | st.ip_addresses(v=6)).map(str)
    for key in here:
        if OPTIONS[key].repeats:
            here[key] |= st.lists(here[key], min_size=2, max_size=3).map(tuple)
    return st.fixed_dictionaries({}, optional=here)


@given(st.data())
def test_an_endpoint_is_its_own_text(data: st.DataObject) -> None:
    scheme = data.draw(st.sampled_from(SCHEMES))
    options = data.draw(_values(scheme))
    match scheme:
        case "unix":
            bare = Endpoint(scheme, path=data.draw(PATHS))
        case "fd":
            bare = Endpoint(scheme, port=data.draw(st.integers(0, 1 << 20)))
        case _:
            host = data.draw(st.sampled_from(["", "localhost", "a.example.com"]) | st.ip_addresses().map(str))
            path = data.draw(st.sampled_from(["/", "/chat", "/a%20b/c"])) if scheme in ("ws", "wss") else ""
            bare = Endpoint(scheme, host, data.draw(st.integers(0, 65535)), path)
    endpoint = bare.with_options(**options)
    assert endpoint.options == options
    assert Endpoint.parse(str(endpoint)) == endpoint
    assert Endpoint.parse(endpoint.location) == bare


def test_with_options_checks_as_parsing_does() -> None:
    endpoint = Endpoint.parse("tcp://127.0.0.1:7000?nodelay=0")
    assert endpoint.with_options(rcvbuf=9).options == {"nodelay": False, "rcvbuf": 9}
    assert endpoint.options == {"nodelay": False}
    for option, says in [
        ({"nodelya": True}, "unknown option 'nodelya'"),
        ({"nodelay": 1}, "option 'nodelay' takes 0 or 1, not 1"),
        ({"rcvbuf": True}, "option 'rcvbuf' takes a whole number, not True"),
        ({"rcvbuf": 0}, "rcvbuf must be at least 1"),
        ({"rcvbuf": 1 << 31}, "rcvbuf 2147483648 is above 2147483647"),
        ({"cert": "a.pem"}, "tcp has no option 'cert'"),
        ({"proxy": ("::1", 1)}, "option 'proxy' takes text, not ('::1', 1)"),
        ({"proxy": ()}, "option 'proxy' takes text, not ()"),
        ({"nodelay": ("1", "0")}, "option 'nodelay' takes 0 or 1"),
    ]:
        with pytest.raises(EndpointError) as caught:
            endpoint.with_options(**option)  # type: ignore[arg-type]
        assert says in str(caught.value)
    with pytest.raises(EndpointError, match="cert has no value"):
        Endpoint.parse("tls://127.0.0.1:7000").with_options(cert="")


def test_what_it_says_of_itself() -> None:
    group = Endpoint.parse("udp://239.1.2.3:5000")
    assert group.is_datagram
    assert group.is_multicast
    assert Endpoint.parse("udp://[ff02::1%lo]:5").is_multicast
    plain = Endpoint.parse("tcp://localhost:1")
    assert not plain.is_datagram
    assert not plain.is_multicast
    assert plain.address is None
    assert Endpoint.parse("tcp://[fe80::1%lo]:1").address == ipaddress.ip_address("fe80::1")
    assert Endpoint.parse("tcp://*:1").location == "tcp://*:1"
    assert Endpoint.parse("tcp://[::1]:1?nodelay=0").location == "tcp://[::1]:1"
    assert str(Endpoint.parse("tcp://[::1]:1?nodelay=no")) == "tcp://[::1]:1?nodelay=0"


def test_what_it_says_of_its_transport() -> None:
    told = {scheme: Endpoint(scheme, "example.com", 1) for scheme in SCHEMES}
    assert {scheme for scheme, endpoint in told.items() if endpoint.is_tls} == {"tls", "wss"}
    assert {scheme for scheme, endpoint in told.items() if endpoint.is_websocket} == {"ws", "wss"}
    assert Endpoint.parse("ws://[::1]:1?nodelay=0").location == "ws://[::1]:1/"


def test_every_option_says_what_it_means() -> None:
    for option in OPTIONS.values():
        assert option.meaning
        assert option.schemes <= set(SCHEMES)


def test_options_that_repeat() -> None:
    endpoint = Endpoint.parse("auto://*:0?cert=a.pem&key=a.key&cert=b.pem&key=b.key&proxy=::1")
    assert endpoint.texts("cert") == ("a.pem", "b.pem")
    assert endpoint.texts("proxy") == ("::1",)
    assert endpoint.texts("client_ca") == ()
    assert str(endpoint) == "auto://*:0?cert=a.pem&cert=b.pem&key=a.key&key=b.key&proxy=%3A%3A1"
    assert endpoint.with_options(cert=("c.pem",)).options["cert"] == "c.pem"
    assert endpoint.number("backlog", 7) == 7
