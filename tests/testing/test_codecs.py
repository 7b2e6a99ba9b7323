"""The verifier is tested by what it must find: a good codec, and that codec broken in one way at a time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable
from typing import Any, Self

import pytest

from aionet.codec import Codec
from aionet.codecs import LineCodec, RawCodec
from aionet.errors import FrameTooLarge, MalformedFrame
from aionet.testing import CodecVerificationError, verify_codec

PAIRS = [(b"\1a", [b"a"]), (b"\0", [b""]), (b"\3bcd\2ef", [b"bcd", b"ef"]), (b"\5hello", [b"hello"])]
OVERSIZE = b"\x0b" + b"x" * 11


class Good(Codec[bytes]):
    """A byte of length, at most 10, then the message; the high bit of the length must be clear."""

    max_size: Any = 10

    def __init__(self) -> None:
        self.rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        if self.fault is not None:
            return []
        self.rest += data
        messages = []
        while self.rest and self.fault is None:
            size = self.rest[0]
            if size > 0x7F:
                self.refuse(MalformedFrame("high bit"))
            elif size > self.max_size:
                self.refuse(FrameTooLarge("too large"))
            elif len(self.rest) <= size:
                break
            else:
                messages.append(bytes(self.rest[1 : size + 1]))
                del self.rest[: size + 1]
        return messages

    def refuse(self, fault: Any) -> None:
        self.fault = fault
        self.rest = bytearray()

    @property
    def buffered(self) -> int:
        return len(self.rest)

    def encode(self, message: bytes) -> bytes:
        return bytes((len(message),)) + message


def verify(codec: Any, **options: Any) -> None:
    verify_codec(codec, PAIRS, oversize=OVERSIZE, garbage=[b"\1a\xff\1b"], **options)


@pytest.mark.parametrize("source", [Good(), Good, lambda: Good()], ids=["instance", "class", "callable"])
def test_a_good_codec_passes(source: Any) -> None:
    verify(source)


def test_it_neither_feeds_nor_changes_the_codec_given() -> None:
    codec = Good()
    verify(codec)
    assert codec.buffered == 0
    assert codec.fault is None


class ForgetsBetweenChunks(Good):
    def feed(self, data: bytes) -> list[bytes]:
        messages = super().feed(data)
        self.rest.clear()
        return messages


class ForgetsAnOddRest(Good):
    """Wrong only for some cuts of an input of several messages."""

    def feed(self, data: bytes) -> list[bytes]:
        messages = super().feed(data)
        if messages and self.rest:
            self.rest.clear()
        return messages


class OneMessageAChunk(Good):
    def feed(self, data: bytes) -> list[bytes]:
        return super().feed(data)[:1]


class NeedsTheWholeHeaderWithABody(Good):
    """Wrong only if the length comes alone: a cut in one place."""

    def feed(self, data: bytes) -> list[bytes]:
        if len(data) == 1 and data != b"\0" and not self.rest:
            return []
        return super().feed(data)


class LosesAMessageCutLate(Good):
    def feed(self, data: bytes) -> list[bytes]:
        if len(self.rest) == 5:
            self.rest.clear()
            return []
        return super().feed(data)


class Raises(Good):
    def feed(self, data: bytes) -> list[bytes]:
        messages = super().feed(data)
        if self.fault is not None:
            raise self.fault
        return messages


class ReturnsNone(Good):
    def feed(self, data: bytes) -> Any:
        return super().feed(data) or None


class FaultIsText(Good):
    def refuse(self, fault: Any) -> None:
        super().refuse(str(fault))


class FaultSwallowsTheMessagesBefore(Good):
    def feed(self, data: bytes) -> list[bytes]:
        messages = super().feed(data)
        return messages if self.fault is None else []


class OversizeIsJustMalformed(Good):
    def refuse(self, fault: Any) -> None:
        super().refuse(MalformedFrame("?"))


class NoLimit(Good):
    def feed(self, data: bytes) -> list[bytes]:
        self.max_size = math.inf
        messages = super().feed(data)
        self.max_size = 10
        return messages


class BuffersBeforeTheLimit(Good):
    """Looks at the length only when there is enough for any message."""

    def feed(self, data: bytes) -> list[bytes]:
        if len(self.rest) + len(data) < 200 and (self.rest + data)[:1] == b"\x0b":
            self.rest += data
            return []
        return super().feed(data)


class GoesOnAfterAFault(Good):
    def feed(self, data: bytes) -> list[bytes]:
        if self.fault is not None:
            return [data]
        return super().feed(data)


class HoldsBytesAfterAFault(Good):
    def refuse(self, fault: Any) -> None:
        self.fault = fault


class BufferedIsNeverZero(Good):
    @property
    def buffered(self) -> int:
        return len(self.rest) + (self.fault is None) * hasattr(self, "fed")

    def feed(self, data: bytes) -> list[bytes]:
        self.fed = True
        return super().feed(data)


class BufferedIsNotTold(Good):
    buffered = 0


class BufferedIsNegative(Good):
    @property
    def buffered(self) -> int:
        return -len(self.rest)


class EndIsAlwaysClean(Good):
    def feed_eof(self) -> list[bytes]:
        return []


class EndIsNeverClean(Good):
    def feed_eof(self) -> list[bytes]:
        self.refuse(MalformedFrame("end"))
        return []


class EndDeliversHalfAMessage(Good):
    def feed_eof(self) -> list[bytes]:
        super().feed_eof()
        return [bytes(self.rest)] if self.rest else []


class EndRaises(Good):
    def feed_eof(self) -> list[bytes]:
        raise EOFError


class EncodesWrongly(Good):
    def encode(self, message: bytes) -> bytes:
        return super().encode(message.upper())


class EncodesABuffer(Good):
    def encode(self, message: bytes) -> Any:
        return bytearray(super().encode(message))


class EncodesNotAll(Good):
    def encode(self, message: bytes) -> bytes:
        if not message:
            raise ValueError("empty")
        return super().encode(message)


class EncodesOnlyInOrder(Good):
    def encode(self, message: bytes) -> bytes:
        seen = getattr(self, "longest", 0)
        self.longest = max(seen, len(message))
        return super().encode(message[:seen] if seen > len(message) == 1 else b"" if seen > len(message) else message)


class EncodingDisturbsReceiving(Good):
    def encode(self, message: bytes) -> bytes:
        self.rest.clear()
        return super().encode(message)


class KeyIsAList(Good):
    def encoding_key(self) -> Any:
        return []


class KeyChanges(Good):
    count = itertools.count()

    def encoding_key(self) -> Hashable:
        return next(self.count)


class KeyIsOfTheInstance(Good):
    def encoding_key(self) -> Hashable:
        return id(self)


class ClonesShareTheirBuffer(Good):
    def clone(self) -> Self:
        clone = type(self)()
        clone.rest = self.rest
        return clone


class CloneIsAnother(Good):
    def clone(self) -> Any:
        return Good()


class CloneForgetsTheLimit(Good):
    def __init__(self, max_size: int = 9) -> None:
        super().__init__()
        self.max_size = max_size

    def clone(self) -> Self:
        return type(self)(self.max_size + 1)


class ReusesItsList(Good):
    def __init__(self) -> None:
        super().__init__()
        self.batch: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        self.batch[:] = super().feed(data)
        return self.batch


class FaultDependsOnTheCut(Good):
    def feed(self, data: bytes) -> list[bytes]:
        messages = super().feed(data)
        if self.fault is not None and len(data) > 1 and data[0] > 0x7F:
            self.fault = FrameTooLarge("?")
        return messages


class MessagesBeforeAFaultDependOnTheCut(Good):
    def feed(self, data: bytes) -> list[bytes]:
        messages = super().feed(data)
        return messages if self.fault is None or b"\xff" not in data or len(data) < 4 else []


class Unlimited(Good):
    max_size = math.inf


class BornFaulty(Good):
    def __init__(self) -> None:
        super().__init__()
        self.fault = MalformedFrame("born with it")


BROKEN: list[tuple[type[Good], str, str]] = [
    (ForgetsBetweenChunks, "byte by byte", "a fault in good input"),
    (ForgetsAnOddRest, "split in two", "a fault in good input"),
    (OneMessageAChunk, "whole", "not the messages that were sent"),
    (NeedsTheWholeHeaderWithABody, "byte by byte", "not the messages that were sent"),
    (LosesAMessageCutLate, "byte by byte", "not the messages that were sent"),
    (Raises, "oversize", "feed raised"),
    (ReturnsNone, "byte by byte", "must return a list"),
    (FaultIsText, "oversize", "fault must be a ProtocolError"),
    (FaultSwallowsTheMessagesBefore, "oversize", "messages before one too large must be delivered"),
    (OversizeIsJustMalformed, "oversize", "was not refused"),
    (NoLimit, "oversize", "was not refused"),
    (BuffersBeforeTheLimit, "oversize", "was not refused"),
    (GoesOnAfterAFault, "oversize", "returned messages after a fault"),
    (HoldsBytesAfterAFault, "oversize", "bytes are held after a fault"),
    (BufferedIsNeverZero, "whole", "buffered is not 0 between messages"),
    (BufferedIsNotTold, "end of stream inside a message", "buffered is 0 inside a message"),
    (BufferedIsNegative, "byte by byte", "buffered is out of bounds"),
    (EndIsAlwaysClean, "end of stream inside a message", "nobody noticed"),
    (EndIsNeverClean, "end of stream after a message", "a fault in good input"),
    (EndDeliversHalfAMessage, "end of stream inside a message", "nobody noticed"),
    (EndRaises, "end of stream after a message", "feed_eof raised"),
    (EncodesWrongly, "encode, then feed", "not the messages that were sent"),
    (EncodesABuffer, "encode", "must return bytes"),
    (EncodesNotAll, "encode", "encode raised for b''"),
    (EncodesOnlyInOrder, "encode in any order, then feed", "not the messages that were sent"),
    (EncodingDisturbsReceiving, "encode while a message is half received", ""),
    (KeyIsAList, "encoding_key", "must be hashable"),
    (KeyChanges, "encoding_key", "changes from call to call"),
    (KeyIsOfTheInstance, "encoding_key", "differs between codecs that encode equally"),
    (ClonesShareTheirBuffer, "clone", ""),
    (CloneIsAnother, "clone", "differs from its original"),
    (CloneForgetsTheLimit, "clone", "differs from its original"),
    (ReusesItsList, "byte by byte", "was changed afterwards"),
    (FaultDependsOnTheCut, "garbage, cut", "another fault when it is cut"),
    (MessagesBeforeAFaultDependOnTheCut, "garbage, cut", "other messages when it is cut"),
    (Unlimited, "fresh codec", "max_size must be finite"),
    (BornFaulty, "fresh codec", "has a fault, or bytes"),
]


@pytest.mark.parametrize(("broken", "check", "problem"), BROKEN, ids=[broken.__name__ for broken, _, _ in BROKEN])
def test_what_is_broken_is_found(broken: type[Good], check: str, problem: str) -> None:
    with pytest.raises(CodecVerificationError) as caught:
        verify(broken())
    assert caught.value.check == check
    assert problem in str(caught.value)


@pytest.mark.parametrize("broken", [CloneIsAnother, CloneForgetsTheLimit])
def test_a_callable_is_not_asked_for_clones(broken: type[Good]) -> None:
    verify(lambda: broken())


def test_equal_keys_of_codecs_that_encode_differently() -> None:
    """Some say ``0x81`` for a message of one byte where others say ``1``, and both are understood."""

    class TwoForms(Good):
        count = itertools.count()

        def __init__(self) -> None:
            super().__init__()
            self.own = next(self.count)

        def feed(self, data: bytes) -> list[bytes]:
            return super().feed(data.replace(b"\x81", b"\x01"))

        def encode(self, message: bytes) -> bytes:
            wire = super().encode(message)
            return b"\x81" + wire[1:] if self.own % 2 and len(message) == 1 else wire

    class AndSaysSo(TwoForms):
        def encoding_key(self) -> Hashable:
            return self.own

    with pytest.raises(CodecVerificationError, match="equal encoding keys encode differently"):
        verify(TwoForms)
    verify(AndSaysSo, same_encoding=False)


def test_what_is_no_codec() -> None:
    with pytest.raises(CodecVerificationError, match="not a subclass of Codec"):
        verify(lambda: object())


def test_an_error_tells_what_was_fed() -> None:
    with pytest.raises(CodecVerificationError) as caught:
        verify_codec(LosesAMessageCutLate(), [(b"\5hello", [b"hello"])])
    error = caught.value
    assert b"".join(error.chunks) == b"\5hello"
    assert (error.expected, error.got) == ([b"hello"], [])
    assert "fed:      6 chunk(s) of [1, 1, 1, 1, 1, 1] bytes: b'\\x05hello'" in str(error)


def test_the_same_seed_finds_the_same() -> None:
    def chunks(seed: int) -> tuple[bytes, ...]:
        with pytest.raises(CodecVerificationError) as caught:
            verify(FaultDependsOnTheCut(), seed=seed)
        return caught.value.chunks

    assert chunks(1) == chunks(1)


def test_a_receiver_only() -> None:
    class Receiver(Good):
        def encode(self, message: bytes) -> bytes:
            raise NotImplementedError

    verify(Receiver(), encodes=False)


def test_an_end_that_may_be_anywhere() -> None:
    pairs = [(b"one\n", [b"one"])]
    lenient = LineCodec(eof_ends_line=True)
    with pytest.raises(CodecVerificationError, match="nobody noticed"):
        verify_codec(lenient, pairs)
    verify_codec(lenient, pairs, eof_ok=True)


def test_messages_that_are_only_pieces() -> None:
    with pytest.raises(CodecVerificationError, match="byte by byte"):
        verify_codec(RawCodec(), [(b"abc", [b"abc"])], eof_ok=True)
    verify_codec(RawCodec(), [(b"abc", [b"abc"])], eof_ok=True, normalise=b"".join)


def test_long_inputs_are_cut_at_both_ends_and_between() -> None:
    cuts: set[int] = set()

    class Noting(LineCodec):
        def feed(self, data: bytes) -> list[bytes]:
            if not self.buffered:
                cuts.add(len(data))
            return super().feed(data)

    wire = b"x" * 5000 + b"\n"
    verify_codec(lambda: Noting(), [(wire, [wire[:-1]])], encodes=False, samples=10)
    assert {*range(1, 65), *range(len(wire) - 64, len(wire))} <= cuts
    assert any(100 < cut < 4900 for cut in cuts)


@pytest.mark.parametrize("pairs", [[], [(b"", [])]])
def test_nothing_to_verify_is_an_error(pairs: Any) -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        verify_codec(Good(), pairs)
