"""The algorithms that prove what was transferred: SHA-256, and BLAKE3 where its library is installed.

SHA-256 is what every server and client has, what ``sha256sum`` shows, and what a request means that names none. With
the SHA instructions of today's processors it takes 0.6 CPU-s a GB, BLAKE3 0.17: so it is BLAKE3 where both sides have
it. What is hashed for other reasons (names of uploads and of partial files, tokens) has nothing to do with this.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from aionet.errors import ConfigError

from .errors import BadRequest

_new_blake3: Callable[[], Hasher] | None
try:
    from blake3 import blake3 as _new_blake3
except ImportError:  # there are wheels for the common machines only
    _new_blake3 = None

__all__ = ["ALGORITHMS", "DIGEST", "SHA256", "Algorithm", "Data", "Digest", "Hasher", "choose", "find", "preferred"]

DIGEST: Final = 32
"""Bytes of a digest, of whichever algorithm."""

Data = bytes | bytearray | memoryview
"""What can be hashed. While a large piece of it is, other threads run; a ``bytearray`` cannot be resized by them."""


class Hasher(Protocol):
    """What hashes one content, piece by piece, in the thread that calls it."""

    def update(self, data: Data, /) -> object:
        """More of the content."""
        ...

    def digest(self) -> bytes:
        """Of what came so far: 32 bytes. More may come."""
        ...

    def hexdigest(self) -> str:
        """The same in 64 small hexadecimal digits."""
        ...


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One of them.

    Attributes:
        name: In the protocol, on command lines and in programs: ``sha256``.
        title: For people: ``SHA-256``.
        new: Makes what hashes one content.
    """

    name: str
    title: str
    new: Callable[[], Hasher]

    @property
    def option(self) -> dict[str, str]:
        """What a request says of it: nothing of SHA-256, so that servers understand it that know no other."""
        return {} if self.name == SHA256.name else {"hash": self.name}

    def hexdigest(self, data: Data) -> str:
        """The digest of a whole content, in 64 small hexadecimal digits."""
        hasher = self.new()
        hasher.update(data)
        return hasher.hexdigest()


@dataclass(frozen=True, slots=True)
class Digest:
    """A digest and what it was made by: two that differ in either are not the same.

    Attributes:
        algorithm: By which.
        value: In hexadecimal, as the other side said it or this one has reckoned it.
    """

    algorithm: Algorithm
    value: str


SHA256: Final = Algorithm("sha256", "SHA-256", hashlib.sha256)
"""What everybody has."""

ALGORITHMS: Final[Mapping[str, Algorithm]] = MappingProxyType(
    ({"blake3": Algorithm("blake3", "BLAKE3", _new_blake3)} if _new_blake3 is not None else {}) | {"sha256": SHA256}
)
"""Those that this machine has, by their names, the preferred ones first."""


def find(name: str) -> Algorithm:
    """The algorithm that a user named.

    Raises:
        ConfigError: this machine does not have it.
    """
    if name not in ALGORITHMS:
        raise ConfigError(
            f"hash {name!r} is not to be had here: it is one of {', '.join(ALGORITHMS)}",
            hint="pip install blake3" if name == "blake3" else None,
        )
    return ALGORITHMS[name]


def choose(names: Iterable[str] | None) -> Mapping[str, Algorithm]:
    """The algorithms that a server offers, by their names.

    Args:
        names: The preferred ones first; ``None``: all that this machine has.

    Raises:
        ConfigError: this machine does not have one of them; or SHA-256 is not among them.
    """
    if names is None:
        return ALGORITHMS
    chosen = {name: find(name) for name in names}
    if SHA256.name not in chosen:
        raise ConfigError("a file server offers sha256, whatever else: it is what a request means that names none")
    return chosen


def preferred(theirs: Sequence[str], wanted: Algorithm | None = None) -> Algorithm:
    """What a client takes.

    Args:
        theirs: Names of those that the server has, its preferred ones first; others than ours are passed over.
        wanted: What the user asked for; ``None``: the first of theirs that is here too.

    Raises:
        BadRequest: the server does not have what is wanted.
    """
    if wanted is None:
        return next((ALGORITHMS[name] for name in theirs if name in ALGORITHMS), SHA256)
    if wanted is not SHA256 and wanted.name not in theirs:
        raise BadRequest(f"the server does not have {wanted.title}", hint=f"it has {', '.join(theirs)}")
    return wanted
