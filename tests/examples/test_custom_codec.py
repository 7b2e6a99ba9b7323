"""The codec keeps its contract; the service answers nc."""

from __future__ import annotations

import pytest

from aionet import connect
from aionet.errors import EncodeError
from aionet.testing import verify_codec
from examples import custom_codec
from examples.custom_codec import FAILURE, READING, SUMMARY, Record, TLVCodec, make_router

from ..tools import require
from .trying import serving, shell, told


def test_the_codec_keeps_the_contract() -> None:
    verify_codec(
        TLVCodec(max_size=100),
        [
            (b"\x02\x00\x04\x00\x00\x52\x08", [Record(READING, b"\x00\x00\x52\x08")]),
            (b"\x03\x00\x00", [Record(SUMMARY)]),
            (b"\xff\x00\x02hi\x01\x00\x00", [Record(FAILURE, b"hi"), Record(1)]),
        ],
        oversize=b"\x01\x00\x65",
        garbage=[b"\x00\x00\x00", b"GET / HTTP/1.1\r\n\r\n"],
    )


@pytest.mark.parametrize("record", [Record(0), Record(256), Record(1, bytes(1025))])
def test_what_the_receiver_would_refuse_is_not_encoded(record: Record) -> None:
    with pytest.raises(EncodeError):
        TLVCodec().encode(record)


async def test_the_command_of_the_docstring() -> None:
    require("nc")
    async with serving(make_router("tcp://127.0.0.1:0")) as server:
        answer = await shell(told(custom_codec, "printf", {"7020": str(server.addresses[0].port)}))
    assert answer == "count=2 min=21.000 max=22.500 mean=21.750"


async def test_a_wrong_record_is_answered_and_the_connection_goes_on() -> None:
    async with (
        serving(make_router("tcp://127.0.0.1:0")) as server,
        connect(server.addresses[0], codec=TLVCodec()) as conn,
    ):
        await conn.send(Record(READING, b"too long"))
        assert await conn.receive() == Record(FAILURE, b"tag 2 with 8 bytes is no record of ours")
        await conn.send(Record(SUMMARY))
        assert await conn.receive() == Record(SUMMARY, b"count=0")
        await conn.send(Record(READING, b"\xff\xff\xfc\x18"))
        await conn.send(Record(SUMMARY))
        assert await conn.receive() == Record(SUMMARY, b"count=1 min=-1.000 max=-1.000 mean=-1.000")
