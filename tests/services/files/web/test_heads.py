from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.services.files.web.codec import Request
from aionet.services.files.web.heads import content_type, disposition, file_fields, format_head


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.HTML", "text/html; charset=utf-8"),
        ("dir.d/a.json", "application/json; charset=utf-8"),
        ("a.svg", "image/svg+xml"),
        ("a.webp", "image/webp"),
        ("a.mp4", "video/mp4"),
        ("a.tar.gz", "application/gzip"),  # what it is, not what is in it
        ("a.pdf", "application/pdf"),
        ("a.wasm", "application/wasm"),
        ("a", "application/octet-stream"),
        ("a.", "application/octet-stream"),
        ("a.unheardof", "application/octet-stream"),
        ("a.txt\u0131", "application/octet-stream"),
    ],
)
def test_types(name: str, kind: str) -> None:
    assert content_type(name) == kind


@pytest.mark.parametrize("name", ["a.html", "a.svg", "a.xhtml", "a.txt", "a.js", "a.swf", "a"])
def test_every_file_is_in_a_sandbox_and_never_sniffed(name: str) -> None:
    fields = file_fields(name)
    assert "X-Content-Type-Options: nosniff\r\n" in fields
    assert "Content-Security-Policy: sandbox; default-src 'none';" in fields
    assert "script" not in fields.replace("text/javascript", "")


def test_a_pdf_may_use_the_viewer_of_the_browser_and_nothing_else() -> None:
    policy = file_fields("a.pdf").partition("Content-Security-Policy: ")[2].partition("\r\n")[0]
    assert policy.startswith("default-src 'none'; object-src 'self';")


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("a.txt", 'attachment; filename="a.txt"'),
        ("dir/my file.txt", 'attachment; filename="my file.txt"'),
        ("é.txt", "attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%A9.txt"),
        ('a"b\\c', "attachment; filename=\"a_b_c\"; filename*=UTF-8''a%22b%5Cc"),
        ("100%.txt", "attachment; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt"),
    ],
)
def test_names_of_what_is_saved(name: str, field: str) -> None:
    assert disposition(name) == f"Content-Disposition: {field}\r\n"


@given(st.text(min_size=1))
def test_no_name_breaks_out_of_its_field(name: str) -> None:
    name = name.encode("utf-8", "ignore").decode()
    field = disposition(name)
    assert field.isascii()
    assert field.count("\r\n") == 1
    assert not set(field[:-2]) & set("\r\n\0")


@pytest.mark.parametrize(
    ("request_", "close", "connection"),
    [
        (Request("GET", "/", {}), False, ""),
        (Request("GET", "/", {}), True, "Connection: close\r\n"),
        (Request("GET", "/", {}, keep_alive=False), False, "Connection: close\r\n"),
        (Request("GET", "/", {}, minor=0), False, "Connection: keep-alive\r\n"),
        (Request("GET", "/", {}, minor=0, keep_alive=False), False, "Connection: close\r\n"),
    ],
)
def test_a_head_says_whether_the_connection_stays(request_: Request, close: bool, connection: str) -> None:
    head = format_head(request_, 200, "X: y\r\n", close=close).decode()
    status, date, rest = head.split("\r\n", 2)
    assert status == "HTTP/1.1 200 OK"
    assert date.startswith("Date: ")
    assert date.endswith(" GMT")
    assert rest == f"X: y\r\n{connection}\r\n"
