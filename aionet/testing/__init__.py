"""What a protocol's own tests can use. But for the proxy, nothing here needs a network or waits for real time."""

from .clock import VirtualClockLoop
from .codecs import CodecVerificationError, verify_codec
from .faults import Direction, Fault, FaultKind, FaultProxy
from .harness import HandlerHarness, MemoryPeer
from .memory import MemoryTransport

__all__ = [
    "CodecVerificationError",
    "Direction",
    "Fault",
    "FaultKind",
    "FaultProxy",
    "HandlerHarness",
    "MemoryPeer",
    "MemoryTransport",
    "VirtualClockLoop",
    "verify_codec",
]
