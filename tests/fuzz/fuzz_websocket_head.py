"""Heads of WebSocket handshakes, of both sides: answered or not yet complete, and the same however they are cut."""

from __future__ import annotations

from typing import Final

from aionet import Endpoint, WebSocketCodec
from aionet.codecs.websocket import Page
from aionet.errors import HandshakeError

from ..codecs.test_websocket_opening import get, head

SERVER: Final = WebSocketCodec(path="/chat", subprotocols=("chat.v1",), pages={"/": Page(b"hi")}, compress=True)
CLIENT: Final = SERVER.towards(Endpoint.parse("ws://example.com/chat"))
SEEDS: Final = (
    head(
        Origin="http://example.com:8081",
        Sec_WebSocket_Protocol="chat.v1",
        Sec_WebSocket_Extensions="permessage-deflate",
    ),
    head("http://example.com/chat", Origin="null"),
    head(drop="Host"),
    get("/") + get("/"),
    get("/chat", "HEAD"),
    b"\x80HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
    b"\x80HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno\n",
)


def check(data: bytes) -> None:
    """A first byte above 127 makes the rest a server's answer."""
    made = CLIENT if data[:1] > b"\x7f" else SERVER
    stream = data[1:] if made is CLIENT else data
    whole = _outcome(made, [stream])
    assert _outcome(made, [stream[at : at + 7] for at in range(0, len(stream), 7)]) == whole


def _outcome(made: WebSocketCodec[bytes], chunks: list[bytes]) -> tuple[object, ...]:
    codec = made.clone()
    codec.data_to_send()
    for chunk in chunks:
        codec.feed(chunk)
        if codec.is_open or codec.ended or codec.fault is not None:
            break  # frames are for another target
    answer = codec.data_to_send()
    fault = codec.fault
    if not codec.is_open:
        assert fault is None or isinstance(fault, HandshakeError)
        assert codec.buffered <= 16 * 1024 or fault is not None
        assert answer or made is CLIENT or (fault is None and not codec.ended)
    if codec.is_open:
        return (codec.request,)  # frames may have come behind it
    return codec.ended, None if fault is None else str(fault), answer[:20]
