from __future__ import annotations

from pathlib import Path

import pytest

from aionet.services.files.errors import Code
from aionet.services.files.web import WebFiles
from aionet.services.files.web.exchange import explain_fault, status_of_code

from .web_tools import serve_web, web_client


@pytest.mark.parametrize("code", list(Code))
def test_every_code_has_a_status(code: Code) -> None:
    status = status_of_code(code)
    assert 400 <= status <= 507
    ours = {Code.IO_ERROR, Code.INTERRUPTED, Code.BAD_REPLY}
    assert (status == 500) is (code in ours)


def test_codes_of_newer_servers_are_trouble_of_the_server() -> None:
    assert status_of_code("NEWS") == 500


def test_a_fault_in_words() -> None:
    answer = explain_fault(431, "too long")
    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b"Connection: close\r\n" in answer
    assert answer.endswith(b"Content-Length: 9\r\nConnection: close\r\n\r\ntoo long\n")


async def test_an_error_is_said_in_the_form_that_was_asked_for(tmp_path: Path) -> None:
    async with serve_web(WebFiles(tmp_path)) as served, web_client(served) as client:
        plain = await client.ask("GET", "/<b>", accept="*/*")
        assert plain.status == 404
        assert plain.fields["content-type"] == "text/plain; charset=utf-8"
        page = await client.ask("GET", "/<b>", accept="text/html")
        assert page.fields["content-type"] == "text/html; charset=utf-8"
        assert b"<b>" not in page.body
