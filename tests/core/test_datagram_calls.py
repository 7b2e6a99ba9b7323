"""Which calls there are: those of this thread, made once; and those that every system has."""

from __future__ import annotations

import socket
import sys
import threading

from aionet.core.datagram_calls import ManyACall, OneByOne, datagram_calls

from ..tools import in_ci


def test_a_thread_has_its_own_made_once() -> None:
    others: list[object] = []
    thread = threading.Thread(target=lambda: others.append(datagram_calls()))
    thread.start()
    thread.join()
    assert datagram_calls() is datagram_calls()
    assert others != [datagram_calls()]


def test_they_are_compiled_where_all_is_tested() -> None:
    assert isinstance(datagram_calls(), OneByOne) == (ManyACall is None)
    if in_ci() and sys.platform == "linux":
        assert ManyACall is not None


def test_one_by_one_all_that_is_there_is_received() -> None:
    calls = OneByOne()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        for data in (b"one", b"", b"three"):
            sock.sendto(data, sock.getsockname())
        here = sock.getsockname()
        assert calls.receive(sock, 2, print) == ([(b"one", here), (b"", here)], 3, False)
        assert calls.receive(sock, 2, print) == ([(b"three", here)], 5, False)
        assert calls.receive(sock, 2, print) == ([], 0, False)
        assert calls.send(sock, [(b"x", here)], 0, print) == (0, 0, False)
