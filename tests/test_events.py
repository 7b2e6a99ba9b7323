"""Events: free when nobody listens, harmless when a listener fails."""

from __future__ import annotations

from typing import Any

import pytest

from aionet.events import CloseReason, ConnectionOpened, Event, Events, ListenerStarted

OPENED = ConnectionOpened("shout", ("127.0.0.1", 7))
STARTED = ListenerStarted("tcp://127.0.0.1:7000", "shout")


def test_subscribers_hear_of_the_kinds_they_named_in_order() -> None:
    events = Events()
    heard: list[tuple[int, Event]] = []
    events.subscribe(lambda event: heard.append((1, event)), ConnectionOpened)
    events.subscribe(lambda event: heard.append((2, event)), ConnectionOpened, ListenerStarted)
    events.emit(OPENED)
    events.emit(STARTED)
    assert heard == [(1, OPENED), (2, OPENED), (2, STARTED)]


def test_without_a_kind_one_hears_of_all() -> None:
    events = Events()
    heard: list[Event] = []
    events.subscribe(heard.append)
    assert all(events.wants(kind) for kind in Event.__subclasses__())
    events.emit(OPENED)
    events.emit(STARTED)
    assert heard == [OPENED, STARTED]


def test_nobody_listens_nobody_wants() -> None:
    events = Events()
    heard: list[Event] = []
    assert not events.wants(ConnectionOpened)
    end = events.subscribe(heard.append, ConnectionOpened)
    assert events.wants(ConnectionOpened)
    assert not events.wants(ListenerStarted)
    end()
    end()
    assert not events.wants(ConnectionOpened)
    events.emit(OPENED)
    assert not heard


def test_one_that_raises_is_unsubscribed_and_hurts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    events = Events()
    heard: list[Event] = []
    unraisable: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", unraisable.append)

    def fail(event: Event) -> None:
        raise ValueError("no")

    events.subscribe(fail)
    events.subscribe(heard.append)
    events.emit(OPENED)
    events.emit(OPENED)
    assert heard == [OPENED, OPENED]
    (report,) = unraisable
    assert report.object is fail
    assert str(report.exc_value) == "no"
    assert "unsubscribed" in report.err_msg


def test_a_subscriber_may_end_its_subscription_while_it_is_called() -> None:
    events = Events()
    heard: list[Event] = []

    def once(event: Event) -> None:
        heard.append(event)
        end()

    end = events.subscribe(once, ConnectionOpened)
    events.emit(OPENED)
    events.emit(OPENED)
    assert heard == [OPENED]


def test_close_reasons_are_phrases_for_people() -> None:
    assert len({reason.value for reason in CloseReason}) == 12
    assert all(" " in reason.value and reason.value.islower() for reason in CloseReason)
