from __future__ import annotations

import pytest

from aionet.errors import ConnectError, EncodeError
from aionet.services.files.client.retry import BUSY_PATIENCE, LONGEST_PAUSE, Backoff, is_passing
from aionet.services.files.errors import Busy, Changed, Interrupted, NotFound, make_error


def test_pauses_double_up_to_a_limit_and_are_drawn_at_random() -> None:
    backoff = Backoff(retries=8, draw=lambda: 1.0)
    pauses = [backoff.next_pause(Interrupted("x")) for _ in range(8)]
    assert pauses == [0.25, 0.5, 1, 2, 4, 8, LONGEST_PAUSE, LONGEST_PAUSE]
    assert Backoff(draw=lambda: 0.5).next_pause(ConnectError("x")) == 0.125
    assert Backoff(draw=lambda: 0.0).next_pause(ConnectError("x")) == 0


def test_one_too_many_is_raised_as_it_is() -> None:
    backoff = Backoff(retries=2)
    for _ in range(2):
        backoff.next_pause(Interrupted("x"))
    last = Interrupted("the last")
    with pytest.raises(Interrupted) as caught:
        backoff.next_pause(last)
    assert caught.value is last
    with pytest.raises(Interrupted):
        Backoff(retries=0).next_pause(last)


def test_progress_makes_the_count_begin_again() -> None:
    backoff = Backoff(retries=1)
    for _ in range(50):
        backoff.next_pause(Interrupted("x"))
        backoff.progressed()


def test_a_busy_server_is_waited_for_longer() -> None:
    backoff = Backoff(retries=1, draw=lambda: 1.0)
    waited = 0.0
    busy = make_error("BUSY", "later", remote=True)
    while waited < BUSY_PATIENCE:
        waited += backoff.next_pause(busy)
    assert waited <= BUSY_PATIENCE + LONGEST_PAUSE
    with pytest.raises(Busy):
        backoff.next_pause(busy)


@pytest.mark.parametrize(
    ("exc", "passing"),
    [
        (Interrupted("x"), True),
        (ConnectError("x"), True),
        (make_error("BUSY", "x", remote=True), True),
        (Busy("another process of ours"), False),
        (NotFound("x", remote=True), False),
        (Changed("x", remote=True), False),
        (EncodeError("x"), False),
    ],
)
def test_what_passes(exc: Exception, passing: bool) -> None:
    assert is_passing(exc) is passing
    if not passing:
        with pytest.raises(type(exc)):
            Backoff().next_pause(exc)


async def test_a_pause_is_waited() -> None:
    await Backoff(draw=lambda: 0.0).pause(Interrupted("x"))
