"""A mail server beside a protocol of one's own, on one port: aiosmtpd greets those who wait for a greeting.

Run it, from the project's directory (it needs aiosmtpd)::

    python -m examples.smtp_guest

Try it from another terminal::

    python -c "import smtplib; smtplib.SMTP('127.0.0.1', 7025).sendmail('a@example.com', ['b@example.com'], 'hello')"
    printf 'count\\n' | nc -N 127.0.0.1 7025    # how many mails have come

``python -m aionet serve examples.smtp_guest:router`` does the same.

In SMTP the server speaks first, so there are no first bytes to tell it by: ``silence()`` is the route of clients that
say nothing for so long. It is what they wait for the greeting.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from aionet import Connection, LineCodec, Router, StreamHandler, run
from aionet.routing import silence


class Mailbox:
    """Takes mails, and shows where they are from. (What aiosmtpd calls a handler.)"""

    def __init__(self) -> None:
        self.count = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """One mail has come."""
        self.count += 1
        size = len(envelope.content or b"")
        print(f"mail {self.count}: {size} bytes from {envelope.mail_from}", file=sys.stderr, flush=True)
        return "250 taken"


class Counter(StreamHandler[bytes]):
    """The protocol of one's own."""

    codec = LineCodec(max_size=64)

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox

    def on_message(self, conn: Connection[bytes], message: bytes) -> None:
        """One question."""
        conn.write(b"%d" % self.mailbox.count if message == b"count" else b"count?")


def make_router(mailbox: Mailbox, endpoint: str = "tcp://127.0.0.1:7025", **options: Any) -> Router:
    """Those who say nothing are for the guest; ``options`` are aiosmtpd's."""
    router = Router()
    guest = partial(SMTP, mailbox, hostname="localhost", **options)
    router.add(endpoint, protocol=guest, match=silence(0.5), name="smtp")
    router.add(endpoint, Counter(mailbox))
    return router


def router() -> Router:
    """For ``python -m aionet serve examples.smtp_guest:router``."""
    return make_router(Mailbox())


if __name__ == "__main__":
    sys.exit(run(make_router(Mailbox(), sys.argv[1]) if len(sys.argv) > 1 else router()))
