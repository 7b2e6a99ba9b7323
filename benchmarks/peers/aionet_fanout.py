"""Fan-out: ours. A connection that says SUB is told what any other says, through one Group."""

from __future__ import annotations

from aionet import Connection, Group, LineCodec, Router, StreamHandler
from benchmarks.peers.common import options, run
from benchmarks.peers.ours import stream_endpoint, until_ended


class Fanout(StreamHandler[bytes]):
    codec = LineCodec()

    def __init__(self) -> None:
        self.members: Group[bytes] = Group()

    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        if message == b"SUB":
            self.members.add(conn)
            conn.write(b"+OK")
        else:
            self.members.broadcast(message)


if __name__ == "__main__":
    arguments = options("aionet, fan-out")
    router = Router()
    router.add(stream_endpoint(arguments), Fanout())
    run(until_ended(router), arguments)
