"""Where the usual first bytes end, as ``check`` shows it."""

from __future__ import annotations

import pytest

from aionet import Router
from aionet.cli.probes import Reached, probe
from aionet.routing import Matcher, Port, alpn, http, peer, prefix, regex, silence, sni, ssh, tls, websocket
from aionet.services import Echo


def port(endpoint: str, **matchers: Matcher | None) -> Port:
    router = Router()
    for name, matcher in matchers.items():
        router.add(endpoint, Echo(), match=matcher, name=name)
    (port,) = router.ports
    return port


def reached(port: Port) -> dict[str, str]:
    return {each.probe.kind: _said(each) for each in probe(port)}


def _said(each: Reached) -> str:
    name = "refused" if each.route is None else each.route.name
    return f"{name} by {each.waits}" if each.waits else name


def test_each_kind_is_shown_with_whom_it_reaches() -> None:
    shared = port(
        "tcp://127.0.0.1:1", ws=websocket(), web=http(), secure=sni("example.com"), any=tls(), shell=ssh(),
        mail=silence(2), mine=prefix(b"MINE"), rest=None,
    )  # fmt: skip
    assert reached(shared) == {
        "silence": "mail by silence",
        "a line of text": "rest",
        "HTTP": "web",
        "HTTP, two hosts": "rest",
        "WebSocket": "ws",
        "SSH": "shell",
        "64 bytes unknown": "rest",
        "as ws: 'GET / HTTP/1.1\\r\\nH...'": "ws",
        "as web: 'GET / HTTP/1.1\\r\\nH...'": "web",
        "as shell: 'SSH-2.0-'": "shell",
        "as mine: 'MINE'": "mine",
        "PROXY header": "rest",
        "TLS": "any",
        "TLS for example.com": "secure",
        "TLS, as secure": "secure",
        "TLS, as any": "any",
    }


def test_without_a_default_what_is_unknown_is_refused_and_what_is_open_waits() -> None:
    shared = port("tcp://127.0.0.1:1", long=regex(rb"[a-z\r\n]{20}"))
    found = reached(shared)
    assert (found["HTTP"], found["a line of text"], found["silence"]) == (
        "refused", "refused by deadline", "refused by deadline",
    )  # fmt: skip


def test_facts_decide_at_once() -> None:
    assert set(reached(port("tcp://127.0.0.1:1", near=peer("10.0.0.0/8"), rest=None)).values()) == {"rest"}


def test_inside_tls_names_and_protocols_decide() -> None:
    found = reached(port("tls://127.0.0.1:1?cert=a", a=sni("a.test"), h2=alpn("h2"), web=http(), rest=None))
    assert found["TLS, as a, then a line"] == "a"
    assert found["TLS, as h2, then a line"] == "h2"
    assert found["TLS for example.com, then a line"] == "rest"
    assert found["TLS, then HTTP"] == "web"
    assert "a line of text" not in found


@pytest.mark.parametrize(("certificate", "inside"), [("", False), ("?cert=a.pem", True)])
def test_an_auto_endpoint_shows_plain_and_tls(certificate: str, inside: bool) -> None:
    found = reached(port(f"auto://127.0.0.1:1{certificate}", web=http(), rest=None))
    assert (found["HTTP"], found["a line of text"]) == ("web", "rest")
    assert ("TLS, then HTTP" in found) is inside
    assert ("TLS" in found) is not inside


def test_a_header_that_is_believed_is_not_text() -> None:
    router = Router()
    router.add("tcp://127.0.0.1:1", Echo(), proxy_protocol="10.0.0.0/8")
    (trusting,) = router.ports
    assert "PROXY header" not in reached(trusting)
