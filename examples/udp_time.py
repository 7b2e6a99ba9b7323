"""The time over UDP: a server for SNTP (RFC 4330), that any NTP client can ask, and a client.

Run it, from the project's directory, by any of::

    python -m examples.udp_time
    python -m aionet serve examples.udp_time:router

Try it::

    python -m examples.udp_time ask udp://127.0.0.1:7030
    printf '#%047d' 0 | nc -u -w1 127.0.0.1 7030 | od -A d -t x1

It tells this machine's own clock, as one that nothing disciplines (stratum 10, as chrony's ``local``). Answers are no
longer than questions, and only client requests are answered: nobody can use it to multiply traffic, or to make two
servers talk to each other.
"""

from __future__ import annotations

import asyncio
import struct
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import anyio

from aionet import Address, DatagramHandler, DatagramPort, Router, open_datagram, run

SIZE: Final = 48
"""Bytes of a packet without authentication; requests may have more."""

SINCE_1900: Final = 2_208_988_800
"""Seconds from NTP's epoch to Unix's."""

CLIENT, SERVER = 3, 4  # modes
STRATUM: Final = 10
PRECISION: Final = -20  # a microsecond, as a power of two

_PACKET: Final = struct.Struct(">BBbb 4x4x 4s 8s 8s 8s 8s")
# leap|version|mode, stratum, poll, precision, root delay, root dispersion, reference id, then four timestamps:
# when the clock was last set, what the client's clock said, when its request came, when the answer left


class SNTP(DatagramHandler):
    """Answers requests for the time.

    Args:
        clock: Seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    def on_datagram(self, port: DatagramPort[Any], data: bytes, peer: Address) -> None:
        """Answers written here leave together, when all datagrams that had come are handled."""
        if len(data) < SIZE or data[0] & 7 != CLIENT:
            return
        now = timestamp(self._clock())
        version = data[0] & 0x38
        poll = struct.unpack_from("b", data, 2)[0]
        asked = data[40:48]
        port.send(_PACKET.pack(version | SERVER, STRATUM, poll, PRECISION, b"LOCL", now, asked, now, now), peer)


async def ask(endpoint: str, timeout: float = 2.0) -> tuple[datetime, float]:
    """The server's time, and the seconds its clock is ahead of ours.

    Raises:
        TimeoutError: no answer.
    """
    with anyio.fail_after(timeout):
        async with open_datagram(endpoint) as port:
            sent = time.time()
            port.send(bytes([0x20 | CLIENT]) + bytes(39) + timestamp(sent))
            async for data, _ in port:
                came = time.time()
                if len(data) >= SIZE and data[0] & 7 == SERVER and data[24:32] == timestamp(sent):
                    received, left = seconds(data[32:40]), seconds(data[40:48])
                    offset = ((received - sent) + (left - came)) / 2
                    return datetime.fromtimestamp(left, UTC), offset
    raise TimeoutError("the port closed")


def timestamp(unix: float) -> bytes:
    """Seconds since 1970 as NTP has them: 32 bits of seconds since 1900 (modulo 2**32), 32 bits of fraction."""
    return struct.pack(">Q", int((unix + SINCE_1900) * (1 << 32)) & ((1 << 64) - 1))


def seconds(stamp: bytes) -> float:
    """Seconds since 1970; a stamp whose highest bit is clear is after 2036 (RFC 4330 section 3)."""
    (value,) = struct.unpack(">Q", stamp)
    era = 0 if value >> 63 else 1 << 32
    return float(value / (1 << 32) + era - SINCE_1900)


def make_router(endpoint: str = "udp://127.0.0.1:7030") -> Router:
    """One route."""
    router = Router()
    router.add(endpoint, SNTP())
    return router


router = make_router()


def main(arguments: list[str]) -> int:
    """``ask [ENDPOINT]``, or serve ``[ENDPOINT]``."""
    if arguments[:1] != ["ask"]:
        return run(make_router(*arguments))
    try:
        told, offset = asyncio.run(ask(arguments[1] if len(arguments) > 1 else "udp://127.0.0.1:7030"))
    except (TimeoutError, anyio.BrokenResourceError):
        print("error: no answer", file=sys.stderr)
        return 1
    print(f"{told.isoformat()}  {offset:+.6f} s from ours")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
