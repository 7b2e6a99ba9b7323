"""The cases of the Autobahn test suite for an echo over WebSocket, written from their descriptions and RFC 6455.

Sections 1 to 7, 9 (short) and 10 by its numbers; 12 and 13 (compression) as far as they are about what we offer. What
the suite leaves to the peer ("informational", "non-strict") is marked by more than one close code, or by what is needed
of it alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .codecs.frames import close, frame, text

__all__ = ["Case", "cases"]

KOSME = bytes.fromhex("cebae1bdb9cf83cebcceb5")
HELLO = b"Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!"
PING, PONG = 9, 10


@dataclass(frozen=True)
class Case:
    """What is sent, and what must come back.

    Attributes:
        number: The suite's.
        sent: Bytes.
        echoed: Frames that come back before any close frame: opcode and payload.
        codes: Codes one of which the close frame must have; 1005: one without a code. ``None``: no close frame comes.
        step: Bytes of each chunk; 0: all at once.
    """

    number: str
    sent: bytes
    echoed: tuple[tuple[int, bytes], ...] = ()
    codes: frozenset[int] | None = None
    step: int = 0


def cases() -> list[Case]:
    """All of them."""
    found = [
        *_messages(),
        *_pings(),
        *_reserved(),
        *_fragments(),
        *_utf8(),
        *_closings(),
        *_large(),
    ]
    assert len({case.number for case in found}) == len(found)
    return found


def _then_close(number: str, sent: bytes, *echoed: tuple[int, bytes], step: int = 0) -> Case:
    """A conversation that goes well, and ends by a close frame of ours."""
    return Case(number, sent + close(1000), echoed, frozenset({1000}), step)


def _fails(number: str, sent: bytes, *echoed: tuple[int, bytes], step: int = 0, code: int = 1002) -> Case:
    return Case(number, sent, echoed, frozenset({code}), step)


def _messages() -> Iterator[Case]:
    for index, size in enumerate([0, 125, 126, 127, 128, 65535, 65536], 1):
        yield _then_close(f"1.1.{index}", text(b"*" * size), (1, b"*" * size))
        yield _then_close(f"1.2.{index}", frame(2, b"\xfe" * size), (2, b"\xfe" * size))
    yield _then_close("1.1.8", text(b"*" * 65536), (1, b"*" * 65536), step=997)
    yield _then_close("1.2.8", frame(2, b"\xfe" * 65536), (2, b"\xfe" * 65536), step=997)


def _pings() -> Iterator[Case]:
    binary = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
    for index, payload in enumerate([b"", b"Hello, world!", binary, b"\xfe" * 125], 1):
        yield _then_close(f"2.{index}", frame(PING, payload), (PONG, payload))
    yield _fails("2.5", frame(PING, b"\xfe" * 126))
    yield _then_close("2.6", frame(PING, b"\xfe" * 125), (PONG, b"\xfe" * 125), step=1)
    yield _then_close("2.7", frame(PONG))
    yield _then_close("2.8", frame(PONG, b"unsolicited pong payload"))
    yield _then_close("2.9", frame(PONG, b"unsolicited") + frame(PING, b"ping"), (PONG, b"ping"))
    pings = [f"payload-{number}".encode() for number in range(10)]
    for number, step in (("2.10", 0), ("2.11", 1)):
        sent = b"".join(frame(PING, payload) for payload in pings)
        yield _then_close(number, sent, *((PONG, payload) for payload in pings), step=step)


def _reserved() -> Iterator[Case]:
    hello, world = b"Hello, world!", (1, b"Hello, world!")
    yield _fails("3.1", text(hello, rsv=4))
    yield _fails("3.2", text(hello) + text(hello, rsv=2) + frame(PING), world)
    yield _fails("3.3", text(hello) + text(hello, rsv=3) + frame(PING), world)
    yield _fails("3.4", text(hello) + text(hello, rsv=4) + frame(PING), world, step=1)
    yield _fails("3.5", frame(2, b"\x00\xff", rsv=5))
    yield _fails("3.6", frame(PING, hello, rsv=6))
    yield _fails("3.7", frame(8, b"\x03\xe8", rsv=7))
    for section, opcodes in ((1, (3, 4, 5, 6, 7)), (2, (11, 12, 13, 14, 15))):
        for index, opcode in enumerate(opcodes, 1):
            before, echoed = (text(hello), [world]) if index > 2 else (b"", [])
            payload = hello if index in (2, 4) else b""
            yield _fails(f"4.{section}.{index}", before + frame(opcode, payload) + frame(PING), *echoed)


def _fragments() -> Iterator[Case]:
    whole = (1, b"fragment1fragment2")
    first, last = text("fragment1", fin=False), frame(0, b"fragment2")
    ping, pong = frame(PING, b"ping payload"), (PONG, b"ping payload")
    yield _fails("5.1", frame(PING, b"fragment1", fin=False) + frame(0, b"fragment2"))
    yield _fails("5.2", frame(PONG, b"fragment1", fin=False) + frame(0, b"fragment2"))
    yield _then_close("5.3", first + last, whole)
    yield _then_close("5.4", first + last, whole, step=9)
    yield _then_close("5.5", first + last, whole, step=1)
    yield _then_close("5.6", first + ping + last, pong, whole)
    yield _then_close("5.7", first + ping + last, pong, whole, step=9)
    yield _then_close("5.8", first + ping + last, pong, whole, step=1)
    nothing = frame(0, b"non-continuation payload")
    for index, step in ((9, 0), (10, 9), (11, 1)):
        yield _fails(f"5.{index}", nothing + text("Hello, world!"), step=step)
    nothing = frame(0, b"non-continuation payload", fin=False)
    for index, step in ((12, 0), (13, 9), (14, 1)):
        yield _fails(f"5.{index}", nothing + text("Hello, world!"), step=step)
    yield _fails("5.15", first + last + frame(0, b"fragment3", fin=False) + text("fragment4"), whole)
    for number, fin in (("5.16", False), ("5.17", True)):
        yield _fails(number, (frame(0, b"fragment1", fin=fin) + text("fragment2", fin=False) + frame(0, b"3")) * 2)
    yield _fails("5.18", first + text("fragment2"))
    parts = [text("fragment1", fin=False), frame(0, b"fragment2", fin=False), frame(PING, b"pongme 1!")]
    parts += [frame(0, b"fragment3", fin=False), frame(0, b"fragment4", fin=False), frame(PING, b"pongme 2!")]
    echoed = ((PONG, b"pongme 1!"), (PONG, b"pongme 2!"), (1, b"fragment1fragment2fragment3fragment4fragment5"))
    yield _then_close("5.19", b"".join(parts) + frame(0, b"fragment5"), *echoed)
    yield _then_close("5.20", b"".join(parts) + frame(0, b"fragment5"), *echoed, step=1)


def _octets(payload: bytes, size: int = 1) -> bytes:
    """The text in fragments of so many bytes."""
    pieces = [payload[at : at + size] for at in range(0, len(payload), size)]
    frames = [frame(0 if index else 1, piece, fin=False) for index, piece in enumerate(pieces)]
    return b"".join(frames) + frame(0 if pieces else 1)


def _utf8() -> Iterator[Case]:
    bad = KOSME + b"\xed\xa0\x80" + b"edited"
    yield _then_close("6.1.1", text(""), (1, b""))
    yield _then_close("6.1.2", text("", fin=False) + frame(0, fin=False) + frame(0), (1, b""))
    yield _then_close("6.1.3", text("", fin=False) + frame(0, b"middle", fin=False) + frame(0), (1, b"middle"))
    yield _then_close("6.2.1", text(HELLO), (1, HELLO))
    yield _then_close("6.2.2", text(HELLO[:12], fin=False) + frame(0, HELLO[12:]), (1, HELLO))
    yield _then_close("6.2.3", _octets(HELLO), (1, HELLO))
    yield _then_close("6.2.4", _octets(KOSME), (1, KOSME))
    yield _fails("6.3.1", text(bad), code=1007)
    yield _fails("6.3.2", _octets(bad), code=1007)
    # 6.4: the fault is met before the message is complete, at the latest at the end of the frame it is in.
    head, tail = KOSME, b"edited"
    for index, wrong in ((1, b"\xf4\x90\x80\x80"), (2, b"\xf4\x90")):
        yield _fails(f"6.4.{index}", text(head, fin=False) + frame(0, wrong, fin=False), code=1007)
    for index, step in ((3, 1), (4, 13)):
        yield _fails(f"6.4.{index}", text(head + b"\xf4\x90\x80\x80" + tail), code=1007, step=step)
    for section, good, payloads in _UTF8:
        for index, payload in enumerate(payloads, 1):
            number = f"6.{section}.{index}"
            yield _then_close(number, text(payload), (1, payload)) if good else _fails(number, text(payload), code=1007)
    for index in range(1, len(KOSME) + 1):
        prefix, number = KOSME[:index], f"6.6.{index}"
        whole = index in (2, 5, 7, 9, 11)
        yield _then_close(number, text(prefix), (1, prefix)) if whole else _fails(number, text(prefix), code=1007)


def _hex(*words: str) -> list[bytes]:
    return [bytes.fromhex(word) for word in words]


_SURROGATES = _hex("eda080", "edadbf", "edae80", "edafbf", "edb080", "edbe80", "edbfbf")
_PAIRS = _hex("eda080edb080", "eda080edbfbf", "edadbfedb080", "edadbfedbfbf")
_PAIRS += _hex("edae80edb080", "edae80edbfbf", "edafbfedb080", "edafbfedbfbf")
_NONCHARACTERS = [chr(plane << 16 | low).encode() for plane in range(17) for low in (0xFFFE, 0xFFFF)]
_UTF8: list[tuple[int, bool, list[bytes]]] = [
    (5, True, [KOSME, *(character.encode() for character in KOSME.decode()[:4])]),
    (7, True, _hex("00", "c280", "e0a080", "f0908080")),
    (8, False, _hex("f888808080", "fc8480808080")),
    (9, True, _hex("7f", "dfbf", "efbfbf", "f48fbfbf")),
    (10, False, _hex("f7bfbfbf", "fbbfbfbfbf", "fdbfbfbfbfbf")),
    (11, True, _hex("ed9fbf", "ee8080", "efbfbd", "f48fbfbf")),
    (
        12,
        False,
        _hex("80", "bf", "80bf", "80bf80", "80bf80bf", "80bf80bf80", "80bf80bf80bf", bytes(range(128, 192)).hex()),
    ),
    (
        13,
        False,
        [
            b"".join(bytes([lead, 0x20]) for lead in range(*span))
            for span in ((192, 224), (224, 240), (240, 248), (248, 252), (252, 254))
        ],
    ),
    (
        14,
        False,
        _hex("c0", "e080", "f08080", "f8808080", "fc80808080", "df", "efbf", "f7bfbf", "fbbfbfbf", "fdbfbfbfbf"),
    ),
    (15, False, _hex("c0e080f08080f8808080fc80808080dfefbff7bfbffbbfbfbffdbfbfbfbf")),
    (16, False, _hex("fe", "ff", "fefeffff")),
    (17, False, _hex("c0af", "e080af", "f08080af", "f8808080af", "fc80808080af")),
    (18, False, _hex("c1bf", "e09fbf", "f08fbfbf", "f887bfbfbf", "fc83bfbfbfbf")),
    (19, False, _hex("c080", "e08080", "f0808080", "f880808080", "fc8080808080")),
    (20, False, _SURROGATES),
    (21, False, _PAIRS),
    (22, True, _NONCHARACTERS),
    (23, True, _hex("efbfb9", "efbfba", "efbfbb", "efbfbc", "efbfbd", "efbfbe", "efbfbf")),
    (24, False, _hex("f4908080")),  # 6.11.5 of the suite, the one of its section that is not to be accepted
]


def _closings() -> Iterator[Case]:
    hello, echoed = text("Hello World!"), (1, b"Hello World!")
    yield _then_close("7.1.1", hello, echoed)
    yield Case("7.1.2", close() + close(), (), frozenset({1000}))
    yield Case("7.1.3", close() + frame(PING), (), frozenset({1000}))
    yield Case("7.1.4", close() + hello, (), frozenset({1000}))
    yield Case("7.1.5", text("fragment1", fin=False) + close() + frame(0, b"2"), (), frozenset({1000, 1002}))
    big = b"BAsd7&jh23" * 26_000
    yield Case("7.1.6", text(big) + hello + close() + frame(PING), ((1, big), echoed), frozenset({1000}))
    yield Case("7.3.1", close(None), (), frozenset({1005, 1000}))
    yield _fails("7.3.2", frame(8, b"a"))
    yield Case("7.3.3", close(1000), (), frozenset({1000}))
    yield Case("7.3.4", close(1000, b"Hello World!"), (), frozenset({1000}))
    yield Case("7.3.5", close(1000, b"*" * 123), (), frozenset({1000}))
    yield _fails("7.3.6", close(1000, b"*" * 124))
    yield Case("7.5.1", close(1000, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80"), (), frozenset({1007, 1002}))
    for index, code in enumerate([1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999], 1):
        yield Case(f"7.7.{index}", close(code), (), frozenset({code}))
    for index, code in enumerate([0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999], 1):
        yield _fails(f"7.9.{index}", close(code))
    for index, code in enumerate([5000, 65535], 1):
        yield _fails(f"7.13.{index}", close(code))


def _large() -> Iterator[Case]:
    for section, opcode in ((1, 1), (2, 2)):
        for index, kib in enumerate([64, 256, 1024], 1):
            payload = b"*" * (kib * 1024)
            yield _then_close(f"9.{section}.{index}", frame(opcode, payload), (opcode, payload), step=65536)
    payload = b"*" * (256 * 1024)
    for section, opcode in ((3, 1), (4, 2)):
        for index, size in enumerate([64, 256, 1024, 4096, 16384, 65536], 1):
            fragments = [payload[at : at + size] for at in range(0, len(payload), size)]
            sent = frame(opcode, fragments[0], fin=False)
            sent += b"".join(frame(0, fragment, fin=False) for fragment in fragments[1:]) + frame(0)
            yield _then_close(f"9.{section}.{index}", sent, (opcode, payload), step=65536)
    for section, opcode in ((5, 1), (6, 2)):
        for index, step in enumerate([64, 128, 256, 512, 1024, 2048], 1):
            yield _then_close(f"9.{section}.{index}", frame(opcode, payload), (opcode, payload), step=step)
    for section, opcode in ((7, 1), (8, 2)):
        for index, size in enumerate([0, 16, 64, 256, 1024, 4096], 1):
            message = b"*" * size
            yield _then_close(
                f"9.{section}.{index}", frame(opcode, message) * 100, *[(opcode, message)] * 100, step=8192
            )
    payload = b"*" * 65536
    sent = b"".join(frame(1 if not at else 0, payload[at : at + 1300], fin=False) for at in range(0, 65536, 1300))
    yield _then_close("10.1.1", sent + frame(0), (1, payload))
