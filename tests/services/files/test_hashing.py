"""The algorithms: what each says, and which one is taken."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from aionet.errors import ConfigError
from aionet.services.files.errors import BadRequest
from aionet.services.files.hashing import ALGORITHMS, DIGEST, SHA256, Algorithm, Data, Digest, choose, find, preferred

BLAKE3 = ALGORITHMS["blake3"]
EMPTY = {
    "blake3": "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",  # of the authors' test vectors
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",  # FIPS 180-4
}


def test_what_there_is() -> None:
    assert list(ALGORITHMS) == ["blake3", "sha256"]
    for name, each in ALGORITHMS.items():
        assert each.name == name
        assert each.hexdigest(b"") == EMPTY[name]
        assert len(each.new().digest()) == DIGEST
    assert (BLAKE3.title, SHA256.title) == ("BLAKE3", "SHA-256")
    assert (BLAKE3.option, SHA256.option) == ({"hash": "blake3"}, {})


@given(st.lists(st.binary(max_size=5000), max_size=5))
def test_pieces_of_any_size_and_kind(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    expected = {"blake3": blake3(whole).hexdigest(), "sha256": hashlib.sha256(whole).hexdigest()}
    kinds = (bytes, bytearray, memoryview, lambda piece: memoryview(bytearray(piece)))
    for algorithm in ALGORITHMS.values():
        hasher = algorithm.new()
        for number, piece in enumerate(pieces):
            data: Data = kinds[number % len(kinds)](piece)
            hasher.update(data)
        assert hasher.hexdigest() == hasher.digest().hex() == expected[algorithm.name]
        assert algorithm.hexdigest(bytearray(whole)) == expected[algorithm.name]


def test_a_bytearray_that_was_hashed_can_grow(algorithm: Algorithm) -> None:
    data, hasher = bytearray(100_000), algorithm.new()
    hasher.update(data)
    data += b"more"
    hasher.update(memoryview(data)[100_000:])
    assert hasher.hexdigest() == algorithm.hexdigest(data)


def test_digests_by_two_algorithms_are_never_the_same() -> None:
    assert Digest(SHA256, "00") == Digest(SHA256, "00")
    assert Digest(SHA256, "00") != Digest(BLAKE3, "00")


def test_what_a_client_takes() -> None:
    assert preferred(["blake3", "sha256"]) is BLAKE3
    assert preferred(["sha256", "blake3"]) is SHA256
    assert preferred(["md5", "blake3"]) is BLAKE3
    assert preferred([]) is preferred(["md5"]) is preferred(["blake3"], SHA256) is SHA256
    assert preferred(["sha256", "blake3"], BLAKE3) is BLAKE3
    with pytest.raises(BadRequest, match="does not have BLAKE3") as caught:
        preferred(["sha256"], BLAKE3)
    assert caught.value.hint == "it has sha256"


def test_what_a_server_offers() -> None:
    assert choose(None) is ALGORITHMS
    assert list(choose(["sha256", "blake3"])) == ["sha256", "blake3"]
    with pytest.raises(ConfigError, match="offers sha256"):
        choose(["blake3"])
    with pytest.raises(ConfigError, match="'md5' is not to be had here"):
        find("md5")


def test_a_machine_without_blake3_has_the_other() -> None:
    code = """
import sys
sys.modules["blake3"] = None  # as if it were not installed
from aionet.services.files.hashing import ALGORITHMS, find, preferred
assert list(ALGORITHMS) == ["sha256"], ALGORITHMS
assert preferred(["blake3", "sha256"]).name == "sha256"
try:
    find("blake3")
except Exception as exc:
    print(exc, exc.hint, sep="; ")
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told == "hash 'blake3' is not to be had here: it is one of sha256; pip install blake3\n"
