"""What a protocol's own tests can use. But for the proxy, nothing here needs a network or waits for real time."""

from .clock import VirtualClockLoop
from .codecs import CodecVerificationError, verify_codec
from .faults import Direction, Fault, FaultKind, FaultProxy
from .harness import HandlerHarness, MemoryPeer
from .matchers import MatcherVerificationError, verify_decision, verify_matcher
from .memory import MemoryTransport

__all__ = [
    "CodecVerificationError",
    "Direction",
    "Fault",
    "FaultKind",
    "FaultProxy",
    "HandlerHarness",
    "MatcherVerificationError",
    "MemoryPeer",
    "MemoryTransport",
    "VirtualClockLoop",
    "verify_codec",
    "verify_decision",
    "verify_matcher",
]
