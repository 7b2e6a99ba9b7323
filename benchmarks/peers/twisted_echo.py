"""Twisted on its epoll reactor: echo, or lines by its LineOnlyReceiver."""

from __future__ import annotations

from twisted.internet import epollreactor

epollreactor.install()

from twisted.internet import protocol, reactor  # noqa: E402 - the reactor has to be chosen first
from twisted.protocols.basic import Int32StringReceiver, LineOnlyReceiver  # noqa: E402

from benchmarks.peers.common import BACKLOG, MAX_MESSAGE, announce, options  # noqa: E402


class NoDelay:
    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)  # type: ignore[attr-defined]


class Echo(NoDelay, protocol.Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Lines(NoDelay, LineOnlyReceiver):
    delimiter = b"\n"
    MAX_LENGTH = MAX_MESSAGE

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line)  # the reactor sends what one turn wrote together


class Counted(NoDelay, Int32StringReceiver):
    MAX_LENGTH = MAX_MESSAGE

    def stringReceived(self, string: bytes) -> None:
        self.sendString(string)


FRAMINGS = {"raw": Echo, "lines": Lines, "length": Counted}

if __name__ == "__main__":
    arguments = options("Twisted, echo or framed messages", framing=tuple(FRAMINGS))
    factory = protocol.Factory.forProtocol(FRAMINGS[arguments.framing])
    port = reactor.listenTCP(arguments.port, factory, backlog=BACKLOG, interface="127.0.0.1")
    announce(port.getHost().port)
    reactor.run()
