"""Hashes of a file: one for each chunk, so that a part can be proven before it is relied on, and one for the whole.

They are by the algorithm that the request names: BLAKE3 takes 0.17 CPU-s a GB, SHA-256, which everybody has a command
for and which is meant where none is named, 0.6. Both keep up with 10 Gbit/s on one core.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from .entries import tag_of
from .errors import Changed, from_os_error, shown
from .hashing import DIGEST, SHA256, Algorithm, Hasher

__all__ = ["CHUNK", "Hashes", "Part"]

CHUNK: Final = 4 * 1024 * 1024
"""Bytes that one digest stands for: of 5 GiB, 1280 digests in 83 kB; and bytes that are sent anew when one differs."""

_READ: Final = 1024 * 1024
"""Bytes read at once."""

_PART: Final = 16 * CHUNK
"""Bytes whose digests are sent together: some 80 ms of a thread, so that a client sees that it goes on."""

_CACHED: Final = 8 * 1024 * 1024
"""Bytes of digests that are kept: of 1 TiB of files."""

_SETTLED: Final = 50_000_000
"""Nanoseconds after which a file's time tells one change from the next (the tick of older kernels is 4 ms)."""


@dataclass(frozen=True, slots=True)
class Part:
    """Digests of some chunks, one behind the other.

    Attributes:
        offset: Where the first chunk begins, bytes.
        digests: Of 32 bytes each.
        last: Whether no other part follows.
        whole: In the last part the digest of the whole file, in hexadecimal; ``""`` if it was not asked for.
    """

    offset: int
    digests: tuple[bytes, ...]
    last: bool
    whole: str


@dataclass(frozen=True, slots=True)
class _Known:
    """Of one version of one file: the digests of all its chunks, joined, if they were asked for; and of the whole."""

    chunks: bytes | None
    whole: str


class Hashes:
    """Hashes files, and remembers those of versions that cannot change any more. Blocks; for threads, any number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()  # by tag, and name of the algorithm
        self._size = 0

    def manifest(
        self,
        descriptor: int,
        name: str,
        algorithm: Algorithm = SHA256,
        *,
        offset: int = 0,
        length: int | None = None,
        chunks: bool = True,
    ) -> Iterator[Part]:
        """The digests of a file, part by part.

        Args:
            descriptor: The file, open for reading; stays the caller's.
            name: What errors call it.
            algorithm: Of the digests.
            offset: Of the first byte wanted; begins a chunk.
            length: Bytes wanted; ``None``: all, and if ``offset`` is 0 the digest of the whole too.
            chunks: Whether the digests of the chunks are wanted.

        Raises:
            Changed: it became another version meanwhile.
            TransferError: it cannot be read.
        """
        found = os.fstat(descriptor)
        tag, size = tag_of(found), found.st_size
        end = size if length is None else min(size, -(-(offset + length) // CHUNK) * CHUNK)  # whole chunks
        whole = length is None and not offset
        key = (tag, algorithm.name)
        known = self._recall(key)
        if known is not None and (known.chunks is not None or not chunks):
            yield from _repeat(known, offset, end, chunks=chunks, whole=whole)
            return
        digests: list[bytes] = []
        for part in _hash(descriptor, name, algorithm, tag, offset, end, chunks=chunks, whole=whole):
            digests += part.digests
            yield part
        if whole and time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) > _SETTLED:
            self._remember(key, _Known(b"".join(digests) if chunks else None, part.whole))

    def _recall(self, key: tuple[str, str]) -> _Known | None:
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
            return known

    def _remember(self, key: tuple[str, str], known: _Known) -> None:
        with self._lock:
            old = self._known.pop(key, None)
            self._known[key] = known
            self._size += _size_of(known) - (_size_of(old) if old is not None else 0)
            while self._size > _CACHED:
                self._size -= _size_of(self._known.popitem(last=False)[1])


def _size_of(known: _Known) -> int:
    return 400 + len(known.chunks or b"")  # what the objects around the digests take


def _repeat(known: _Known, offset: int, end: int, *, chunks: bool, whole: bool) -> Iterator[Part]:
    wanted = (known.chunks or b"")[DIGEST * (offset // CHUNK) : DIGEST * -(-end // CHUNK)] if chunks else b""
    digests = [wanted[at : at + DIGEST] for at in range(0, len(wanted), DIGEST)]
    per_part = _PART // CHUNK
    for at in range(0, max(len(digests), 1), per_part):
        last = at + per_part >= len(digests)
        yield Part(
            offset + at * CHUNK,
            tuple(digests[at : at + per_part]),
            last=last,
            whole=known.whole if last and whole else "",
        )


def _hash(
    descriptor: int, name: str, algorithm: Algorithm, tag: str, offset: int, end: int, *, chunks: bool, whole: bool
) -> Iterator[Part]:
    buffer = memoryview(bytearray(_READ))
    all_of_it = algorithm.new() if whole and (not chunks or end > CHUNK or not end) else None
    for begun in range(offset, max(end, offset + 1), _PART):
        digests: list[bytes] = []
        stop = min(end, begun + _PART)
        for at in range(begun, stop, CHUNK):
            chunk = algorithm.new() if chunks else None
            _read_into(descriptor, name, buffer, at, min(stop, at + CHUNK), [h for h in (chunk, all_of_it) if h])
            if chunk is not None:
                digests.append(chunk.digest())
        if tag_of(os.fstat(descriptor)) != tag:
            raise Changed(f"{shown(name)} was changed while it was hashed")
        digest = ""
        if whole and stop == end:
            digest = (all_of_it.digest() if all_of_it is not None else digests[0]).hex()
        yield Part(begun, tuple(digests), last=stop == end, whole=digest)


def _read_into(descriptor: int, name: str, buffer: memoryview, at: int, stop: int, hashes: Sequence[Hasher]) -> None:
    while at < stop:
        try:
            count = os.preadv(descriptor, [buffer[: stop - at]], at)
        except OSError as exc:
            raise from_os_error(exc, name) from None
        if not count:
            raise Changed(f"{shown(name)} became smaller while it was hashed")
        for each in hashes:
            each.update(buffer[:count])
        at += count
