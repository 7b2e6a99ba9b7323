from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet.services.files.commands import READING, WRITING, commands, escape_name, read_options
from aionet.services.files.errors import BadRequest
from aionet.services.files.hashing import ALGORITHMS, SHA256
from aionet.services.files.wire import Request

DIGEST = "0123456789abcdef" * 4
ALL = commands(writable=True)


def test_a_server_that_takes_no_files_has_no_commands_for_it() -> None:
    assert [command.usage for command in commands(writable=False).values()] == list(READING)
    assert [command.usage for command in ALL.values()] == [*READING, *WRITING]
    assert [verb for verb, command in ALL.items() if "hash" in command.options] == ["GET", "HASH", "PUT", "COMMIT"]
    assert list(ALL) == "HELLO AUTH STAT LIST GET HASH QUIT PUT COMMIT CANCEL MKDIR DELETE RENAME".split()


def test_the_usage_lines_say_what_is_needed() -> None:
    assert ALL["COMMIT"].needed == {"upload", "total", "digest"}
    assert ALL["STAT"].needed == ALL["RENAME"].needed == frozenset()
    assert [verb for verb, command in ALL.items() if command.takes_body] == ["PUT", "RENAME"]
    assert [verb for verb, command in ALL.items() if not command.takes_name] == ["HELLO", "QUIT"]


@pytest.mark.parametrize(
    ("verb", "given_", "read"),
    [
        ("GET", {}, {}),
        ("GET", {"offset": "5", "length": "0", "tag": "a1"}, {"offset": 5, "length": 0, "tag": "a1"}),
        ("LIST", {"after": "a%20b%2F", "limit": "7"}, {"after": "a b/", "limit": 7}),
        ("HASH", {"chunks": "0"}, {"chunks": False}),
        ("HASH", {"hash": "sha256"}, {"hash": SHA256}),
        ("PUT", {"upload": "u", "hash": "blake3"}, {"upload": "u", "hash": ALGORITHMS["blake3"]}),
        (
            "COMMIT",
            {"upload": "a-B_1", "total": "3", "digest": DIGEST, "mtime": "-1.5", "new": "1"},
            {"upload": "a-B_1", "total": 3, "digest": DIGEST, "mtime": -1_500_000_000, "new": True},
        ),
    ],
)
def test_options_are_read(verb: str, given_: dict[str, str], read: dict[str, object]) -> None:
    assert read_options(ALL[verb], Request(verb, "name", given_)) == read


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        (Request("GET", "a", {"x": "1"}), r"GET has no option x; it is: GET\[;offset=N\]"),
        (Request("GET", "a", {"offset": "-1"}), "not a whole number"),
        (Request("GET", "a", {"offset": "1" * 20}), "at most 19 digits"),
        (Request("GET", "a", {"offset": "\u0661"}), "not a whole number"),
        (Request("GET", "a", {}, 5), "GET takes no body"),
        (Request("HELLO", "a"), "HELLO takes no name"),
        (Request("COMMIT", "a", {"upload": "x", "total": "1"}), r"COMMIT needs digest=\.\.\."),
        (Request("GET", "a", {"hash": "md5"}), "hash='md5' of GET: this server has blake3, sha256"),
        (Request("GET", "a", {"hash": "SHA256"}), "this server has blake3, sha256"),
        (Request("COMMIT", "a", {"upload": "x", "total": "1", "digest": "AB"}), "a digest in 64 small"),
        (Request("PUT", "a", {"upload": "x" * 65}), "1 to 64 letters"),
        (Request("PUT", "a", {"upload": "a/b"}), "1 to 64 letters"),
        (Request("HASH", "a", {"chunks": "1"}), "it can only be 0"),
        (Request("RENAME", "a", {"replace": "0"}), "it can only be 1"),
        (Request("GET", "a", {"tag": "x-y"}), "a tag, as STAT tells it"),
        (Request("COMMIT", "a", {"mtime": "x"}), "not a time"),
        (Request("LIST", "a", {"after": "%ff"}), "after='%ff'"),
    ],
)
def test_what_does_not_fit_is_refused(request_: Request, complaint: str) -> None:
    with pytest.raises(BadRequest, match=complaint):
        read_options(ALL[request_.verb], request_)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_name_survives_as_an_option(name: str) -> None:
    escaped = escape_name(name)
    assert escaped.isascii()
    assert not set(escaped) & set(" ;\n")
    assert read_options(ALL["LIST"], Request("LIST", "", {"after": escaped})) == {"after": name}


def test_a_server_that_has_one_algorithm_says_so() -> None:
    some = commands(writable=True, algorithms={"sha256": SHA256})
    assert read_options(some["GET"], Request("GET", "a", {"hash": "sha256"})) == {"hash": SHA256}
    with pytest.raises(BadRequest, match=r"hash=.blake3. of GET: this server has sha256$"):
        read_options(some["GET"], Request("GET", "a", {"hash": "blake3"}))
