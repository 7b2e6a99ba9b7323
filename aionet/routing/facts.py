"""Connections by what is known of them before a byte has come: who it is, and that nothing comes."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass

from ..errors import ConfigError
from ..events import Address
from ..matching import ConnectionFacts, Matcher, Verdict

try:
    import pwd
except ImportError:  # Windows
    pwd = None  # type: ignore[assignment]

__all__ = ["Anything", "Peer", "Silence", "UnixUser", "anything", "peer", "silence", "unix_user"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, repr=False)
class Anything(Matcher):
    """See :func:`anything`."""

    @property
    def max_size(self) -> int:
        return 0

    def match(self, data: bytes, facts: ConnectionFacts) -> Verdict:
        return Verdict.MATCH

    def covers(self, other: Matcher) -> bool:
        return True

    def __repr__(self) -> str:
        return "anything()"


def anything() -> Matcher:
    """Every connection, at once. A default route is asked last instead, and waits for what others may match."""
    return Anything()


@dataclass(frozen=True, slots=True, repr=False)
class Silence(Matcher):
    """See :func:`silence`."""

    seconds: float

    @property
    def max_size(self) -> int:
        return 1  # the first byte rules it out

    @property
    def silence(self) -> float | None:
        return self.seconds

    def match(self, data: bytes, facts: ConnectionFacts) -> Verdict:
        if data:
            return Verdict.NO_MATCH
        return Verdict.MATCH if facts.silent else Verdict.NEED_MORE

    def __repr__(self) -> str:
        return f"silence({self.seconds:g})"


def silence(seconds: float = 1.0) -> Matcher:
    """Clients that say nothing for so long: for protocols in which the server speaks first (SMTP, FTP, a chat).

    They wait that long for its first words, on a port that several routes share. One route of a port at most.

    Raises:
        ConfigError: ``seconds`` is not a positive, finite number.
    """
    if not 0 < seconds < math.inf:
        raise ConfigError(f"silence takes a positive number of seconds, not {seconds!r}")
    return Silence(seconds)


@dataclass(frozen=True, slots=True, repr=False)
class Peer(Matcher):
    """See :func:`peer`."""

    networks: tuple[Network, ...]

    @property
    def max_size(self) -> int:
        return 0

    @property
    def alternatives(self) -> tuple[Matcher, ...]:
        return tuple(Peer((network,)) for network in self.networks)

    def match(self, data: bytes, facts: ConnectionFacts) -> Verdict:
        address = _address(facts.peer)
        inside = address is not None and any(address in network for network in self.networks)
        return Verdict.MATCH if inside else Verdict.NO_MATCH

    def covers(self, other: Matcher) -> bool:
        return isinstance(other, Peer) and all(
            any(_inside(one, two) for two in self.networks) for one in other.networks
        )

    def __repr__(self) -> str:
        return f"peer({', '.join(repr(str(network)) for network in self.networks)})"


def peer(*networks: str) -> Matcher:
    """Clients of these networks, such as ``"10.0.0.0/8"``, ``"::1"``. No Unix socket has one.

    An IPv4 address that an IPv6 socket shows as ``::ffff:10.0.0.1`` counts as what it is.

    Raises:
        ConfigError: none is given, or one is no network.
    """
    if not networks:
        raise ConfigError("peer() needs at least one network", hint="peer('10.0.0.0/8')")
    try:
        return Peer(tuple(ipaddress.ip_network(network) for network in networks))
    except ValueError as exc:
        raise ConfigError(f"peer: {exc}", hint="such as 10.0.0.0/8, or 192.0.2.7") from exc


def _address(peer: Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if not isinstance(peer, tuple) or not peer:
        return None
    try:
        address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _inside(one: Network, two: Network) -> bool:
    if isinstance(one, ipaddress.IPv4Network):
        return isinstance(two, ipaddress.IPv4Network) and one.subnet_of(two)
    return isinstance(two, ipaddress.IPv6Network) and one.subnet_of(two)


@dataclass(frozen=True, slots=True, repr=False)
class UnixUser(Matcher):
    """See :func:`unix_user`."""

    uids: tuple[int, ...]

    @property
    def max_size(self) -> int:
        return 0

    @property
    def alternatives(self) -> tuple[Matcher, ...]:
        return tuple(UnixUser((uid,)) for uid in self.uids)

    def match(self, data: bytes, facts: ConnectionFacts) -> Verdict:
        return Verdict.MATCH if facts.unix_user in self.uids else Verdict.NO_MATCH

    def covers(self, other: Matcher) -> bool:
        return isinstance(other, UnixUser) and set(other.uids) <= set(self.uids)

    def __repr__(self) -> str:
        return f"unix_user({', '.join(map(str, self.uids))})"


def unix_user(*users: int | str) -> Matcher:
    """Processes of these users, by number or name, over a Unix socket: the kernel says who it is (SO_PEERCRED).

    Raises:
        ConfigError: none is given, or one is unknown on this system.
    """
    if not users:
        raise ConfigError("unix_user() needs at least one user", hint="unix_user('www-data'), unix_user(1000)")
    return UnixUser(tuple(_uid(user) for user in users))


def _uid(user: int | str) -> int:
    if isinstance(user, int) and not isinstance(user, bool) and user >= 0:
        return user
    if isinstance(user, str) and pwd is not None:
        try:
            return pwd.getpwnam(user).pw_uid
        except KeyError as exc:
            raise ConfigError(f"unix_user: this system has no user {user!r}", hint="a number needs no name") from exc
    raise ConfigError(f"unix_user: {user!r} is no user", hint="a name, or a number of at least 0")
