"""Publish and subscribe over lines. Subscribers that do not keep up lose the oldest messages, and nobody else waits.

Run it, from the project's directory, by any of::

    python -m examples.pubsub
    python -m aionet serve examples.pubsub:router

Try it in two terminals::

    nc 127.0.0.1 7050        # type: SUBSCRIBE news
    nc 127.0.0.1 7050        # type: PUBLISH news it works

Commands: ``SUBSCRIBE topic``, ``UNSUBSCRIBE topic``, ``PUBLISH topic text``, ``TOPICS``, ``QUIT``. Answers begin with
``+`` or ``-``, messages with ``*``: ``* news it works``. A publisher is answered with the number of subscribers.
"""

from __future__ import annotations

import re
import sys
from typing import Final

from aionet import CloseReason, Connection, Group, LineCodec, Router, SlowConsumerPolicy, StreamHandler, Timeouts, run
from aionet.errors import ProtocolError

MAX_LINE: Final = 4096
"""Bytes of a command."""

MAX_TOPICS: Final = 1000
"""Topics with subscribers, in all: what a stranger can make us remember is finite."""

MAX_SUBSCRIPTIONS: Final = 32
"""Topics one connection may subscribe to."""

_TOPIC: Final = re.compile(rb"[!-~]{1,64}\Z")  # printable ASCII: it is shown on other people's terminals


class PubSub(StreamHandler[bytes]):
    """A group for each topic.

    Args:
        policy: For subscribers that do not keep up: ``drop_oldest``, ``drop_newest`` or ``disconnect``.
        max_backlog: Bytes kept for one of them and topic, under a policy that drops.
    """

    codec = LineCodec(max_size=MAX_LINE)

    # A subscriber may listen for a day and never speak again.
    timeouts = Timeouts(idle=24 * 3600.0)

    def __init__(self, policy: SlowConsumerPolicy = "drop_oldest", max_backlog: int = 64 * 1024) -> None:
        self.policy: SlowConsumerPolicy = policy
        self.max_backlog = max_backlog
        self.topics: dict[bytes, Group[bytes]] = {}

    def on_connect(self, conn: Connection[bytes]) -> None:
        """``conn.state`` holds the topics of a connection."""
        conn.state = set()

    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        """One command."""
        word, _, rest = message.strip().partition(b" ")
        topic, _, text = rest.strip().partition(b" ")
        command = word.upper()
        if command == b"QUIT":
            conn.write(b"+ goodbye")
            conn.close()
        elif command == b"TOPICS":
            conn.write(b"+ " + b" ".join(sorted(self.topics)[:MAX_SUBSCRIPTIONS]))
        elif command not in (b"SUBSCRIBE", b"UNSUBSCRIBE", b"PUBLISH"):
            conn.write(b"- commands: SUBSCRIBE, UNSUBSCRIBE, PUBLISH, TOPICS, QUIT")
        elif _TOPIC.match(topic) is None:
            conn.write(b"- a topic has 1 to 64 printable characters without spaces")
        elif command == b"PUBLISH":
            conn.write(b"+ %d" % self.publish(topic, text))
        elif command == b"SUBSCRIBE":
            conn.write(self.subscribe(conn, topic))
        else:
            self.unsubscribe(conn, topic)
            conn.write(b"+ unsubscribed")

    def publish(self, topic: bytes, text: bytes) -> int:
        """Tell the subscribers; how many there are. Encoded once, whatever their number."""
        group = self.topics.get(topic)
        if group is None:
            return 0
        # Control characters of one person must not reach another one's terminal.
        shown = re.sub(rb"[\x00-\x1f\x7f]", b"?", text)
        group.broadcast((b"* %b %b" % (topic, shown))[:MAX_LINE])
        return len(group)

    def subscribe(self, conn: Connection[bytes], topic: bytes) -> bytes:
        """Let the connection hear a topic; the answer."""
        if topic not in conn.state and len(conn.state) >= MAX_SUBSCRIPTIONS:
            return b"- at most %d subscriptions" % MAX_SUBSCRIPTIONS
        if topic not in self.topics:
            if len(self.topics) >= MAX_TOPICS:
                return b"- at most %d topics" % MAX_TOPICS
            self.topics[topic] = Group(policy=self.policy, max_backlog=self.max_backlog)
        self.topics[topic].add(conn)
        conn.state.add(topic)
        return b"+ subscribed"

    def unsubscribe(self, conn: Connection[bytes], topic: bytes) -> None:
        """Undo it. The last one to leave takes the topic along."""
        conn.state.discard(topic)
        group = self.topics.get(topic)
        if group is not None:
            group.discard(conn)
            if not group:
                del self.topics[topic]

    def on_fault(self, conn: Connection[bytes], fault: ProtocolError) -> None:
        """A line too long, or one cut off."""
        conn.write(b"- %b" % str(fault).encode())

    def on_close(self, conn: Connection[bytes], reason: CloseReason, exc: BaseException | None) -> None:
        """It has left its groups by itself; only the empty ones are to be thrown away."""
        for topic in tuple(conn.state):
            self.unsubscribe(conn, topic)


def make_router(endpoint: str = "tcp://127.0.0.1:7050") -> Router:
    """One route."""
    router = Router()
    router.add(endpoint, PubSub())
    return router


router = make_router()

if __name__ == "__main__":
    raise SystemExit(run(make_router(*sys.argv[1:])))
