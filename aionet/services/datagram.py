"""Echo, or acknowledgement, over UDP, built so that nobody can turn it against others.

A UDP service answers whoever the source address names, and anybody can write any source address. Two dangers
follow, and each has its rule here:

* **Loops** (CVE-2024-2169): one forged datagram makes two services that answer everything talk to each other
  forever. So ports below 1024 are not answered (RFC 862 echo, chargen, DNS, TFTP live there), nor our own port
  number, whatever the address (this port itself; the same service on another machine), nor the port of any other
  echo of this process, nor a datagram that is itself our acknowledgement.
* **Amplification**: an answer larger than its question makes the service a weapon against the forged address.
  A plain echo is as large as its question. An acknowledgement that is larger goes only where its size is covered
  by what that peer has sent and was not yet answered with, headers included. Loopback is left out: it is us.

An echo of another process, at another port above 1023, looks just like a client that asks again and again; that
loop cannot be told from use. Whoever opens two such services to one another should put a firewall between them.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final

from aionet import Address, DatagramHandler, DatagramPort

__all__ = ["DatagramEcho"]

PRIVILEGED: Final = 1024
"""Source ports below are not answered: no client's system chooses them (RFC 6335 section 6)."""

HEADERS: Final = 28
"""Bytes of the IPv4 and UDP headers around each datagram, the least that a datagram of either side costs."""

MAX_PEERS: Final = 4096
"""Peers remembered, the longest silent forgotten first: a flood of forged addresses costs about 1 MiB."""

PEER_EXPIRY: Final = 60.0
"""Seconds after which a silent peer is forgotten."""

MAX_CREDIT: Final = 64 * 1024
"""Bytes a peer can have to its credit: nobody saves up for a burst."""

_served: Counter[int] = Counter()
"""Ports of all echoes of this process, so that they know each other. Only bound ports stand in it."""


class DatagramEcho(DatagramHandler):
    """Answers each datagram with its own bytes, or with ``ack``.

    Attributes:
        unanswered: How many datagrams were left without an answer, by the reason.

    Args:
        ack: What to answer instead of the data, such as ``b"ACK"``.
        clock: Seconds, monotonic; for tests.
    """

    def __init__(self, ack: bytes | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.ack = ack
        self.unanswered: Counter[str] = Counter()
        self._clock = clock
        self._peers: OrderedDict[tuple[str, int], tuple[float, int]] = OrderedDict()  # -> last heard, credit

    def on_bind(self, port: DatagramPort[bytes]) -> None:
        _served[_port_of(port.sockname)] += 1

    def on_close(self, port: DatagramPort[bytes]) -> None:
        number = _port_of(port.sockname)
        _served[number] -= 1
        if not _served[number]:
            del _served[number]

    def on_datagram(self, port: DatagramPort[bytes], data: bytes, peer: Address) -> None:
        assert isinstance(peer, tuple)  # UDP peers are; it is Unix sockets that have names
        source = peer[1]
        if source < PRIVILEGED:
            self.unanswered["privileged source port"] += 1
        elif source in _served:
            self.unanswered["an echo's own port"] += 1
        elif self.ack is None:
            port.send(data, peer)
        elif data == self.ack:
            self.unanswered["our own acknowledgement"] += 1
        elif len(self.ack) <= len(data) or _is_loopback(peer[0]) or self._covered(peer[0], source, len(data)):
            port.send(self.ack, peer)
        else:
            self.unanswered["larger than its question"] += 1

    def _covered(self, host: str, source: int, size: int) -> bool:
        """Whether what this peer has sent, up to now, pays for an acknowledgement; if so, it is spent."""
        now = self._clock()
        while self._peers and next(iter(self._peers.values()))[0] + PEER_EXPIRY <= now:
            self._peers.popitem(last=False)
        _, credit = self._peers.pop((host, source), (now, 0))
        credit = min(credit + HEADERS + size, MAX_CREDIT)
        price = HEADERS + len(self.ack or b"")
        covered = price <= credit
        self._peers[host, source] = (now, credit - price if covered else credit)
        if len(self._peers) > MAX_PEERS:
            self._peers.popitem(last=False)
        return covered


def _port_of(address: Address) -> int:
    assert isinstance(address, tuple)
    return int(address[1])


def _is_loopback(host: str) -> bool:
    return host.startswith(("127.", "::ffff:127.")) or host == "::1"
