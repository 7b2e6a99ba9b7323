"""One chat room for browsers, terminals and ``nc``: the same handler over WebSocket and over TCP.

Run it, from the project's directory::

    python -m examples.browser_chat
    python -m aionet serve examples.browser_chat:router      # the same, with limits and logging of your own

Try it: open http://127.0.0.1:8081/ in a browser, and from terminals::

    nc 127.0.0.1 9081
    python -m aionet chat --name ada ws://127.0.0.1:8081/chat
    curl -s http://127.0.0.1:8081/healthz

``Chat`` knows nothing of WebSocket. The endpoint's scheme has its lines carried by WebSocket messages; ``pages`` are
what a browser asks for before that. Pages of other sites may not connect: the browser says whose page it is, and the
codec compares that with the host it was asked for by (``origins=`` names others).
"""

from __future__ import annotations

import sys

from aionet import Router, WebSocketCodec, run
from aionet.codecs.websocket import Page
from aionet.services.chat import Chat

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Chat</title>
<link rel="icon" href="data:,">
<style>
  body { font: 1rem/1.4 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem }
  #log { height: 60vh; overflow-y: auto; border: 1px solid #8888; padding: .5rem; white-space: pre-wrap }
  form { display: flex; gap: .5rem; margin-top: .5rem }
  input { flex: 1; font: inherit; padding: .3rem }
</style>
<h1>Chat</h1>
<div id="log" role="log"></div>
<form><input autocomplete="off" autofocus aria-label="Message" maxlength="4000"><button>Send</button></form>
<script>
  const log = document.querySelector("#log"), form = document.querySelector("form"), input = form.elements[0];
  function show(line) {
    log.append(line + "\\n");              // as text: what others say is never markup
    log.scrollTop = log.scrollHeight;
  }
  const socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/chat");
  socket.onmessage = event => show(event.data);
  socket.onclose = event => { show(`(closed: ${event.code} ${event.reason})`); input.disabled = true };
  form.onsubmit = event => {
    event.preventDefault();
    if (input.value) { socket.send(input.value); show("> " + input.value); input.value = "" }
  };
</script>
"""


def make_router(endpoint: str = "ws://127.0.0.1:8081/chat", listen: str = "tcp://127.0.0.1:9081") -> Router:
    """The room, at both doors."""
    room = Chat()
    pages = {"/": Page(PAGE.encode()), "/healthz": Page(b"ok\n", "text/plain")}
    router = Router()
    router.add(endpoint, room, codec=WebSocketCodec(pages=pages), name="browser")
    router.add(listen, room, name="terminal")
    return router


router = make_router()


if __name__ == "__main__":
    raise SystemExit(run(make_router(*sys.argv[1:])))
