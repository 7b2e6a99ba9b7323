"""All matchers, alone and combined: they never raise, decide within their bound, and the same for every split.

The first bytes of an input are how many sizes to ask at, those sizes, and the facts; the rest is what a client sends.
"""

from __future__ import annotations

from typing import Final

from aionet.routing import (
    NEED_MORE,
    ConnectionFacts,
    Matcher,
    Router,
    alpn,
    anything,
    http,
    peer,
    prefix,
    regex,
    silence,
    sni,
    ssh,
    tls,
    unix_user,
    websocket,
)
from aionet.services import Chat, Echo, Files
from aionet.testing import verify_decision
from tests.routing.hellos import in_records, real_hello

MATCHERS: Final[list[Matcher]] = [
    prefix(b"GET ", b"\x16\3"),
    regex(rb"(?si)(?:[a-z]+ )+[^/].\n", max_size=200),
    http(),
    http(("GET", "PROPFIND"), host="*.example.com", path="/a/*"),
    websocket("/chat"),
    tls(),
    sni("*.example.com"),
    alpn("h2"),
    ssh(),
    peer("127.0.0.0/8"),
    unix_user(0),
    silence(),
    anything(),
    ~http() & (tls() | ~prefix(b"GET")),
    *filter(None, [Chat.match, Files.match]),
]
FACTS: Final = [
    ConnectionFacts(peer=("127.0.0.1", 5)),
    ConnectionFacts(peer="", unix_user=0),
    ConnectionFacts(peer=("::1", 5, 0, 0), tls=True, server_name="a.example.com", alpn="h2"),
]


def _port() -> Router:
    router = Router()
    for matcher in (websocket(), http(path="/a*"), http(), sni("*.example.com"), tls(), Files.match, Chat.match):
        router.add("tcp://127.0.0.1:1", Echo(), match=matcher)
    router.add("tcp://127.0.0.1:1", Echo())
    return router


(PORT,) = _port().ports
HELLO: Final = real_hello("a.example.com", ["h2"])
SEEDS: Final = tuple(
    bytes((3, 1, 20, 60, number)) + data
    for number, data in enumerate(
        [
            *(sample for matcher in MATCHERS for sample in matcher.samples),
            HELLO,
            in_records(HELLO, 9),
            b"GET http://a.example.com:80/a/b?c HTTP/1.1\r\nHost: a.example.com\r\nContent-Length: 0\r\n\r\n",
            b"get x\n",
            b"",
        ]
    )
    if number < 256
)


def check(data: bytes) -> None:
    count = data[0] % 8 if data else 0
    sent = data[count + 2 :]
    sizes = sorted({min(byte * (1 + len(sent) // 256), len(sent)) for byte in (0, *data[1 : count + 1])})
    facts = FACTS[sum(data[count + 1 : count + 2]) % len(FACTS)]
    for matcher in MATCHERS:
        verify_decision(matcher, sent, facts, sizes)
    decisions = [PORT.decide(sent[:size], facts) for size in (*sizes, len(sent))]
    decided = [found for found in decisions if found is not NEED_MORE]
    assert len(set(decided)) < 2
    assert decisions[-1] is not NEED_MORE or len(sent) < PORT.peek
    assert PORT.decide(sent, facts, final=True) is not NEED_MORE
