"""Bodies over real sockets: every size, every kind of end, and what a disk can do meanwhile."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aionet.events import TransferFinished
from aionet.limits import Timeouts
from aionet.routing import Router
from aionet.server import Server
from aionet.services.files.handler import Files
from aionet.services.files.hashing import Algorithm
from aionet.services.files.partial import Upload
from tests.conftest import TLSFiles
from tests.serving import eventually

from .serving import RawClient, descriptors_of_files, raw_client, serve, until_none_open

KIB = 1024
MIB = 1024 * KIB
CONTENT = random.Random(5).randbytes(18 * MIB)


def put_head(
    size: int, offset: int = 0, upload: str = "u", total: int = 0, more: str = "", name: str = "file"
) -> bytes:
    options = f"{f';offset={offset}' if offset else ''}{f';total={total}' if total else ''}{more}"
    return f"PUT;size={size};upload={upload}{options} {name}\n".encode()


async def commit(
    client: RawClient, content: bytes, algorithm: Algorithm, upload: str = "u", name: str = "file"
) -> None:
    more = "".join(f";{key}={value}" for key, value in algorithm.option.items())
    line = f"COMMIT;upload={upload};total={len(content)};digest={algorithm.hexdigest(content)}{more} {name}"
    header, _ = await client.ask(line.encode())
    assert header.startswith(b"OK 0;size=%d;" % len(content)), header


async def received(client: RawClient) -> int:
    header, _ = await client.ask(b"STAT;upload=u file")
    assert header.startswith(b"OK 0;received="), header
    return int(header.split(b"=")[1])


@pytest.mark.parametrize(
    "size", [1, 4095, 4096, 4097, 64 * KIB - 1, 64 * KIB, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1, 5 * MIB + 12_345]
)
@pytest.mark.parametrize("total", [0, 17 * MIB])  # the latter is large, and written past the page cache
async def test_every_size_alone_and_resumed(tmp_path: Path, size: int, total: int, algorithm: Algorithm) -> None:
    more = "".join(f";{key}={value}" for key, value in algorithm.option.items())
    async with serve(Files(tmp_path, writable=True)) as served, raw_client(served) as client:
        for offset in (0, 4096, size // 3, size - 1):
            if not offset < size:
                continue
            client.write(put_head(offset, total=total, more=more) + CONTENT[:offset])
            assert (await client.answer())[0] == b"OK 0;received=%d\n" % offset
            rest = CONTENT[offset:size]
            client.write(put_head(len(rest), offset, total=total, more=more))
            client.write(rest)
            assert (await client.answer())[0] == b"OK 0;received=%d\n" % size
            await commit(client, CONTENT[:size], algorithm)
            assert (tmp_path / "file").read_bytes() == CONTENT[:size]
        await until_none_open(tmp_path)
    assert served.failures == []


async def test_what_is_resumed_at_an_odd_offset_goes_past_the_page_cache_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithm: Algorithm
) -> None:
    size, offsets, pwrite = 17 * MIB, list[int](), os.pwrite

    def note(descriptor: int, data: memoryview, offset: int) -> int:
        offsets.append(offset)
        return pwrite(descriptor, data, offset)

    async with serve(Files(tmp_path, writable=True)) as served, raw_client(served) as client:
        client.write(put_head(12_345, total=size) + CONTENT[:12_345])
        await client.answer()
        monkeypatch.setattr("aionet.services.files.direct.os.pwrite", note)
        client.write(put_head(size - 12_345, 12_345, total=size) + CONTENT[12_345:size])
        assert (await client.answer())[0] == b"OK 0;received=%d\n" % size
        assert offsets
        assert all(offset % 4096 == 0 for offset in offsets)
        await commit(client, CONTENT[:size], algorithm)
    assert (tmp_path / "file").read_bytes() == CONTENT[:size]


async def test_a_slow_sender(tmp_path: Path, algorithm: Algorithm) -> None:
    content = CONTENT[:300]
    async with serve(Files(tmp_path, writable=True)) as served, raw_client(served) as client:
        client.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for position in range(len(content)):
            client.write((b"" if position else put_head(len(content))) + content[position : position + 1])
            await asyncio.sleep(0)
        assert (await client.answer())[0] == b"OK 0;received=300\n"
        await commit(client, content, algorithm)
    assert (tmp_path / "file").read_bytes() == content


async def test_bodies_in_one_go_and_one_behind_the_other(tmp_path: Path, algorithm: Algorithm) -> None:
    """Where one ends in the middle of what came, the next begins."""
    sizes = [1, 3 * MIB + 1, 70_000, 64 * KIB, 2 * MIB, 5, 4097]
    stream = b"".join(put_head(size, upload=f"u{size}", name=f"f{size}") + CONTENT[:size] for size in sizes)
    async with serve(Files(tmp_path, writable=True)) as served, raw_client(served) as client:
        client.write(stream)
        for size in sizes:
            assert (await client.answer())[0] == b"OK 0;received=%d\n" % size
        for size in sizes:
            await commit(client, CONTENT[:size], algorithm, f"u{size}", f"f{size}")
            assert (tmp_path / f"f{size}").read_bytes() == CONTENT[:size]
    assert served.failures == []


async def test_over_tls(tmp_path: Path, tls_files: TLSFiles, algorithm: Algorithm) -> None:
    router = Router()
    router.add(
        f"tls://127.0.0.1:0?cert={tls_files.server_cert}&key={tls_files.server_key}", Files(tmp_path, writable=True)
    )
    async with Server(router) as server:
        context = ssl.create_default_context(cafile=str(tls_files.ca))
        reader, writer = await asyncio.open_connection("127.0.0.1", server.addresses[0].port, ssl=context)
        client = RawClient(reader, writer)
        size = 5 * MIB + 12_345
        client.write(put_head(size) + CONTENT[:size] + put_head(1, size) + b"x")
        assert (await client.answer())[0] == b"OK 0;received=%d\n" % size
        assert (await client.answer())[0] == b"OK 0;received=%d\n" % (size + 1)
        await commit(client, CONTENT[:size] + b"x", algorithm)
        await client.close()
    assert (tmp_path / "file").read_bytes() == CONTENT[:size] + b"x"


# ---- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "head", "code"),
    [
        ({}, put_head(MIB, name="no/file"), b"NOT_FOUND"),
        ({}, put_head(MIB, 7), b"BAD_RANGE"),
        ({"max_file": MIB - 1}, put_head(MIB, total=MIB), b"TOO_LARGE"),
        ({"max_file": 200_000}, put_head(MIB), b"TOO_LARGE"),
        ({"quota_bytes": 200_000}, put_head(MIB), b"QUOTA"),
        ({"quota_bytes": MIB - 1}, put_head(MIB), b"QUOTA"),
    ],
)
@pytest.mark.parametrize("together", [True, False])
async def test_refused_at_once_in_the_middle_and_at_the_end(
    tmp_path: Path, rule: dict[str, Any], head: bytes, code: bytes, together: bool
) -> None:
    async with serve(Files(tmp_path, writable=True, **rule)) as served, raw_client(served) as client:
        for _ in range(2):  # and the connection goes on
            client.write(head)
            if not together:
                await client.writer.drain()
                await asyncio.sleep(0)
            client.write(CONTENT[:MIB] + put_head(5, upload="other", name="other") + b"12345")
            assert (await client.answer())[0].startswith(b"ERR " + code)
            assert (await client.answer())[0].startswith((b"OK 0;received=5", b"ERR QUOTA"))
            there = await received(client)
            assert there < MIB
            kept = [path.read_bytes() for path in (tmp_path / ".aionet-partial").iterdir()]
            assert not there or CONTENT[:there] in kept
            assert (await client.ask(b"CANCEL;upload=u file"))[0] == b"OK 0\n"
    assert served.failures == []


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("how", ["direct", "cached"])
async def test_a_disk_that_fails_in_the_middle_keeps_what_it_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, how: str, algorithm: Algorithm
) -> None:
    """The third of its calls fails, after it has taken a part."""
    name = "aionet.services.files.direct.os.pwrite" if how == "direct" else "aionet.services.files.partial.os.pwritev"
    original: Callable[..., int] = getattr(os, name.rpartition(".")[2])
    calls = 0

    def fail(descriptor: int, data: Any, offset: int) -> int:
        nonlocal calls
        calls += 1
        if calls == 3:
            original(descriptor, data[:8192] if how == "direct" else [data[0][:5000]], offset)
            raise OSError(number, os.strerror(number))
        return original(descriptor, data, offset)

    size = 17 * MIB + 5
    async with serve(Files(tmp_path, writable=True)) as served, raw_client(served) as client:
        with monkeypatch.context() as patch:
            patch.setattr(name, fail)
            client.write(put_head(size, total=size if how == "direct" else 0) + CONTENT[:size])
            answer, _ = await client.answer()
            assert answer.startswith(b"ERR IO_ERROR" if number == errno.EIO else b"ERR NO_SPACE")
            client.writer.transport.abort()  # more than is passed over was to come
        await until_none_open(tmp_path)
        async with raw_client(served) as client:
            there = await received(client)
            assert 0 < there < size
            client.write(put_head(size - there, there, total=size) + CONTENT[there:size])
            assert (await client.answer())[0] == b"OK 0;received=%d\n" % size
            await commit(client, CONTENT[:size], algorithm)
    assert (tmp_path / "file").read_bytes() == CONTENT[:size]
    assert served.failures == []


# ---- cuts ----------------------------------------------------------------------------------------


def end_of(kind: str, client: RawClient) -> None:
    sock = client.writer.get_extra_info("socket")
    if kind == "eof":
        client.writer.write_eof()
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.writer.transport.abort()


@pytest.mark.parametrize("come", [1, 5, 4095, 4096, 4097, 65_535, 65_536, 65_537, 2 * MIB + 1, 3 * MIB, 4 * MIB - 1])
async def test_a_cut_keeps_all_that_had_come(tmp_path: Path, come: int, algorithm: Algorithm) -> None:
    size = 4 * MIB
    finished: list[TransferFinished] = []
    async with serve(Files(tmp_path, writable=True)) as served:
        served.server.events.subscribe(finished.append, TransferFinished)
        async with raw_client(served) as client:
            client.write(put_head(size) + CONTENT[:come])
            await client.writer.drain()
            client.writer.write_eof()
            assert (await client.rest()).startswith(b"ERR BAD_REQUEST ")
        await until_none_open(tmp_path)
        async with raw_client(served) as client:
            assert await received(client) == come
            client.write(put_head(size - come, come) + CONTENT[come:size])
            assert (await client.answer())[0] == b"OK 0;received=%d\n" % size
            await commit(client, CONTENT[:size], algorithm)
    assert (tmp_path / "file").read_bytes() == CONTENT[:size]
    assert [(event.outcome, event.bytes) for event in finished] == [
        ("INTERRUPTED", come),
        ("OK", size - come),
        ("OK", size),
    ]
    assert served.failures == []


async def test_resets_at_many_places(tmp_path: Path, algorithm: Algorithm) -> None:
    """What the server had read when it was reset is there, and right; the client goes on from there."""
    size = 3 * MIB
    async with serve(Files(tmp_path, writable=True)) as served:
        for come in range(1, size, 201_001):
            async with raw_client(served) as client:
                there = await received(client)
                client.write(put_head(size - there, there) + CONTENT[there : max(there, come)])
                await client.writer.drain()
                end_of("reset", client)
            while served.server.connections:  # noqa: ASYNC110 -- how far it had read is nothing that can be waited for
                await asyncio.sleep(0.01)
        async with raw_client(served) as client:
            there = await received(client)
            client.write(put_head(size - there, there) + CONTENT[there:size])
            assert (await client.answer())[0] == b"OK 0;received=%d\n" % size
            await commit(client, CONTENT[:size], algorithm)
    assert (tmp_path / "file").read_bytes() == CONTENT[:size]
    assert served.failures == []


async def test_a_sender_that_falls_silent_is_cut_and_what_had_come_is_kept(tmp_path: Path) -> None:
    files = Files(tmp_path, writable=True)
    files.timeouts = Timeouts(idle=0.2)
    async with serve(files) as served:
        async with raw_client(served) as client:
            client.write(put_head(MIB) + CONTENT[:100_001])
            await client.rest()
        await until_none_open(tmp_path)
        async with raw_client(served) as client:
            assert await received(client) == 100_001
    assert served.failures == []


async def test_a_drain_keeps_what_had_come(tmp_path: Path) -> None:
    finished: list[TransferFinished] = []
    async with serve(Files(tmp_path, writable=True)) as served, raw_client(served) as client:
        served.server.events.subscribe(finished.append, TransferFinished)
        client.write(put_head(MIB) + CONTENT[:100_001])
        while not descriptors_of_files(tmp_path):  # noqa: ASYNC110 -- a thread opens it and tells nobody
            await asyncio.sleep(0.01)
        draining = asyncio.create_task(served.server.drain())
        assert await client.rest() == b""
        await client.close()  # or it lingers
        await draining
        await until_none_open(tmp_path)
    (kept,) = (tmp_path / ".aionet-partial").iterdir()
    assert CONTENT[:100_001].startswith(kept.read_bytes())
    assert [(event.outcome, event.bytes) for event in finished] == [("INTERRUPTED", kept.stat().st_size)]
    assert served.failures == []


# ---- a disk that hangs ---------------------------------------------------------------------------


class Hanging:
    """Writes that wait, with the bytes they were given before and behind it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.writing, self.go_on = threading.Event(), threading.Event()
        self.names: list[str] = []
        self.seen: list[tuple[bytes, bytes]] = []
        self._write = Upload.write
        monkeypatch.setattr(Upload, "write", lambda upload, pieces, offset: self.write(upload, pieces, offset))

    def write(self, upload: Upload, pieces: list[memoryview], offset: int) -> None:
        if upload.name != "hangs":
            self._write(upload, pieces, offset)
            return
        before = b"".join(pieces)
        self.writing.set()
        assert self.go_on.wait(30)
        self.seen.append((before, b"".join(pieces)))
        self._write(upload, pieces, offset)


@pytest.mark.parametrize("kind", ["eof", "reset", "drain"])
async def test_no_buffer_is_used_again_while_a_thread_is_at_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, algorithm: Algorithm
) -> None:
    hanging = Hanging(monkeypatch)
    files = Files(tmp_path, writable=True)
    async with serve(files) as served:
        async with raw_client(served) as client:
            client.write(put_head(8 * MIB, name="hangs") + CONTENT[: 3 * MIB])
            assert await asyncio.to_thread(hanging.writing.wait, 10)
            if kind == "drain":
                await served.server.drain(timeout=0.05)
            else:
                end_of(kind, client)
        # Another server of the same service, and so of the same buffers and threads: the first is still at its write.
        async with serve(files) as other:
            for number in range(6):
                async with raw_client(other) as client:
                    client.write(put_head(5 * MIB, upload=f"u{number}") + bytes([number]) * 5 * MIB)
                    assert (await client.answer())[0] == b"OK 0;received=%d\n" % (5 * MIB)
                    await commit(client, bytes([number]) * 5 * MIB, algorithm, f"u{number}")
            assert descriptors_of_files(tmp_path)  # it is still open, too
            hanging.go_on.set()
            await until_none_open(tmp_path)
    assert hanging.seen
    assert all(before == behind for before, behind in hanging.seen)
    (kept,) = (tmp_path / ".aionet-partial").iterdir()
    content = kept.read_bytes()
    assert content
    assert CONTENT.startswith(content)
    assert served.failures == []


async def test_a_disk_that_hangs_keeps_nobody_from_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor from the end of the server: what it does not wait for any more ends with its threads."""
    hanging = Hanging(monkeypatch)
    (tmp_path / "small").write_bytes(b"small")
    async with serve(Files(tmp_path, writable=True)) as served:
        clients = [RawClient(*await asyncio.open_connection("127.0.0.1", served.endpoint.port)) for _ in range(20)]
        for number, client in enumerate(clients):  # many more than threads
            client.write(put_head(8 * MIB, upload=f"u{number}", name="hangs") + CONTENT[: 3 * MIB])
        assert await asyncio.to_thread(hanging.writing.wait, 10)
        async with raw_client(served) as reader:
            assert (await reader.ask(b"GET small"))[1] == b"small"
        await served.server.drain(timeout=0.05)
        hanging.go_on.set()
        await until_none_open(tmp_path)
        for client in clients:
            await client.close()
    assert all(before == behind for before, behind in hanging.seen)
    assert served.failures == []


# ---- many of them --------------------------------------------------------------------------------


async def test_fifty_at_once_some_cut_and_each_its_own(tmp_path: Path, algorithm: Algorithm) -> None:
    """More than there are large buffers, threads and kept ones; each is whole, and nothing stays behind."""

    async def upload(number: int) -> None:
        name, size = f"file{number}", 2 * MIB + number * 10_007
        content = CONTENT[number * 4321 :][:size]
        there = 0
        if number % 3 == 0:
            async with raw_client(served) as client:
                client.write(put_head(size, name=name) + content[: size // 2])
                await client.writer.drain()
                client.writer.write_eof()
                await client.rest()
            there = size // 2
        async with raw_client(served) as client:
            client.write(put_head(size - there, there, name=name) + content[there:])
            assert (await client.answer())[0] == b"OK 0;received=%d\n" % size
            await commit(client, content, algorithm, name=name)
        assert (tmp_path / name).read_bytes() == content

    async with serve(Files(tmp_path, writable=True)) as served:
        await upload(0)
        async with raw_client(served) as client:
            await client.ask(b"HELLO")
        before = len(os.listdir("/proc/self/fd"))
        await asyncio.gather(*map(upload, range(1, 51)))
        while served.server.connections:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await until_none_open(tmp_path)
        assert len(os.listdir("/proc/self/fd")) <= before
    assert list((tmp_path / ".aionet-partial").iterdir()) == []
    assert served.failures == []


def handlers_tasks() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == "aionet files"]


@pytest.mark.parametrize("steps", range(0, 40, 3))
async def test_the_handlers_task_cancelled_at_a_step(tmp_path: Path, steps: int, algorithm: Algorithm) -> None:
    """As the drain deadline does: whatever it waited for, the upload can go on, and no buffer is two bodies'."""
    size = 5 * MIB
    async with serve(Files(tmp_path, writable=True)) as served:
        async with raw_client(served) as client:
            client.write(put_head(size) + CONTENT[:size])
            while not (tasks := handlers_tasks()):  # noqa: ASYNC110
                await asyncio.sleep(0)
            for _ in range(steps):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            while served.server.connections:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await until_none_open(tmp_path)
        async with raw_client(served) as client, raw_client(served) as other:
            there = await received(client)
            other.write(put_head(size, upload="v", name="other") + CONTENT[:size][::-1])
            client.write(put_head(size - there, there) + CONTENT[there:size])
            assert (await client.answer())[0] == b"OK 0;received=%d\n" % size
            assert (await other.answer())[0] == b"OK 0;received=%d\n" % size
            await commit(client, CONTENT[:size], algorithm)
            await commit(other, CONTENT[:size][::-1], algorithm, "v", "other")
    assert (tmp_path / "file").read_bytes() == CONTENT[:size]
    assert served.failures == []


def test_a_service_serves_one_loop_after_the_other(tmp_path: Path, algorithm: Algorithm) -> None:
    files = Files(tmp_path, writable=True)

    async def send(size: int) -> None:
        async with serve(files) as served, raw_client(served) as client:
            client.write(put_head(size) + CONTENT[:size])
            assert (await client.answer())[0] == b"OK 0;received=%d\n" % size
            await commit(client, CONTENT[:size], algorithm)
        assert (tmp_path / "file").read_bytes() == CONTENT[:size]

    for size in (3 * MIB + 1, 5 * MIB, 7):
        asyncio.run(send(size))


SERVER = """
import sys
from aionet import Router
from aionet.running import serve
from aionet.services.files.handler import Files
router = Router()
router.add("tcp://127.0.0.1:0", Files(sys.argv[1], writable=True))
serve(router, loop=sys.argv[2], on_started=lambda server: print(server.addresses[0].port, flush=True))
"""


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) * KIB


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize(("count", "come", "most"), [(300, 1, 20), (300, 100_000, 75), (120, 4 * MIB, 240)])
def test_uploads_that_are_slow_take_little_memory(tmp_path: Path, loop: str, count: int, come: int, most: int) -> None:
    """Of the 4 MiB that two buffers of each could hold: also if it began as fast as any."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path), loop], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        sockets: list[socket.socket] = []
        try:
            port = int(process.stdout.readline())
            idle = resident(process.pid)
            for number in range(count):
                sock = socket.create_connection(("127.0.0.1", port))
                sockets.append(sock)
                sock.sendall(put_head(16 * MIB, upload=f"u{number}", name=f"f{number}") + CONTENT[:come])
            with socket.create_connection(("127.0.0.1", port)) as last:  # its turn comes behind that of all others
                last.sendall(b"STAT;upload=x f\n")
                assert last.recv(100) == b"OK 0;received=0\n"
            assert resident(process.pid) - idle < most * MIB
        finally:
            for sock in sockets:
                sock.close()
            process.kill()


async def test_who_sends_slowly_is_heard_before_there_is_enough_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []

    def note(upload: Upload) -> None:
        heard.append(upload.received)

    monkeypatch.setattr(Upload, "heard", note)
    async with serve(Files(tmp_path, writable=True)) as served, raw_client(served) as client:
        client.write(b"PUT;size=10000;upload=u file\n")
        await eventually(lambda: (tmp_path / ".aionet-partial").exists())
        for number in range(5):
            client.write(b"x")
            await eventually(lambda number=number: len(heard) > number)  # type: ignore[misc]
        assert set(heard) == {0}
        client.write(b"x" * 9995)
        assert (await client.answer())[0] == b"OK 0;received=10000\n"
