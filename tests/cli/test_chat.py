"""``chat``: the client of the chat service, and what a script learns from its exit code."""

from __future__ import annotations

import pytest

from aionet.cli import main

from .conftest import Feed, Served


@pytest.mark.parametrize("kind", ["chat", "chat-ws"])
def test_a_piped_chat(kind: str, served: Served, feed: Feed, capfd: pytest.CaptureFixture[str]) -> None:
    feed(b"hello\n/quit\n")
    assert main(["chat", served.endpoints[kind], "--name", "ada"]) == 0
    captured = capfd.readouterr()
    assert "ada joined" in captured.out
    assert captured.err == ""


@pytest.mark.parametrize(
    ("endpoint", "code", "said"),
    [
        ("tpc://127.0.0.1:1", 4, "hint: did you mean 'tcp'"),
        ("udp://127.0.0.1:1", 4, "udp"),
        ("unix:///no/such/chat.sock", 3, "/no/such/chat.sock"),
    ],
)
def test_where_there_is_no_chat(endpoint: str, code: int, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", endpoint]) == code
    err = capfd.readouterr().err
    assert said in err
    assert "Traceback" not in err
