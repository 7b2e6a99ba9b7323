"""A conversation, step by step, without a network."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aionet.services.files.commands import commands
from aionet.services.files.conversation import Close, Conversation, Pause, Service, Step
from aionet.services.files.hashing import ALGORITHMS
from aionet.services.files.manifest import Hashes
from aionet.services.files.paths import Directory
from aionet.services.files.reading import SMALL, Sending
from aionet.services.files.rules import Rules, Tokens
from aionet.services.files.store import Store
from aionet.services.files.wire import Batch, Request

from .serving import descriptors_of_files

TOKEN = "0123456789abcdef"
Talk = Callable[..., Conversation]


@pytest.fixture
def talk(tmp_path: Path) -> Talk:
    def make(user: str | None = None, token: str | None = None, **rules: Any) -> Conversation:
        checked = Rules(**rules)
        tokens = None if token is None else Tokens(token)
        store, known = Store(Directory(tmp_path), checked), commands(writable=checked.writable)
        service = Service(store, known, tokens, Hashes(), ALGORITHMS)
        return Conversation(service, user, "files", ("192.0.2.1", 7))

    return make


def asked(conversation: Conversation, stream: bytes) -> list[Step]:
    steps = [conversation.begin(Batch(stream))]
    while not steps[-1].done:
        action = steps[-1].action
        steps.append(conversation.go_on(action.count if isinstance(action, Sending) else 0))
    return steps


def test_small_answers_leave_in_one_step(talk: Talk, tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / str(number)).write_bytes(b"x" * 100)
    (step,) = asked(talk(), b"".join(b"GET %d\n" % number for number in range(20)))
    assert step.done
    assert step.data.count(b"checked=1\n" + b"x" * 100) == 20


def test_a_step_is_bounded(talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x" * SMALL)
    steps = asked(talk(), b"GET x\n" * 40)
    assert len(steps) > 8
    assert max(len(step.data) for step in steps) < 6 * SMALL


def test_a_large_file_is_an_action_between_others(talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x" * (SMALL + 1))
    conversation = talk()
    first, last = asked(conversation, b"STAT x\nGET x\nSTAT x\n")
    assert isinstance(first.action, Sending)
    assert first.action.count == SMALL + 1
    assert first.data.endswith(b"\n")
    assert last.data.startswith(b"OK 0;kind=file")
    assert [(event.verb, event.bytes, event.outcome) for event in conversation.finished] == [("GET", SMALL + 1, "OK")]


def test_a_file_that_shrank_while_it_was_sent_ends_it(talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x" * (SMALL + 1))
    conversation = talk()
    conversation.begin(Batch(b"GET x\nLIST\n"))
    step = conversation.go_on(SMALL)
    assert (step.data, step.action) == (b"", Close())
    conversation.close()
    assert [event.outcome for event in conversation.finished] == ["CHANGED"]


def test_quit_ends_it_whatever_follows(talk: Talk) -> None:
    step = talk().begin(Batch(b"QUIT\nLIST\n"))
    assert (step.data, step.action) == (b"OK 0\n", Close())


def test_a_wrong_token_waits_and_the_third_ends_it(talk: Talk) -> None:
    steps = asked(talk(token=TOKEN), b"AUTH x\nLIST\n" + b"AUTH y\n" * 2)
    assert [step.action for step in steps] == [Pause(1.0), Pause(1.0), Pause(1.0), Close(), None]
    assert steps[1].data.startswith(b"ERR UNAUTHORIZED wrong token\nERR UNAUTHORIZED this server wants")


def test_a_certificate_is_as_good_as_a_token(talk: Talk) -> None:
    conversation = talk(user="client.example.com", token=TOKEN, writable=True)
    (step,) = asked(conversation, b"MKDIR a\n")
    assert step.data == b"OK 0\n"
    assert conversation.finished[0].user == "client.example.com"


def test_one_line_at_once(talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"content")
    conversation = talk()
    at_once = conversation.answer_at_once(Batch(b"GET x\n"))
    assert at_once in (b"", asked(conversation, b"GET x\n")[0].data)
    for other in (b"GET x\nGET x\n", b"STAT x\n", b"GET y\n", b"GET;a=b x\n", b"?\n", b"GET " + b"x" * 600 + b"\n"):
        assert conversation.answer_at_once(Batch(other)) == b""
    assert talk(token=TOKEN).answer_at_once(Batch(b"GET x\n")) == b""


def test_a_body_that_comes_in_pieces(talk: Talk, tmp_path: Path) -> None:
    content = os.urandom(1000)
    conversation = talk(writable=True)
    request = Request("PUT", "x", {"upload": "u"}, 1000)
    assert conversation.receive(request) == b""
    assert conversation.take([content[:400], content[400:500]], False) == b""
    assert conversation.take([content[500:]], True) == b"OK 0;received=1000\n"
    line = f"COMMIT;upload=u;total=1000;digest={hashlib.sha256(content).hexdigest()} x\n"
    (step,) = asked(conversation, line.encode())
    assert step.data.startswith(b"OK 0;size=1000;")
    assert (tmp_path / "x").read_bytes() == content
    assert conversation.writes
    assert conversation.receive(Request("GET", "x", {}, 1000)).startswith(b"ERR BAD_REQUEST GET takes no body")
    assert conversation.receive(Request("RENAME", "x", {}, 10**6)).startswith(b"ERR BAD_REQUEST a body of 1000000")
    assert conversation.receive(Request("PUT", "../x", {"upload": "u"}, 5)).startswith(b"ERR REFUSED_NAME")


def test_closed_in_the_middle_it_leaves_nothing_open(talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x" * (SMALL + 1))
    conversation = talk(writable=True)
    conversation.receive(Request("PUT", "y", {"upload": "u"}, 10**6))
    conversation.begin(Batch(b"GET x\n"))
    assert len(descriptors_of_files(tmp_path)) == 2
    conversation.close()
    conversation.close()
    assert descriptors_of_files(tmp_path) == []
    assert [(event.verb, event.outcome) for event in conversation.finished] == [
        ("GET", "INTERRUPTED"),
        ("PUT", "INTERRUPTED"),
    ]
