from __future__ import annotations

import os
from pathlib import Path

import pytest

from aionet.services.files.client.hashed import READ, HashedFile
from aionet.services.files.errors import Changed, TransferError
from aionet.services.files.hashing import SHA256, Algorithm, Digest


class Opened(HashedFile):
    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._fd = os.open(path, os.O_RDONLY)


def test_the_hash_of_what_is_there(tmp_path: Path, algorithm: Algorithm) -> None:
    data = os.urandom(2 * READ + 3)
    (tmp_path / "file").write_bytes(data)
    file = Opened(tmp_path / "file")
    file.take_in(0, b"?" if algorithm is not SHA256 else b"")  # what was hashed by another is hashed again
    file.hash_with(algorithm)
    file.take_in(0, data[:100])
    file.take_in(50, b"not what continues it")
    file.hash_up_to(len(data))
    assert file.hashed == len(data)
    assert file.digest() == Digest(algorithm, algorithm.hexdigest(data))
    with pytest.raises(Changed, match="smaller"):
        file.hash_up_to(len(data) + 1)
    file.close()
    file.close()
    assert file.fileno() == -1
    with pytest.raises(TransferError):
        file.read(0, 1)
