"""One verifier for every codec: the same bytes, however they are cut, must give the same messages.

::

    def test_my_codec():
        verify_codec(MyCodec(max_size=1000), [(b"5 hello", [b"hello"]), (b"0 ", [b""])], oversize=b"1001 ")

It knows nothing of a grammar but the pairs it is given, and finds what an example test does not: state that
survives a message, a delimiter cut in two, a limit checked too late, a fault that swallows the message before it.
"""

from __future__ import annotations

import random
import reprlib
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, NoReturn, TypeVar

from ..codec import Codec, CodecSource
from ..errors import FrameTooLarge, ProtocolError

__all__ = ["CodecVerificationError", "verify_codec"]

M = TypeVar("M")

_HEADER_ROOM = 64  # bytes that a codec may hold on top of max_size: header, delimiter, trailer
_EVERY_SPLIT = 512  # bytes of input up to which every split point is tried
_MADE_UP = 40  # inputs of random bytes, and as many of the given ones damaged
_shorten = reprlib.Repr()
_shorten.maxother = _shorten.maxstring = 120


class CodecVerificationError(AssertionError):
    """A codec does not keep the contract of :class:`~aionet.Codec`.

    Attributes:
        check: Which check failed, such as ``"split in two"``.
        chunks: What was fed, chunk by chunk.
        expected: What should have come.
        got: What came.
    """

    def __init__(self, check: str, problem: str, chunks: Sequence[bytes], expected: object, got: object) -> None:
        self.check = check
        self.chunks = tuple(chunks)
        self.expected = expected
        self.got = got
        cuts = f"{len(chunks)} chunk(s) of {_shorten.repr([len(chunk) for chunk in chunks])} bytes"
        super().__init__(
            f"{check}: {problem}\n  fed:      {cuts}: {_shorten.repr(b''.join(chunks))}"
            f"\n  expected: {_shorten.repr(expected)}\n  got:      {_shorten.repr(got)}"
        )


def verify_codec(
    codec: CodecSource[M],
    pairs: Sequence[tuple[bytes, Sequence[M]]],
    *,
    oversize: bytes | None = None,
    garbage: Sequence[bytes] = (),
    encodes: bool = True,
    encoder: CodecSource[M] | None = None,
    same_encoding: bool = True,
    eof_ok: bool = False,
    normalise: Callable[[list[M]], object] = list,
    seed: int = 0,
    samples: int = 100,
) -> None:
    """Check that a codec keeps its contract, whatever the network does to the bytes.

    * Each input whole, byte by byte, cut in two at every point (of inputs above 512 bytes: at the first and last 64
      and at ``samples`` random ones), and cut at random ``samples`` times; all inputs in one chunk and in many.
    * ``encode``, then ``feed``: the same messages, in any order, also while another message is half received.
    * The end of the stream is clean after each input, and a fault inside each message (for inputs of one message).
    * A message too large is a :class:`~aionet.errors.FrameTooLarge`; messages before it are delivered; no more than
      ``max_size`` and 64 bytes are ever held.
    * Garbage (the given, random bytes, and damaged inputs) raises nothing, and gives the same messages and the same
      kind of fault however it is cut. After a fault nothing is returned and nothing held.
    * ``buffered`` is 0 between messages, and more inside one. ``clone()`` is fresh and shares nothing that changes.

    Args:
        codec: What a route takes: an instance, of which clones are tried, or a callable that makes one (a lambda
            may return a codec that is past its handshake; ``clone()`` is then not tried).
        pairs: Inputs and the messages they are. Each input is whole messages; inputs may follow each other in any
            order. Give short messages, empty ones, and some of one message only.
        oversize: Input that is, or begins, a message larger than ``max_size``.
        garbage: Input that breaks the grammar, or may.
        encodes: ``False`` for a codec that only receives.
        encoder: The other side's codec, where what it sends is in another form than what it takes (WebSocket).
        same_encoding: ``False`` for a codec whose encoding depends on the connection, as its ``encoding_key`` says.
        eof_ok: Whether the stream may end inside a message without a fault.
        normalise: Applied to lists of messages before they are compared; ``b"".join`` where only the bytes count.
        seed: Of everything random: the same seed tries the same.
        samples: How many random cuts of each input.

    Raises:
        CodecVerificationError: with the check that failed, the chunks, what should have come and what came.
        ValueError: no pair was given, so that nothing would be verified.
    """
    if not any(wire for wire, _ in pairs):
        raise ValueError("verify_codec needs at least one pair of input bytes and messages")
    verifier = _Verifier(
        codec, encoder or codec, [(wire, list(messages)) for wire, messages in pairs], normalise, seed, samples
    )
    verifier.check_fresh()
    verifier.check_cuts()
    verifier.check_coalesced()
    if isinstance(codec, (Codec, type)):
        verifier.check_clone(codec if isinstance(codec, Codec) else codec())
    verifier.check_end(eof_ok)
    if encodes:
        verifier.check_encoding()
        verifier.check_encoding_key(same_encoding)
    if oversize is not None:
        verifier.check_oversize(oversize)
    verifier.check_garbage(garbage)


class _Run(Generic[M]):
    """A codec being fed, and what came of it so far. Checks what holds for any input."""

    def __init__(self, check: str, codec: Codec[M]) -> None:
        self.check = check
        self.codec = codec
        self.chunks: list[bytes] = []
        self.messages: list[M] = []
        self._received = 0
        self._batches: list[tuple[list[M], list[M]]] = []  # as returned, and as it was then

    def feed(self, data: bytes) -> None:
        self.chunks.append(data)
        self._received += len(data)
        faulty = self.codec.fault is not None
        batch = self._call(self.codec.feed, data)
        if faulty and batch:
            self.fail("feed returned messages after a fault", [], batch)
        while self.codec.pending:
            self._call(self.codec.feed, b"")
        self._check_state()

    def feed_eof(self) -> None:
        """The end of the stream, as the core tells it: not after a fault."""
        if self.codec.fault is None:
            self._call(self.codec.feed_eof)
            self._check_fault()

    def fail(self, problem: str, expected: object, got: object) -> NoReturn:
        raise CodecVerificationError(self.check, problem, self.chunks, expected, got)

    def check_batches(self) -> None:
        for batch, copy in self._batches:
            if batch != copy:
                self.fail("a list that feed returned was changed afterwards", copy, batch)

    def _call(self, method: Callable[..., list[M]], *data: bytes) -> list[M]:
        try:
            batch = method(*data)
        except Exception as error:
            problem = f"{method.__name__} raised, instead of returning messages or setting fault"
            raise CodecVerificationError(self.check, problem, self.chunks, "no exception", error) from error
        if not isinstance(batch, list):
            self.fail(f"{method.__name__} must return a list", "a list", batch)
        self.messages += batch
        if batch:
            self._batches.append((batch, list(batch)))
        return batch

    def _check_fault(self) -> None:
        fault: object = self.codec.fault
        if fault is not None and not isinstance(fault, ProtocolError):
            self.fail("fault must be a ProtocolError", ProtocolError, fault)

    def _check_state(self) -> None:
        self._check_fault()
        held = self.codec.buffered
        most = min(self._received, self.codec.max_size + _HEADER_ROOM)
        if self.codec.fault is not None and held != 0:
            self.fail("bytes are held after a fault", 0, held)
        if not 0 <= held <= most:
            self.fail("buffered is out of bounds", f"0 to {most} bytes", held)


class _Verifier(Generic[M]):
    def __init__(
        self,
        source: CodecSource[M],
        encoder: CodecSource[M],
        pairs: list[tuple[bytes, list[M]]],
        normalise: Callable[[list[M]], object],
        seed: int,
        samples: int,
    ) -> None:
        self.fresh: Callable[[], Codec[M]] = source.clone if isinstance(source, Codec) else source
        self.encoder: Callable[[], Codec[M]] = encoder.clone if isinstance(encoder, Codec) else encoder
        self.pairs = pairs
        self.normalise = normalise
        self.random = random.Random(seed)
        self.samples = samples

    # --- what is checked

    def check_fresh(self) -> None:
        codec = self.fresh()
        run = self.start("fresh codec", codec)
        if not isinstance(codec, Codec):
            raise CodecVerificationError("fresh codec", "not a subclass of Codec", [], Codec, codec)
        if codec.fault is not None or codec.buffered != 0:
            run.fail("a new codec has a fault, or bytes", "fault None, buffered 0", (codec.fault, codec.buffered))
        if not isinstance(codec.max_size, int) or codec.max_size < 1:
            run.fail("max_size must be finite", "a positive whole number of bytes", codec.max_size)

    def check_clone(self, original: Codec[M]) -> None:
        """Two clones of one codec do not notice each other, nor does the one they come from."""
        first = self.start("clone", original.clone())
        second = self.start("clone", original.clone())
        if type(first.codec) is not type(original) or first.codec.max_size != original.max_size:
            first.fail("a clone differs from its original", original, first.codec)
        problem = "clones share something that changes"
        for wire, messages in self.pairs:
            middle = len(wire) // 2
            first.feed(wire[:middle])
            second.feed(wire)
            first.feed(wire[middle:])
            for run in (first, second):
                self.expect(run, messages, problem)
                run.messages.clear()
        first.feed(self.pairs[0][0][:1])
        third = self.start("clone", original.clone())
        third.feed(self.pairs[0][0])
        self.expect(third, self.pairs[0][1], problem)

    def check_cuts(self) -> None:
        for wire, messages in self.pairs:
            for check, chunks in self.cuts(wire):
                self.expect(self.run(check, chunks), messages)

    def check_coalesced(self) -> None:
        shuffled = self.random.sample(self.pairs, len(self.pairs))
        for pairs in (self.pairs, shuffled, shuffled * 3):
            wire = b"".join(wire for wire, _ in pairs)
            messages = [message for _, messages in pairs for message in messages]
            self.expect(self.run("all in one chunk", [wire]), messages)
            self.expect(self.run("one input a chunk", [wire for wire, _ in pairs]), messages)
            for _ in range(self.samples):
                self.expect(self.run("all, cut at random", self.cut_at_random(wire)), messages)

    def check_end(self, eof_ok: bool) -> None:
        for wire, messages in self.pairs:
            self.expect(self.run("end of stream after a message", [wire], eof=True), messages)
            if len(messages) != 1 or eof_ok:
                continue
            for cut in self.split_points(wire):
                run = self.run("end of stream inside a message", [wire[:cut]])
                if run.messages:
                    continue
                if run.codec.buffered == 0:
                    run.fail("buffered is 0 inside a message, so that no deadline and no end notices it", "above 0", 0)
                run.feed_eof()
                if run.codec.fault is None or run.messages:
                    run.fail("a message was cut off and nobody noticed", "a fault, no message", run.messages)

    def check_encoding(self) -> None:
        messages = [message for _, messages in self.pairs for message in messages]
        for message in messages:
            sender = self.start("encode", self.encoder())
            wire = self.encode(sender, message)
            self.expect(self.run("encode, then feed", [wire]), [message])
        for _ in range(min(self.samples, 20)):
            order = self.random.sample(messages, len(messages))
            sender = self.start("encode", self.encoder())
            wire = b"".join(self.encode(sender, message) for message in order)
            self.expect(self.run("encode in any order, then feed", self.cut_at_random(wire)), order)
        for wire, expected in self.pairs:
            run = self.start("encode while a message is half received", self.fresh())
            run.feed(wire[: len(wire) // 2])
            for message in messages:
                self.encode(run, message)
            run.feed(wire[len(wire) // 2 :])
            self.expect(run, expected)

    def check_encoding_key(self, same_encoding: bool) -> None:
        one, other = self.start("encoding_key", self.fresh()), self.start("encoding_key", self.fresh())
        keys = one.codec.encoding_key(), other.codec.encoding_key()
        try:
            hash(keys)
        except TypeError:
            one.fail("encoding_key must be hashable", "a hashable value", keys[0])
        if keys[0] != one.codec.encoding_key():
            one.fail("encoding_key changes from call to call", keys[0], one.codec.encoding_key())
        if same_encoding and keys[0] != keys[1]:
            one.fail("encoding_key differs between codecs that encode equally", keys[0], keys[1])
        if keys[0] != keys[1]:
            return
        for message in (message for _, messages in self.pairs for message in messages):
            wires = self.encode(one, message), self.encode(other, message)
            if wires[0] != wires[1]:
                one.fail("codecs with equal encoding keys encode differently", *wires)

    def check_oversize(self, oversize: bytes) -> None:
        nothing: list[M] = []
        problem = "messages before one too large must be delivered, and nothing of it or after it"
        for wire, messages in [(b"", nothing), *self.pairs]:
            for chunks in ([wire + oversize], [wire, oversize], [*_bytewise(wire + oversize)]):
                run = self.run("oversize", chunks)
                if not isinstance(run.codec.fault, FrameTooLarge):
                    run.fail("a message too large was not refused", FrameTooLarge, run.codec.fault)
                run.feed(self.pairs[0][0])
                self.expect_messages(run, messages, problem)

    def check_garbage(self, garbage: Sequence[bytes]) -> None:
        damaged = [self.damage(self.random.choice(self.pairs)[0]) for _ in range(_MADE_UP)]
        noise = [self.random.randbytes(self.random.randrange(1, 200)) for _ in range(_MADE_UP)]
        for data in (*garbage, *damaged, *noise):
            whole = self.run("garbage", [data])
            if whole.codec.fault is not None:
                whole.feed(self.pairs[0][0])
            whole.feed_eof()
            for chunks in ([*_bytewise(data)], self.cut_at_random(data)):
                run = self.run("garbage, cut", chunks, eof=True)
                self.expect_messages(run, whole.messages, "garbage gives other messages when it is cut")
                if type(run.codec.fault) is not type(whole.codec.fault):
                    run.fail("garbage gives another fault when it is cut", whole.codec.fault, run.codec.fault)

    # --- how it is done

    def start(self, check: str, codec: Codec[M]) -> _Run[M]:
        return _Run(check, codec)

    def run(self, check: str, chunks: Sequence[bytes], eof: bool = False) -> _Run[M]:
        run = self.start(check, self.fresh())
        for chunk in chunks:
            run.feed(chunk)
        if eof:
            run.feed_eof()
        return run

    def expect(self, run: _Run[M], messages: list[M], problem: str = "not the messages that were sent") -> None:
        """These messages, and nothing else: no fault, no byte left."""
        if run.codec.fault is not None:
            run.fail("a fault in good input", messages, run.codec.fault)
        self.expect_messages(run, messages, problem)
        if run.codec.buffered != 0:
            run.fail("buffered is not 0 between messages", 0, run.codec.buffered)

    def expect_messages(self, run: _Run[M], messages: list[M], problem: str) -> None:
        run.check_batches()
        expected, got = self.normalise(messages), self.normalise(run.messages)
        if got != expected:
            run.fail(problem, expected, got)

    def encode(self, run: _Run[M], message: M) -> bytes:
        try:
            wire = run.codec.encode(message)
        except Exception as error:
            problem = f"encode raised for {_shorten.repr(message)}"
            raise CodecVerificationError(run.check, problem, run.chunks, "bytes", error) from error
        if type(wire) is not bytes:
            run.fail("encode must return bytes, which nobody can change later", "bytes", wire)
        return wire

    def cuts(self, wire: bytes) -> Iterator[tuple[str, list[bytes]]]:
        yield "whole", [wire]
        yield "byte by byte", [*_bytewise(wire)]
        for cut in self.split_points(wire):
            yield "split in two", [wire[:cut], wire[cut:]]
        for _ in range(self.samples):
            yield "cut at random", self.cut_at_random(wire)

    def split_points(self, wire: bytes) -> Sequence[int]:
        size = len(wire)
        if size <= _EVERY_SPLIT:
            return range(1, size)
        sampled = self.random.sample(range(1, size), min(self.samples, size - 1))
        return sorted({*range(1, 65), *range(size - 64, size), *sampled})

    def cut_at_random(self, wire: bytes) -> list[bytes]:
        """From two to about nine chunks, some of them only a byte."""
        count = min(self.random.randrange(1, 9), max(len(wire) - 1, 0))
        cuts = sorted(self.random.sample(range(1, len(wire)), count)) if count else []
        return [wire[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(wire)], strict=True)]

    def damage(self, wire: bytes) -> bytes:
        """The input with a few bytes changed, removed or put in."""
        damaged = bytearray(wire)
        for _ in range(self.random.randrange(1, 4)):
            place = self.random.randrange(len(damaged) + 1)
            damaged[place : place + self.random.randrange(3)] = self.random.randbytes(self.random.randrange(3))
        return bytes(damaged)


def _bytewise(wire: bytes) -> Iterator[bytes]:
    return (wire[index : index + 1] for index in range(len(wire)))
