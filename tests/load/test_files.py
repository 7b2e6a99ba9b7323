"""Downloads: counted, hashed, and refused ones told."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from aionet import Connection
from aionet.load import Download
from aionet.services.files import Files
from aionet.services.files.wire import Message, Reply, RequestCodec

from ..serving import serving
from .runs import Misbehaving, generate, plan_for

DATA = bytes(range(256)) * 2000


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "a file").write_bytes(DATA)
    (tmp_path / "empty").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize("pipeline", [1, 3])
@pytest.mark.parametrize("verify", [True, False])
async def test_files_arrive(directory: Path, pipeline: int, verify: bool) -> None:
    digest = hashlib.sha256(DATA).hexdigest()
    async with serving(Files(directory)) as (_, place):
        work = Download("a file", digest, verify, pipeline)
        total = (await generate(plan_for(place, work, messages=20))).total()
    assert (total.answered, total.wrong, total.failures) == (20, 0, {})
    assert total.bytes_received == 20 * len(DATA)
    assert total.digests == ({digest} if verify else set())


async def test_an_empty_file(directory: Path) -> None:
    async with serving(Files(directory)) as (_, place):
        total = (await generate(plan_for(place, Download("empty"), messages=20))).total()
    assert (total.answered, total.wrong) == (20, 0)


async def test_another_digest_is_wrong(directory: Path) -> None:
    async with serving(Files(directory)) as (_, place):
        total = (await generate(plan_for(place, Download("a file", "00"), messages=4))).total()
    assert (total.answered, total.wrong) == (4, 4)
    assert "expected 00" in total.examples["wrong replies"][0]


async def test_a_file_that_changes_is_noticed() -> None:
    class Changing(Misbehaving):
        def on_message(self, conn: Connection[Any], message: Message) -> None:
            conn.state += 1
            conn.write(Reply(1))
            conn.write(b"1" if conn.state == 1 else b"2")

    handler: Any = Changing("")
    async with serving(handler, route={"codec": RequestCodec()}) as (_, place):
        total = (await generate(plan_for(place, Download("x"), messages=8))).total()
    assert total.wrong == 1
    assert "not always the same" in total.examples["wrong replies"][0]


async def test_a_refusal_ends_the_connection_and_is_told(directory: Path) -> None:
    async with serving(Files(directory)) as (_, place):
        total = (await generate(plan_for(place, Download("nothing")))).total()
    assert total.failures == {"the server refused the file": 4}
    assert total.wrong == 4
    assert total.examples["wrong replies"][0].startswith("NOT_FOUND ")


async def test_a_long_file_is_no_silence_and_a_stalled_one_is() -> None:
    class Stalling(Misbehaving):
        def on_message(self, conn: Connection[Any], message: Message) -> None:
            conn.write(Reply(100))
            conn.write(b"half of it")

    handler: Any = Stalling("")
    async with serving(handler, route={"codec": RequestCodec()}) as (_, place):
        total = (await generate(plan_for(place, Download("x"), messages=4, timeout=0.3))).total()
    assert total.failures == {"no answer in time": 4}
    assert total.bytes_received == 40
