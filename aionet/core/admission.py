"""How many connections there may be: in all, from one address, and for the descriptors this process has left."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Protocol

from ..events import Address
from ..limits import Limits

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

__all__ = ["TOO_MANY", "Admission", "DescriptorBudget", "Waiting", "address_key", "descriptor_budget"]

TOO_MANY: Final = "its address has too many connections already"
"""Why a connection is refused whose address is :meth:`Admission.crowded`."""

MAX_BACKLOG: Final = 4096
_BESIDE: Final = 512
_LOOPBACK: Final = ("127.", "::ffff:127.")  # and ::1, which begins other addresses as well


class Waiting(Protocol):
    """A listener that stopped accepting, or keeps accepted connections waiting."""

    def make_room(self) -> None:
        """A connection has left: let others in, as far as the limits allow."""


class Admission:
    """Counts connections against limits; a route's own passes on to the server's.

    Attributes:
        count: Connections admitted and not gone.
        limit: How many there may be.
        on_empty: Called when the last one is gone.
    """

    __slots__ = ("_addresses", "_parent", "_per_address", "_waiting", "count", "limit", "on_empty")

    def __init__(self, limit: int, per_address: int, parent: Admission | None = None) -> None:
        self.count = 0
        self.limit = limit
        self._per_address = per_address
        self._parent = parent
        self._addresses: dict[Hashable, int] = {}
        self._waiting: list[Waiting] = []
        self.on_empty: Callable[[], None] | None = None

    @property
    def full(self) -> bool:
        """Whether nobody more may come, here or above."""
        return self.count >= self.limit or (self._parent is not None and self._parent.full)

    def crowded(self, key: Hashable) -> bool:
        """Whether this address (``None``: one that is not counted) has all the connections it may have."""
        if key is None:
            return False
        return self._addresses.get(key, 0) >= self._per_address or (
            self._parent is not None and self._parent.crowded(key)
        )

    def add(self, key: Hashable) -> None:
        """Admit one."""
        self.count += 1
        self._count(key, 1)
        if self._parent is not None:
            self._parent.add(key)

    def move(self, old: Hashable, new: Hashable) -> None:
        """One that was admitted turns out to be of another address. Whether that has room for it: :meth:`crowded`."""
        self._count(old, -1)
        self._count(new, 1)
        if self._parent is not None:
            self._parent.move(old, new)

    def _count(self, key: Hashable, change: int) -> None:
        if key is not None:
            count = self._addresses.get(key, 0) + change
            if count:
                self._addresses[key] = count
            else:
                del self._addresses[key]

    def remove(self, key: Hashable) -> None:
        """One is gone; whoever waits for room may go on."""
        self.count -= 1
        self._count(key, -1)
        if self._parent is not None:
            self._parent.remove(key)
        if not self.count and self.on_empty is not None:
            self.on_empty()
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for listener in waiting:
                listener.make_room()

    def wait_for_room(self, listener: Waiting) -> None:
        """Call ``listener.make_room()`` once, when a connection leaves."""
        if listener not in self._waiting:
            self._waiting.append(listener)
        if self._parent is not None:
            self._parent.wait_for_room(listener)


def address_key(peer: Address) -> Hashable:
    """What one address is counted by; ``None`` for those that are not: loopback, Unix sockets.

    IPv6 is counted by /64, the least that one customer is given (RFC 6177), and so the least that one can call from.
    """
    host = str(peer[0]) if isinstance(peer, tuple) and peer else None
    if host is None or host == "::1" or host.startswith(_LOOPBACK):
        return None
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host.partition("%")[0])
    mapped = address.ipv4_mapped
    return str(mapped) if mapped is not None else address.packed[:8]


@dataclass(frozen=True, slots=True)
class DescriptorBudget:
    """How many connections the process can bear, and how many may queue in the kernel for each listening socket."""

    connections: int
    backlog: int


def descriptor_budget(limits: Limits, listeners: int = 1, *, exact: bool = False) -> DescriptorBudget:
    """Keep clear of RLIMIT_NOFILE, also when the queues of so many listening sockets are accepted at one moment.

    Out of descriptors, ``accept`` fails in ways no handler sees: asyncio calls its exception handler hundreds of
    times, uvloop closes clients silently. So a tenth of the limit is kept free, and no more may queue in the kernel
    than could be accepted at once without touching the limit.

    Args:
        limits: For ``max_connections``.
        listeners: How many sockets listen.
        exact: They stop accepting at the very connection that fills the house, as native ones do. What queues takes
            none of our descriptors then; and of a large limit no more than 512 are kept for files and the like.
    """
    if resource is None:
        return DescriptorBudget(limits.max_connections, MAX_BACKLOG)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return DescriptorBudget(limits.max_connections, MAX_BACKLOG)
    free = soft - _descriptors_in_use()
    reserve = max(16, soft // 10)
    if exact:
        beside = max(16, min(soft // 10, _BESIDE)) + 2 * listeners  # their own, and one that each accepted and parked
        return DescriptorBudget(max(1, min(limits.max_connections, free - beside)), MAX_BACKLOG)
    connections = max(1, min(limits.max_connections, free - 2 * reserve))
    # asyncio makes a transport of what it accepted some turns of the loop later, and counts it then: meanwhile it may
    # accept the whole queue three times.
    backlog = max(1, min(MAX_BACKLOG, (free - connections) // (4 * max(1, listeners))))
    return DescriptorBudget(connections, backlog)


def _descriptors_in_use() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 64  # no /proc: a guess on the safe side
