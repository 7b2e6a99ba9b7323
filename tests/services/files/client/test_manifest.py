from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from aionet.services.files.client.manifest import Manifest, join_ranges
from aionet.services.files.hashing import ALGORITHMS, SHA256, Algorithm, Digest

CHUNK = 1000


def manifest_of(data: bytes, algorithm: Algorithm = SHA256) -> Manifest:
    chunks = tuple(algorithm.hexdigest(data[at : at + CHUNK]) for at in range(0, len(data), CHUNK))
    return Manifest(len(data), CHUNK, chunks, Digest(algorithm, algorithm.hexdigest(data)))


@given(
    st.binary(min_size=1, max_size=8 * CHUNK),
    st.sets(st.integers(0, 8 * CHUNK - 1), max_size=5),
    st.sampled_from([*ALGORITHMS.values()]),
)
def test_exactly_the_damaged_chunks_are_unproven(data: bytes, damaged: set[int], algorithm: Algorithm) -> None:
    there = bytearray(data)
    for at in damaged:
        if at < len(there):
            there[at] ^= 1
    expected = sorted({at // CHUNK for at in damaged if at < len(data)})
    proven: list[int] = []
    manifest = manifest_of(data, algorithm)
    found = manifest.unproven(lambda at, size: bytes(there[at : at + size]), told=proven.append)
    assert found == expected
    assert sum(proven) + sum(end - start for start, end in manifest.ranges(found)) == len(data)


def test_what_is_too_short_is_unproven_from_there_on() -> None:
    data = os.urandom(5 * CHUNK)
    assert manifest_of(data).unproven(lambda at, size: data[: 2 * CHUNK + 1][at : at + size]) == [2, 3, 4]


def test_a_hole_is_not_read_and_proves_zeros_alone(algorithm: Algorithm) -> None:
    data = os.urandom(CHUNK) + bytes(CHUNK) + os.urandom(CHUNK)
    read: list[int] = []

    def read_there(at: int, size: int) -> bytes:
        read.append(at)
        return (data[:CHUNK] + bytes(2 * CHUNK))[at : at + size]

    assert manifest_of(data, algorithm).unproven(read_there, lambda at: at if at < CHUNK else 3 * CHUNK) == [2]
    assert read == [0]


def test_ranges() -> None:
    manifest = manifest_of(bytes(4 * CHUNK + 7))
    assert manifest.range(4) == (4 * CHUNK, 4 * CHUNK + 7)
    assert manifest.ranges([4, 0, 1, 3]) == [(0, 2 * CHUNK), (3 * CHUNK, 4 * CHUNK + 7)]
    assert manifest.describe(4) == "chunk 4 (bytes 4000 to 4006)"
    assert join_ranges([]) == []
    assert join_ranges([(0, 0), (3, 5), (5, 5)]) == [(3, 5)]
