"""Handlers that note what is called, and codecs that behave in ways the built-in ones do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from aionet import CloseReason, Codec, Connection, LineCodec, StreamHandler, Timeouts
from aionet.errors import ProtocolError

__all__ = ["LINGER", "AsyncRecorder", "BatchRecorder", "EchoReplies", "Recorder", "as_on_uvloop"]

Action = Callable[..., Any]

LINGER: Final = Timeouts().linger + 0.6
"""Seconds after which a connection is gone that closed while the peer may have sent what nobody has read."""


class _Notes(StreamHandler[Any]):
    """Notes each callback, then does what the test has given for it, or what the default does."""

    def __init__(self, codec: Codec[Any] | None = None, **actions: Action) -> None:
        self.codec = codec if codec is not None else LineCodec()
        self.calls: list[tuple[Any, ...]] = []
        self.conns: list[Connection[Any]] = []
        self._actions = actions

    @property
    def names(self) -> list[str]:
        """The callbacks that were called, in order."""
        return [call[0] for call in self.calls]

    @property
    def messages(self) -> list[Any]:
        """What was delivered."""
        return [message for call in self.calls if call[0] == "on_message" for message in call[1:]]

    @property
    def reason(self) -> CloseReason | None:
        """What ``on_close`` was given; ``None``: it was not called yet."""
        reasons = [call[1] for call in self.calls if call[0] == "on_close"]
        assert len(reasons) <= 1, "on_close was called more than once"
        return reasons[0] if reasons else None

    def note(self, name: str, conn: Connection[Any], *args: Any) -> None:
        assert "on_close" not in self.names, f"{name} after on_close"
        self.calls.append((name, *args))
        action = self._actions.get(name)
        if action is not None:
            action(conn, *args)
        elif name in ("on_eof", "on_drain"):
            conn.close()

    def on_connect(self, conn: Connection[Any]) -> None:
        self.conns.append(conn)
        self.note("on_connect", conn)

    def on_eof(self, conn: Connection[Any]) -> None:
        self.note("on_eof", conn)

    def on_writable(self, conn: Connection[Any]) -> None:
        self.note("on_writable", conn)

    def on_fault(self, conn: Connection[Any], fault: ProtocolError) -> None:
        self.note("on_fault", conn, fault)

    def on_drain(self, conn: Connection[Any]) -> None:
        self.note("on_drain", conn)

    def on_close(self, conn: Connection[Any], reason: CloseReason, exc: BaseException | None) -> None:
        self.note("on_close", conn, reason, exc)


class Recorder(_Notes):
    """In callback style."""

    def on_message(self, conn: Connection[Any], message: Any) -> None:
        self.note("on_message", conn, message)


class BatchRecorder(_Notes):
    """In batch style; each batch is noted as one ``on_message`` with several arguments."""

    def on_messages(self, conn: Connection[Any], messages: list[Any]) -> None:
        self.note("on_message", conn, *messages)


class AsyncRecorder(_Notes):
    """With ``async def on_message``; ``awaits`` is awaited after each."""

    def __init__(
        self, codec: Codec[Any] | None = None, awaits: Callable[[Connection[Any], Any], Any] | None = None, **do: Action
    ) -> None:
        super().__init__(codec, **do)
        self._awaits = awaits

    async def on_message(self, conn: Connection[Any], message: Any) -> None:
        self.note("on_message", conn, message)
        if self._awaits is not None:
            await self._awaits(conn, message)
            self.note("done", conn, message)


class EchoReplies(LineCodec):
    """Lines, of which those that begin with ``?`` are answered by the codec itself."""

    replies = True

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        lines = super().feed(data)
        self.answers += [b"!" + line[1:] + b"\n" for line in lines if line.startswith(b"?")]
        return [line for line in lines if not line.startswith(b"?")]

    def data_to_send(self) -> bytes:
        answers, self.answers = self.answers, []
        return b"".join(answers)


def as_on_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the classes made that uvloop is served by, which reads into a buffer of its own."""
    monkeypatch.setattr("aionet.core.loop.loop_name", lambda loop: "uvloop")
