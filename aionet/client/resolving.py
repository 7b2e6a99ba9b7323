"""Look-ups as values: names, addresses, services, and who this machine is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from ..core.interfaces import OwnAddress, own_addresses
from ..core.resolving import (
    Family,
    Found,
    NamedService,
    full_host_name,
    host_name,
    legacy_address,
    look_up,
    look_up_address,
    look_up_service,
)
from ..errors import ResolveError
from .addresses import AddressFacts, address_facts, read_packed

__all__ = [
    "Family",
    "LocalHost",
    "NamedService",
    "OwnAddress",
    "Resolution",
    "ResolvedAddress",
    "find_services",
    "local_host",
    "resolve",
]

MAX_REVERSE: Final = 16
"""Reverse look-ups at once: each takes a thread."""


@dataclass(frozen=True, slots=True)
class ResolvedAddress:
    """One address of a name.

    Attributes:
        found: Family, socket type, address and port.
        facts: Its other forms.
        names: What the reverse look-up found, the official name first; empty where none was asked for, or it failed.
        failure: How the reverse look-up failed, or ``None``.
    """

    found: Found
    facts: AddressFacts
    names: tuple[str, ...] = ()
    failure: ResolveError | None = None


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a look-up came to.

    Attributes:
        query: What was asked.
        canonical: The name it really has (that of the CNAME record), or ``query``.
        addresses: In the order in which they should be tried (RFC 6724).
        legacy: ``query`` is no address as people write them, but ``inet_aton``, and so most programs, read it as one.
    """

    query: str
    canonical: str
    addresses: tuple[ResolvedAddress, ...]
    legacy: bool = False


@dataclass(frozen=True, slots=True)
class LocalHost:
    """This machine.

    Attributes:
        name: What ``gethostname`` says.
        full_name: What the resolver makes of it (``getfqdn``); ``None`` where it did not answer.
        addresses: Those of its interfaces, as the kernel knows them.
        failure: Why there is no ``full_name``, or ``None``.
    """

    name: str
    full_name: str | None
    addresses: tuple[OwnAddress, ...]
    failure: ResolveError | None = None


async def resolve(
    name: str,
    *,
    service: str | int | None = None,
    family: Family = "any",
    reverse: bool = False,
    every: bool = False,
    timeout: float = 5.0,
) -> Resolution:
    """Look a name up; tell about an address. Never blocks the loop, and a resolver that hangs delays no exit.

    Args:
        name: A name or an address; also ``127.1``, ``0x7f000001``, and ``0x`` with 32 digits for IPv6.
        service: By name or number: the port of what is found.
        family: ``"4"`` or ``"6"``, or both.
        reverse: Also look up the names of each address.
        every: One entry for each socket type, as ``getaddrinfo`` gives them.
        timeout: Seconds for each step: the look-up, and the reverse look-ups.

    Raises:
        ResolveError: the look-up failed; ``step`` and the message say where. A reverse look-up that fails does not
            raise: see :attr:`ResolvedAddress.failure`.
        ResolveTimeout: it was given up.
    """
    asked = read_packed(name) or name.removeprefix("[").removesuffix("]")
    canonical, found = await look_up(asked, service, family=family, every=every, timeout=timeout)
    outcomes = await _reverse_all({each.address for each in found}, timeout) if reverse else {}
    addresses = []
    for each in found:
        outcome = outcomes.get(each.address, ())
        failure = outcome if isinstance(outcome, ResolveError) else None
        names = () if isinstance(outcome, ResolveError) else outcome
        addresses.append(ResolvedAddress(each, address_facts(each.address), names, failure))
    legacy = legacy_address(asked) not in (None, asked)
    return Resolution(name, found[0].address if legacy else canonical, tuple(addresses), legacy)


async def find_services(which: str | int, *, timeout: float = 5.0) -> tuple[NamedService, ...]:
    """The services of a name, or on a port, over TCP and UDP.

    Raises:
        ResolveError: none is known.
        ResolveTimeout: the look-up was given up.
    """
    return tuple(await look_up_service(which, timeout=timeout))


async def local_host(*, timeout: float = 5.0) -> LocalHost:
    """This machine's name and addresses. A resolver that does not answer costs ``timeout``, and the full name.

    Raises:
        OSError: the system does not tell its addresses.
    """
    addresses = tuple(own_addresses())
    try:
        return LocalHost(host_name(), await full_host_name(timeout=timeout), addresses)
    except ResolveError as exc:
        return LocalHost(host_name(), None, addresses, exc)


async def _reverse_all(addresses: set[str], timeout: float) -> dict[str, tuple[str, ...] | ResolveError]:
    slots = asyncio.Semaphore(MAX_REVERSE)

    async def reverse(address: str) -> tuple[str, ...] | ResolveError:
        async with slots:
            try:
                return await look_up_address(address, timeout=timeout)
            except ResolveError as exc:
                return exc

    ordered = sorted(addresses)
    return dict(zip(ordered, await asyncio.gather(*map(reverse, ordered)), strict=True))
