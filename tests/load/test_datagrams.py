"""Datagrams: what the network does to them is counted, each kind for itself."""

from __future__ import annotations

from typing import Any

import pytest

from aionet import DatagramHandler, Endpoint
from aionet.events import Address
from aionet.load import Exchange, Script, generated_messages
from aionet.load.tally import Tally
from aionet.services.datagram import DatagramEcho

from ..core.test_connecting import refusing
from ..serving import serving
from .runs import Unreliable, generate, plan_for

UDP = "udp://127.0.0.1:0"


def datagrams(size: int = 64, *, numbered: bool = True, pipeline: int = 1) -> Exchange:
    messages = generated_messages(size, Script((b"x",), (b"x",)).make_codec())[:1]
    return Exchange(Script(messages, messages), pipeline, numbered)


async def counted(handler: DatagramHandler, work: Exchange, **options: Any) -> Tally:
    async with serving(handler, UDP) as (_, place):
        return (await generate(plan_for(place, work, timeout=0.2, **options))).total()


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("pipeline", [1, 8])
@pytest.mark.parametrize("size", [8, 1200])
async def test_an_echo_is_right(numbered: bool, pipeline: int, size: int) -> None:
    total = await counted(DatagramEcho(), datagrams(size, numbered=numbered, pipeline=pipeline))
    assert (total.sent, total.answered, total.wrong, total.lost, total.duplicated) == (200, 200, 0, 0, 0)
    assert sum(total.latencies.values()) == 200


@pytest.mark.parametrize("numbered", [True, False])
async def test_what_is_lost_is_given_up_and_others_are_sent(numbered: bool) -> None:
    total = await counted(Unreliable("drop"), datagrams(numbered=numbered), connections=2, messages=20)
    assert (total.sent, total.answered, total.lost) == (20, 16, 4)


async def test_what_comes_twice() -> None:
    total = await counted(Unreliable("double"), datagrams(), duration=0.2)
    assert total.answered == total.sent
    assert total.duplicated in (total.sent // 5, total.sent // 5 - 1)  # the very last one may come too late


async def test_what_comes_out_of_order() -> None:
    total = await counted(Unreliable("swap"), datagrams(pipeline=4), connections=1, duration=0.1)
    assert 0 < total.reordered <= total.sent // 5
    assert total.lost <= 1  # the last one, if nothing came behind it


@pytest.mark.parametrize("numbered", [True, False])
async def test_what_is_wrong(numbered: bool) -> None:
    total = await counted(Unreliable("wrong"), datagrams(numbered=numbered), connections=1, messages=10)
    assert total.wrong == 2
    assert total.examples["wrong replies"][0].startswith("expected b'")


async def test_what_comes_after_it_was_given_up() -> None:
    class Late(DatagramHandler):
        def __init__(self) -> None:
            self.held: list[tuple[bytes, Address]] = []

        def on_datagram(self, port: Any, data: bytes, peer: Address) -> None:
            self.held.append((data, peer))
            if len(self.held) % 2 == 0:  # the second one comes when the first was given up
                for item in self.held[-2:]:
                    port.send(*item)

    total = await counted(Late(), datagrams(), connections=1, messages=4)
    assert (total.lost, total.late, total.answered, total.duplicated) == (2, 2, 2, 0)


async def test_a_port_where_nobody_is_ends_at_once() -> None:
    place = Endpoint.parse(f"udp://127.0.0.1:{refusing()}")
    total = (await generate(plan_for(place, datagrams(), timeout=5))).total()
    assert total.failures == {"connection refused": 4}
    assert (total.answered, total.sent, total.unsent) == (0, 4, 196)
