"""Fetching: redirects, TLS, bounds. What one exchange does alone is tested in test_exchange.py."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from aionet.client.http import FetchTimeout, Head, Redirect, fetch
from aionet.errors import ConfigError, ConnectError, ConnectTimeout, EndpointError, FrameTooLarge, ProtocolError

from ..conftest import TLSFiles
from .peers import answer, forever, http_peer, redirect


async def test_an_answer_with_everything_about_it() -> None:
    heads: list[Head] = []
    async with http_peer(answer(b"abc", b"X-One: \x1b[2J", b"x-two: \xe4")) as peer:
        response = await fetch(
            f"{peer.url}a b?c", headers=[("X-Mine", "1"), ("Accept", "text/x")], on_head=heads.append
        )
        port = peer.port
    assert peer.requests == [
        f"GET /a%20b?c HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: aionet\r\nConnection: close\r\n"
        "X-Mine: 1\r\nAccept: text/x\r\n\r\n".encode()
    ]
    head = response.head
    assert heads == [head]
    assert (head.status, head.reason, head.http_version, response.content) == (200, "OK", "1.1", b"abc")
    assert head.headers == (("Content-Length", "3"), ("X-One", "\x1b[2J"), ("x-two", "\xe4"))
    assert (head.header("X-TWO"), head.header("none")) == ("\xe4", None)
    assert (head.socket.peer, head.tls, head.certificate) == (("127.0.0.1", port), None, None)
    timings = response.timings
    phases = (timings.lookup, timings.connect, timings.first_byte, timings.content)
    assert all(seconds >= 0 for seconds in phases)
    assert timings.tls is None
    assert sum(phases) == pytest.approx(timings.total)


async def test_content_goes_where_it_is_told_to() -> None:
    chunks: list[bytes] = []
    async with http_peer(answer(b"abc")) as peer:
        response = await fetch(peer.url, write=chunks.append)
    assert (b"".join(chunks), response.content, response.size) == (b"abc", b"", 3)


async def test_head_has_no_content_but_may_announce_it() -> None:
    async with http_peer(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n") as peer:
        response = await fetch(peer.url, method="HEAD", max_size=10)
    assert (response.size, response.head.header("content-length")) == (0, "100")
    assert peer.requests[0].startswith(b"HEAD / ")


async def test_a_post_says_that_it_is_empty() -> None:
    async with http_peer(answer(b"")) as peer:
        await fetch(peer.url, method="POST")
    assert b"\r\nContent-Length: 0\r\n" in peer.requests[0]


async def test_the_limit_is_met_before_anything_is_read() -> None:
    chunks: list[bytes] = []
    async with http_peer(answer(b"x" * 11)) as peer:
        with pytest.raises(FrameTooLarge, match="11 bytes, more than the 10 allowed"):
            await fetch(peer.url, max_size=10, write=chunks.append)
    assert chunks == []


async def test_slow_content_is_bounded_by_time_as_a_whole() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not writer.is_closing() and not reader.at_eof():
            writer.write(b"x")
            await asyncio.sleep(0.01)

    async with http_peer(drip) as peer:
        with pytest.raises(FetchTimeout, match=r"not finished within 0\.2 s"):
            await fetch(peer.url, max_time=0.2)


async def test_endless_content_is_bounded() -> None:
    async with http_peer(forever(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65_536)) as peer:
        with pytest.raises(FrameTooLarge, match="more than 1000000 bytes"):
            await fetch(peer.url, max_size=1_000_000)


# ---- redirects ---------------------------------------------------------------------------------------------------


async def test_redirects_are_followed_and_told() -> None:
    async with http_peer(redirect(b"/b?x"), redirect(b"c", b"308 Permanent Redirect"), answer(b"abc")) as peer:
        response = await fetch(peer.url)
    assert response.content == b"abc"
    assert response.head.url == f"{peer.url}c"
    assert response.head.redirects == (Redirect(peer.url, 302), Redirect(f"{peer.url}b?x", 308))


@pytest.mark.parametrize(
    ("method", "status", "then"),
    [
        ("POST", b"302 Found", b"GET"),
        ("POST", b"307 x", b"POST"),
        ("PUT", b"303 x", b"GET"),
        ("HEAD", b"303 x", b"HEAD"),
    ],
)
async def test_the_method_after_a_redirect(method: str, status: bytes, then: bytes) -> None:
    async with http_peer(redirect(b"/b", status), answer()) as peer:
        await fetch(peer.url, method=method)
    assert peer.requests[1].startswith(then + b" /b ")


async def test_credentials_do_not_follow_to_another_origin() -> None:
    secrets = [("Authorization", "Basic x"), ("Cookie", "a=b"), ("X-Mine", "1")]
    async with http_peer(answer()) as other, http_peer(redirect(b"/same"), redirect(other.url.encode())) as peer:
        await fetch(peer.url, headers=secrets)
    assert b"Authorization" in peer.requests[1]
    assert b"Cookie" in peer.requests[1]
    assert b"Authorization" not in other.requests[0]
    assert b"Cookie" not in other.requests[0]
    assert b"X-Mine: 1" in other.requests[0]
    assert f"Host: 127.0.0.1:{other.port}".encode() in other.requests[0]


@pytest.mark.parametrize(
    "location", [b"file:///etc/passwd", b"ftp://x/", b"mailto:a@b", b"http://[", b"//u:p@x/", b"http://x\x1b/"]
)
async def test_a_redirect_that_is_not_to_be_followed(location: bytes) -> None:
    async with http_peer(redirect(location)) as peer:
        with pytest.raises(ProtocolError, match=r"redirect \(302\) not followed"):
            await fetch(peer.url)
    assert len(peer.requests) == 1


async def test_a_redirect_loop() -> None:
    async with http_peer(redirect(b"/b"), redirect(b"/")) as peer:
        with pytest.raises(ProtocolError, match=f"redirect loop: {peer.url} -> {peer.url}b -> {peer.url}"):
            await fetch(peer.url)
    assert len(peer.requests) == 2


async def test_redirects_without_end() -> None:
    count = 0

    async def onwards(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        writer.write(redirect(b"/%d" % count))

    async with http_peer(onwards) as peer:
        with pytest.raises(ProtocolError, match="more than 3 redirects"):
            await fetch(peer.url, max_redirects=3)
        assert count == 4
        response = await fetch(peer.url, max_redirects=0)
    assert response.head.status == 302


async def test_a_redirect_to_nowhere_is_an_answer() -> None:
    async with http_peer(answer(b"x", status=b"302 Found")) as peer:
        assert (await fetch(peer.url)).head.status == 302


# ---- what is asked for -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "options", "error"),
    [
        ("file:///etc/passwd", {}, EndpointError),
        ("http://127.0.0.1:1/", {"method": "B AD"}, ConfigError),
        ("http://127.0.0.1:1/", {"method": "G\u00c4T"}, ConfigError),
        ("http://127.0.0.1:1/", {"method": "CONNECT"}, ConfigError),
        ("http://127.0.0.1:1/", {"headers": [("A B", "x")]}, ConfigError),
        ("http://127.0.0.1:1/", {"headers": [("A", "x\r\nB: y")]}, ConfigError),
        ("http://127.0.0.1:1/", {"headers": [("Content-Length", "x")]}, ConfigError),
        ("https://127.0.0.1:1/", {"ca": "no_such.pem"}, ConfigError),
    ],
)
async def test_what_cannot_be_asked(url: str, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        await fetch(url, **options)


async def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectError, match="cannot reach"):
        await fetch(f"http://127.0.0.1:{port}/")


async def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(ConnectError, match="cannot reach"):
        await fetch("http://no-such-name.invalid/")


async def test_a_resolver_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*args: Any, **kwargs: Any) -> Any:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr("aionet.core.connecting.resolve", hang)
    with pytest.raises(ConnectTimeout) as caught:
        await fetch("http://name.example/", timeout=0.05)
    assert caught.value.hint == "the resolver did not answer for 'name.example'"


async def test_a_tls_handshake_that_hangs(tls_files: TLSFiles) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(ConnectTimeout) as caught:
        await fetch(f"https://127.0.0.1:{listener.getsockname()[1]}/", timeout=0.2)
    assert "did not finish the TLS handshake" in (caught.value.hint or "")


# ---- TLS -------------------------------------------------------------------------------------------------------------


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


async def test_https(tls_files: TLSFiles) -> None:
    context = server_context(tls_files.server_cert, tls_files.server_key)
    async with http_peer(answer(b"abc"), context=context) as peer:
        response = await fetch(f"https://localhost:{peer.port}/", ca=str(tls_files.ca))
    tls, certificate = response.head.tls, response.head.certificate
    assert tls is not None
    assert (tls.version, tls.alpn) == ("TLSv1.3", "http/1.1")
    assert certificate is not None
    assert "localhost" in certificate.names
    assert response.timings.tls is not None


async def test_without_checking_the_certificate_is_shown_all_the_same(tls_files: TLSFiles) -> None:
    context = server_context(tls_files.other_cert, tls_files.other_key)
    async with http_peer(answer(b"abc"), context=context) as peer:
        head = (await fetch(f"https://127.0.0.1:{peer.port}/", verify=False)).head
    assert head.tls is not None
    assert head.tls.peer_certificate == {}
    assert head.certificate is not None
    assert "127.0.0.1" in head.certificate.names


Issue = Callable[[trustme.CA], trustme.LeafCert]
PAST = datetime.datetime(2020, 1, 1)


@pytest.mark.parametrize(
    ("issue", "trusted", "said", "hint"),
    [
        (lambda ca: ca.issue_cert("localhost", not_before=PAST, not_after=PAST), True, "expired", "needs a new one"),
        (lambda ca: ca.issue_cert("other.example"), True, "[Hh]ostname mismatch", "a name that stands in it"),
        (lambda ca: ca.issue_cert("localhost"), False, "self-signed|unable to get", "ca=FILE"),
    ],
)
async def test_a_certificate_that_is_not_to_be_trusted(
    issue: Issue, trusted: bool, said: str, hint: str, tmp_path: Path
) -> None:
    ca = trustme.CA()
    leaf = issue(ca)
    leaf.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    (ca if trusted else trustme.CA()).cert_pem.write_to_path(tmp_path / "ca.pem")
    context = server_context(tmp_path / "server.pem", tmp_path / "server.pem")
    async with http_peer(answer(b"abc"), context=context) as peer:
        with pytest.raises(ConnectError, match=said) as caught:
            await fetch(f"https://localhost:{peer.port}/", ca=str(tmp_path / "ca.pem"))
    assert hint in (caught.value.hint or "")
    assert "not trusted" in str(caught.value)
    assert peer.requests == []


def test_nothing_is_loaded_while_the_clock_runs() -> None:
    """The first request of a process is the one a command shows: what it loads would be counted as the network's."""
    program = """
import asyncio, socket, sys, threading
from aionet.client.http import fetch
listener = socket.create_server(("127.0.0.1", 0))
def serve():
    with listener, listener.accept()[0] as sock:
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 3\\r\\n\\r\\nabc")
threading.Thread(target=serve).start()
async def main():
    before = set(sys.modules)
    await fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/")
    return set(sys.modules) - before
print(asyncio.run(main()))
"""
    root = Path(__file__).parent.parent.parent
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("set()\n", "")
