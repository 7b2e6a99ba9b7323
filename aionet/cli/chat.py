"""``aionet chat``."""

from __future__ import annotations

import click

from ..core.loop import run
from ..services.chat import run_chat
from .options import DEFAULT_CHAT, debug_option, timeout_option

__all__ = ["chat"]


@click.command(
    epilog="""\b
Examples:
  python -m aionet chat
  python -m aionet chat --name ada
  python -m aionet chat --name ada 'tls://chat.example.com:9999?ca=ca.pem'
  python -m aionet chat --name ada wss://chat.example.com/chat
\b
Exit codes: 0 we left, 1 the server ended it, 3 not reached, 4 bad endpoint."""
)
@click.argument("endpoint", default=DEFAULT_CHAT)
@click.option("--name", help="Who you are; without it the server asks.")
@timeout_option(10.0)
@debug_option
def chat(endpoint: str, name: str | None, timeout: float) -> int:
    """Join the chat at ENDPOINT (default: tcp://127.0.0.1:9999). /quit or Ctrl+D leaves."""
    return run(run_chat(endpoint, name=name, timeout=timeout), loop="auto")
