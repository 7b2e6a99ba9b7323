"""WebSocket echo: picows, callbacks from Cython."""

from __future__ import annotations

import argparse
import asyncio

from picows import WSFrame, WSListener, WSTransport, WSUpgradeRequest, ws_create_server

from benchmarks.peers.common import BACKLOG, announce_socket, listening_socket, options, run


class Echo(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        transport.send(frame.msg_type, frame.get_payload_as_bytes())


def accept(request: WSUpgradeRequest) -> Echo:
    return Echo()


async def main(arguments: argparse.Namespace) -> None:
    listener = listening_socket(arguments.port)
    await ws_create_server(accept, sock=listener, backlog=BACKLOG)
    announce_socket(listener)
    await asyncio.Event().wait()


if __name__ == "__main__":
    arguments = options("picows, echo")
    run(main(arguments), arguments)
