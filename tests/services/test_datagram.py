"""DatagramEcho: answers whoever asks, and cannot be turned against anybody."""

import asyncio
import os
import socket
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionet import Address, DatagramPort
from aionet.core.datagram import UDPPort, listen_datagram, open_datagram_port
from aionet.endpoint import Endpoint
from aionet.events import DatagramStats, Events
from aionet.services import DatagramEcho
from aionet.services.datagram import HEADERS, MAX_PEERS, PEER_EXPIRY
from aionet.styles import DatagramStyle, datagram_style

STRANGER = ("198.51.100.7", 40_000)


class FakePort:
    def __init__(self, sockname: Address = ("0.0.0.0", 7000)) -> None:
        self.sockname = sockname
        self.sent: list[tuple[bytes, Address]] = []

    def send(self, data: bytes, peer: Address) -> None:
        self.sent.append((data, peer))


def ask(handler: DatagramEcho, data: bytes, peer: Address, port: FakePort | None = None) -> list[bytes]:
    port = port or FakePort()
    handler.on_datagram(cast(DatagramPort[bytes], port), data, peer)
    return [answer for answer, _ in port.sent]


async def listen(handler: DatagramEcho, text: str = "udp://127.0.0.1:0") -> UDPPort:
    (port,) = await listen_datagram(Endpoint.parse(text), handler, events=Events(), route="echo")
    return port


def test_it_is_a_callback_handler() -> None:
    assert datagram_style(DatagramEcho()) is DatagramStyle.CALLBACK


def test_echo_and_acknowledgement() -> None:
    assert ask(DatagramEcho(), b"data", STRANGER) == [b"data"]
    assert ask(DatagramEcho(), b"", STRANGER) == [b""]
    assert ask(DatagramEcho(b"ACK"), b"data", STRANGER) == [b"ACK"]


@pytest.mark.parametrize("source", [0, 7, 19, 53, 1023])
def test_privileged_source_ports_are_not_answered(source: int) -> None:
    handler = DatagramEcho()
    assert ask(handler, b"x", ("198.51.100.7", source)) == []
    assert handler.unanswered == {"privileged source port": 1}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:192.0.2.2", "198.51.100.7"])
def test_its_own_port_number_is_not_answered_whatever_the_address(host: str) -> None:
    handler, port = DatagramEcho(), FakePort()
    handler.on_bind(cast(DatagramPort[bytes], port))
    assert ask(handler, b"x", (host, 7000), port) == []
    assert ask(DatagramEcho(b"ACK"), b"x", (host, 7000)) == []  # nor by another echo of this process
    handler.on_close(cast(DatagramPort[bytes], port))
    assert ask(handler, b"x", (host, 7000)) == [b"x"]
    assert handler.unanswered == {"an echo's own port": 1}


def test_an_acknowledgement_is_not_acknowledged() -> None:
    handler = DatagramEcho(b"ACK")
    assert ask(handler, b"ACK", STRANGER) == []
    assert handler.unanswered == {"our own acknowledgement": 1}


# -- amplification ----------------------------------------------------------------------------------------------------


def test_an_answer_larger_than_its_question_needs_a_peer_heard_before() -> None:
    handler = DatagramEcho(b"Message received!")
    assert ask(handler, b"hello", STRANGER) == []
    assert handler.unanswered == {"larger than its question": 1}
    assert ask(handler, b"hello", STRANGER) == [b"Message received!"]
    assert ask(handler, b"hello", ("198.51.100.8", 40_000)) == []  # somebody else
    assert ask(handler, b"a question as long", STRANGER) == [b"Message received!"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_answered_at_once(host: str) -> None:
    assert ask(DatagramEcho(b"Message received!"), b"", (host, 40_000)) == [b"Message received!"]


def test_silent_peers_expire() -> None:
    now = 0.0
    handler = DatagramEcho(b"Message received!", clock=lambda: now)
    ask(handler, b"hello", STRANGER)
    now = PEER_EXPIRY
    assert ask(handler, b"hello", STRANGER) == []
    now += PEER_EXPIRY - 1
    assert ask(handler, b"hello", STRANGER) == [b"Message received!"]


def test_peers_remembered_are_bounded() -> None:
    handler = DatagramEcho(b"Message received!")
    ask(handler, b"hello", STRANGER)
    for number in range(MAX_PEERS):
        ask(handler, b"hello", ("203.0.113.1", 2000 + number))
    assert ask(handler, b"hello", STRANGER) == []  # forgotten: the longest silent


@given(st.binary(max_size=200), st.lists(st.binary(max_size=220), max_size=60))
def test_no_peer_is_ever_sent_more_than_it_sent(ack: bytes, questions: list[bytes]) -> None:
    handler, port = DatagramEcho(ack), FakePort()
    received = 0
    for question in questions:
        received += HEADERS + len(question)
        ask(handler, question, STRANGER, port)
        assert sum(HEADERS + len(answer) for answer, _ in port.sent) <= received
    assert len(port.sent) + handler.unanswered.total() == len(questions)


# -- on real sockets --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 65507])
async def test_over_the_loopback(size: int) -> None:
    async with await listen(DatagramEcho()) as port, await open_datagram_port(port.endpoint, events=Events()) as client:
        client.send(bytes(size))
        assert (await client.receive())[0] == bytes(size)
    assert port.stats == DatagramStats(1, 1, 0, size, size)


@pytest.mark.parametrize("acks", [(None, None), (b"ACK", None), (b"ACK", b"OK")])
async def test_two_services_pointed_at_each_other_die_out_at_once(acks: tuple[bytes | None, bytes | None]) -> None:
    first, second = DatagramEcho(acks[0]), DatagramEcho(acks[1])
    async with await listen(first) as one, await listen(second, "udp://127.0.0.2:0") as two:
        one.send(b"forged: as if the first had asked the second", two.sockname)
        async with await open_datagram_port(two.endpoint, events=Events()) as client:
            client.send(b"behind it in the queue")
            await asyncio.wait_for(client.receive(), 5)
        assert one.stats.datagrams_received == 0
        assert two.stats.datagrams_received == 2
        assert two.stats.datagrams_sent == 1
        assert second.unanswered == {"an echo's own port": 1}


async def test_a_datagram_from_itself_is_not_answered() -> None:
    handler = DatagramEcho()
    async with await listen(handler, "udp://*:0") as port:
        host = "::1" if isinstance(port.sockname, tuple) and port.sockname[0] == "::" else "127.0.0.1"
        port.send(b"forged", (host, port.endpoint.port))
        async with await open_datagram_port(Endpoint("udp", host, port.endpoint.port), events=Events()) as client:
            client.send(b"behind it in the queue")
            await asyncio.wait_for(client.receive(), 5)
        assert port.stats.datagrams_received == 2
        assert handler.unanswered.total() == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may send from a port below 1024")
async def test_a_privileged_port_is_not_answered() -> None:
    handler = DatagramEcho()
    async with await listen(handler) as port:
        with socket.socket(type=socket.SOCK_DGRAM) as chargen:
            free = next(number for number in range(600, 1024) if _bound(chargen, number))
            chargen.sendto(b"x", ("127.0.0.1", port.endpoint.port))
            async with await open_datagram_port(port.endpoint, events=Events()) as client:
                client.send(b"behind it in the queue")
                await asyncio.wait_for(client.receive(), 5)
            chargen.setblocking(False)
            with pytest.raises(BlockingIOError):
                chargen.recv(10)
        assert free < 1024
        assert handler.unanswered == {"privileged source port": 1}


def _bound(sock: socket.socket, number: int) -> bool:
    try:
        sock.bind(("127.0.0.1", number))
    except OSError:
        return False
    return True
