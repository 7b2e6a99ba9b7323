"""The contracts' own code: what a handler of datagrams does when nothing is overridden."""

from __future__ import annotations

import pytest

from aionet.datagram import DatagramHandler, DatagramPort


class Closable:
    closed = 0

    def close(self) -> None:
        self.closed += 1


def test_by_default_a_datagram_handler_does_nothing() -> None:
    handler, port = DatagramHandler(), Closable()
    handler.on_bind(port)  # type: ignore[arg-type]
    handler.on_datagram(port, b"", None)  # type: ignore[arg-type]
    handler.on_drain(port)  # type: ignore[arg-type]
    assert port.closed == 0


def test_a_contract_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        DatagramPort()  # type: ignore[abstract]
