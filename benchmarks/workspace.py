"""What servers are given to serve: a certificate, and files of known content. Made when first asked for."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import trustme

__all__ = ["PERIOD", "Workspace", "workspace"]

PERIOD = 65521
"""Byte i of each file is ``'a' + (i % PERIOD) % 23``, which the load generator knows (``load/files.c``)."""

MEMORY = Path("/dev/shm")

BLOCK = bytes(97 + i % 23 for i in range(PERIOD)) * 64


class Workspace(Mapping[str, object]):
    """The places ``{cert}``, ``{key}`` and ``{files}`` in a program's arguments, below one directory."""

    PLACES = ("cert", "key", "files")

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @cached_property
    def _identity(self) -> tuple[Path, Path]:
        certificate = trustme.CA().issue_cert("127.0.0.1")
        cert, key = self._directory / "cert.pem", self._directory / "key.pem"
        certificate.private_key_pem.write_to_path(key)
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(cert, append=True)
        return cert, key

    @cached_property
    def files(self) -> Path:
        """The directory with the files."""
        directory = self._directory / "files"
        directory.mkdir()
        directory.chmod(0o755)
        return directory

    def file(self, size: int) -> str:
        """The name of a file of so many bytes in :attr:`files`, in the page cache from now on."""
        name = f"{size}.bin"
        path = self.files / name
        if not path.exists():
            with path.open("wb") as file:
                for left in range(size, 0, -len(BLOCK)):
                    file.write(BLOCK[:left])
        return name

    def many(self, count: int, size: int) -> list[str]:
        """The names of so many files of this size, in a directory of :attr:`files` that has no others."""
        directory = self.files / f"{count}x{size}"
        names = [f"{directory.name}/{number:05}.bin" for number in range(count)]
        if not directory.exists():
            directory.mkdir()
            for name in names:
                (self.files / name).write_bytes(BLOCK[:size])
        return names

    @contextmanager
    def destination(self) -> Iterator[Path]:
        """A new directory to receive into: in memory where there is such a place, or the disk would be measured."""
        place = MEMORY if os.access(MEMORY, os.W_OK) else self._directory
        directory = Path(tempfile.mkdtemp(dir=place, prefix="bench-received-"))
        try:
            yield directory
        finally:
            shutil.rmtree(directory)

    def __getitem__(self, place: str) -> object:
        if place == "files":
            return self.files
        return self._identity[("cert", "key").index(place)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.PLACES)

    def __len__(self) -> int:
        return len(self.PLACES)


@contextmanager
def workspace() -> Iterator[Workspace]:
    """A workspace, gone at last with all that was made in it."""
    directory = Path(tempfile.mkdtemp(prefix="bench-"))
    directory.chmod(0o755)
    try:
        yield Workspace(directory)
    finally:
        shutil.rmtree(directory)
