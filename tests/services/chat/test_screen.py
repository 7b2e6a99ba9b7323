"""The screen shows whole lines at once, prompts when they are complete, and obeys nothing."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from aionet.services.chat.screen import MAX_UNFINISHED, Screen
from aionet.services.chat.wire import PROMPT


def show(*chunks: bytes, skip: bytes = b"") -> str:
    output = io.StringIO()
    screen = Screen(output, skip)
    for chunk in chunks:
        screen.feed(chunk)
    return output.getvalue()


def test_lines_appear_when_they_are_complete() -> None:
    assert show(b"one\r\ntw") == "one\n"
    assert show(b"one\r\ntw", b"o\nthree\n") == "one\ntwo\nthree\n"


def test_a_character_may_come_in_two_chunks() -> None:
    assert show(b"caf\xc3", b"\xa9\n") == "café\n"


def test_our_prompt_appears_at_once() -> None:
    assert show(PROMPT[:7], PROMPT[7:]) == PROMPT.decode()
    assert show(b"[SERVER] no\n" + PROMPT) == "[SERVER] no\n" + PROMPT.decode()


def test_a_prompt_that_was_answered_beforehand_is_not_shown() -> None:
    assert show(PROMPT[:3], PROMPT[3:], b"[SERVER] hi\n", skip=PROMPT) == "[SERVER] hi\n"
    assert show(PROMPT + b"[SERVER] no\n" + PROMPT, skip=PROMPT) == "[SERVER] no\n" + PROMPT.decode()
    assert show(b"welcome\n" + PROMPT, skip=PROMPT) == "welcome\n" + PROMPT.decode()


def test_an_unfinished_line_is_shown_when_asked_and_goes_on_behind_it() -> None:
    output = io.StringIO()
    screen = Screen(output)
    screen.feed(b"Password: ")
    assert screen.unfinished
    assert output.getvalue() == ""
    screen.show_unfinished()
    assert not screen.unfinished
    screen.feed(b"wrong\n")
    assert output.getvalue() == "Password: wrong\n"


def test_a_prompt_answered_by_a_pipe_ends_its_line() -> None:
    output = io.StringIO()
    screen = Screen(output)
    screen.end_prompt()
    screen.feed(PROMPT)
    screen.end_prompt()
    screen.end_prompt()
    screen.feed(PROMPT)
    screen.answered()
    screen.end_prompt()
    assert output.getvalue() == PROMPT.decode() + "\n" + PROMPT.decode()


def test_a_line_without_end_is_not_kept_for_ever() -> None:
    assert len(show(*[b"x" * 1024] * 65)) > 0
    assert show(b"x" * MAX_UNFINISHED) == ""


def test_what_the_output_cannot_encode_is_written_out() -> None:
    raw = io.BytesIO()
    output = io.TextIOWrapper(raw, encoding="ascii")
    Screen(output).feed("né €\n".encode())
    assert raw.getvalue() == b"n\\xe9 \\u20ac\n"


def test_a_closed_output_is_noticed_once() -> None:
    class Closed(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    screen = Screen(Closed())
    screen.feed(b"one\n")
    assert screen.closed
    screen.feed(b"two\n")


@given(st.lists(st.binary(max_size=30)))
def test_no_server_drives_the_terminal(chunks: list[bytes]) -> None:
    shown = show(*chunks, b"\n")
    assert not any(character < " " or "\x7f" <= character <= "\x9f" for character in shown if character not in "\t\n")
    assert shown.count("\n") == b"".join(chunks).count(b"\n") + 1
