"""The commands of AIONET-FILES 1. The lines that ``HELLO`` shows are the table by which requests are checked.

An option or a name that a command does not have is refused, never passed over: it could change what is meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypedDict, cast
from urllib.parse import quote, unquote

from .entries import parse_time
from .errors import BadRequest
from .hashing import ALGORITHMS, Algorithm
from .wire import Request

__all__ = ["READING", "WRITING", "Command", "Options", "commands", "escape_name", "read_options"]

READING: Final = (
    "HELLO",
    "AUTH token",
    "STAT[;upload=ID] [name]",
    "LIST[;limit=N][;after=NAME] [name]",
    "GET[;offset=N][;length=N][;tag=TAG][;hash=ALGORITHM] name",
    "HASH[;offset=N][;length=N][;chunks=0][;upload=ID][;hash=ALGORITHM] name",
    "QUIT",
)
"""Every server has these."""

WRITING: Final = (
    "PUT;size=N;upload=ID[;offset=N][;total=N][;hash=ALGORITHM] name",
    "COMMIT;upload=ID;total=N;digest=HEX[;hash=ALGORITHM][;mtime=TIME][;tag=TAG][;new=1] name",
    "CANCEL;upload=ID name",
    "MKDIR name",
    "DELETE[;tag=TAG] name",
    "RENAME;size=N[;replace=1] name",
)
"""Servers that take files have these too."""

_OPTION: Final = re.compile(r"(\[?);([a-z]+)=(\w+)")
_NUMBER: Final = re.compile(r"[0-9]{1,19}")
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TAG: Final = re.compile(r"[A-Za-z0-9]{1,64}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class Options(TypedDict, total=False):
    """Options by key, read. Those that the command needs are there."""

    upload: str
    offset: int
    length: int
    limit: int
    total: int
    after: str
    tag: str
    digest: str
    hash: Algorithm
    """Of the digests; without it SHA-256."""
    mtime: int
    """Nanoseconds since the epoch."""
    chunks: bool
    new: bool
    replace: bool


@dataclass(frozen=True, slots=True)
class Command:
    """One command, as its usage line says it.

    Attributes:
        usage: How it is typed.
        writes: Whether it changes what is served.
        options: By key, what reads a value; it raises ValueError.
        needed: Keys that must be given.
        takes_body: Whether bytes may follow it.
        takes_name: Whether it has a name.
        needs_name: Whether it is nothing without.
    """

    usage: str
    writes: bool
    options: Mapping[str, Callable[[str], object]]
    needed: frozenset[str]
    takes_body: bool
    takes_name: bool
    needs_name: bool


def commands(*, writable: bool, algorithms: Mapping[str, Algorithm] = ALGORITHMS) -> dict[str, Command]:
    """The commands of a server by their verbs, in the order in which it shows them.

    Args:
        writable: Whether it takes files.
        algorithms: Those that the option ``hash`` may name.
    """
    readers = {**_READERS, "ALGORITHM": _one_of(algorithms)}
    return {
        usage.partition(" ")[0].partition(";")[0].rstrip("["): _parse(usage, readers, writes=usage in WRITING)
        for usage in (*READING, *(WRITING if writable else ()))
    }


def _parse(usage: str, readers: Mapping[str, Callable[[str], object]], *, writes: bool) -> Command:
    head, _, name = usage.partition(" ")
    found = _OPTION.findall(head)
    return Command(
        usage,
        writes,
        {key: readers[value] for _, key, value in found if key != "size"},
        frozenset(key for bracket, key, _ in found if not bracket and key != "size"),
        takes_body=";size=" in head,
        takes_name=bool(name),
        needs_name=bool(name) and not name.startswith("["),
    )


def read_options(command: Command, request: Request) -> Options:
    """The options of a request, checked and read.

    Raises:
        BadRequest: with what does not fit the usage line.
    """
    verb = request.verb
    if request.size and not command.takes_body:
        raise BadRequest(f"{verb} takes no body")
    if request.name and not command.takes_name:
        raise BadRequest(f"{verb} takes no name")
    if not request.options and not command.needed:
        return {}
    options: dict[str, Any] = {}
    for key, value in request.options.items():
        read = command.options.get(key)
        if read is None:
            raise BadRequest(f"{verb} has no option {key}; it is: {command.usage}")
        try:
            options[key] = read(value)
        except ValueError as exc:
            raise BadRequest(f"{key}={value[:60]!a} of {verb}: {exc}") from None
    missing = command.needed - options.keys()
    if missing:
        raise BadRequest(f"{verb} needs {min(missing)}=...; it is: {command.usage}")
    return cast(Options, options)


def escape_name(name: str) -> str:
    """A name as the value of an option: ``%20`` for a space (RFC 3986)."""
    return quote(name, safe="")


def _unescape_name(value: str) -> str:
    return unquote(value, errors="strict")


def _read_number(value: str) -> int:
    if not _NUMBER.fullmatch(value):
        raise ValueError("not a whole number of at most 19 digits")
    return int(value)


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"not {what}")
        return value

    return read


def _one_of(algorithms: Mapping[str, Algorithm]) -> Callable[[str], Algorithm]:
    def read(value: str) -> Algorithm:
        if value not in algorithms:
            raise ValueError(f"this server has {', '.join(algorithms)}")
        return algorithms[value]

    return read


def _flag(given: str) -> Callable[[str], bool]:
    def read(value: str) -> bool:
        if value != given:
            raise ValueError(f"it can only be {given}")
        return given == "1"

    return read


_READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "N": _read_number,
    "ID": _matching(_ID, "1 to 64 letters, digits, '-' and '_'"),
    "TAG": _matching(_TAG, "a tag, as STAT tells it"),
    "HEX": _matching(_DIGEST, "a digest in 64 small hexadecimal digits"),
    "TIME": parse_time,
    "NAME": _unescape_name,
    "0": _flag("0"),
    "1": _flag("1"),
}
"""What reads a value, by the word that stands for it in a usage line; ``ALGORITHM`` is each server's own."""
