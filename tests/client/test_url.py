from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.client.url import URL
from aionet.errors import EndpointError


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "target"),
    [
        ("http://example.com", "http", "example.com", 80, "/"),
        ("HTTPS://Example.COM:8443/a/b?c=d&e#f", "https", "example.com", 8443, "/a/b?c=d&e"),
        ("http://[::1]:80/", "http", "::1", 80, "/"),
        ("http://[fe80::1%25eth0]/", "http", "fe80::1%eth0", 80, "/"),
        (
            "http://b\u00fccher.example/\u00fc x?\u00e4=%20",
            "http",
            "xn--bcher-kva.example",
            80,
            "/%C3%BC%20x?%C3%A4=%20",
        ),
        ("https://127.0.0.1?q", "https", "127.0.0.1", 443, "/?q"),
    ],
)
def test_a_url_is_read(text: str, scheme: str, host: str, port: int, target: str) -> None:
    url = URL.parse(text)
    assert (url.scheme, url.host, url.port, url.target) == (scheme, host, port, target)
    assert URL.parse(str(url)) == url
    assert url.endpoint.scheme == ("tls" if scheme == "https" else "tcp")
    assert (url.endpoint.host, url.endpoint.port) == (host, port)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("example.com", "no scheme"),
        ("file:///etc/passwd", "scheme 'file'"),
        ("gopher://example.com/", "scheme 'gopher'"),
        ("http://", "no host"),
        ("http:///x", "no host"),
        ("http://a b/", "no host name"),
        ("http://example.com:0/", "port 0"),
        ("http://example.com:70000/", "[Pp]ort"),
        ("http://example.com:x/", "[Pp]ort"),
        ("http://[::1/", "IPv6"),
        ("http://[zz]/", "IPv6|IPv4"),
        ("http://me:secret@example.com/", "do not belong"),
        ("http://example.com/\r\nX: y", "control character"),
        ("http://\u2028.example/", "no host name"),
        ("http://" + "\u00fc" * 80 + ".example/", "no host name"),
    ],
)
def test_what_is_none(text: str, said: str) -> None:
    with pytest.raises(EndpointError, match=said):
        URL.parse(text)


@pytest.mark.parametrize(
    ("reference", "joined"),
    [
        ("/x", "https://example.com/x"),
        ("x?y", "https://example.com/a/x?y"),
        ("//other.example/x", "https://other.example/x"),
        ("http://other.example", "http://other.example/"),
        ("", "https://example.com/a/b?c"),
    ],
)
def test_a_reference_is_relative_to_the_url(reference: str, joined: str) -> None:
    assert str(URL.parse("https://example.com/a/b?c").join(reference)) == joined


def test_a_zone_stays_on_relative_redirects() -> None:
    url = URL.parse("http://[fe80::1%25eth0]:8080/").join("/x")
    assert (url.host, url.authority) == ("fe80::1%eth0", "[fe80::1]:8080")


@pytest.mark.parametrize(
    "reference", ["file:///etc/passwd", "mailto:a@example.com", "javascript:alert(1)", "http://[", "ftp://x/", "/\r\nX"]
)
def test_a_reference_that_leads_elsewhere(reference: str) -> None:
    with pytest.raises(EndpointError):
        URL.parse("http://example.com/").join(reference)


@given(st.text())
def test_any_text_is_a_url_or_a_clear_error(text: str) -> None:
    for url in (f"http://{text}", f"http://example.com/{text}"):
        try:
            parsed = URL.parse(url)
        except EndpointError:
            continue
        assert parsed.target.isascii()
        assert parsed.target.isprintable()
        assert " " not in parsed.target
        assert parsed.authority.isascii()
