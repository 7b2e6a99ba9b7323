"""Chat: a room of people who write lines to each other. ``nc`` is enough of a client; :func:`run_chat` is a kinder one.

==============  ======================================================================
:mod:`.wire`    the dialogue, its constants, its codec
:mod:`.text`    what may reach a terminal
:mod:`.names`   who may be called what
:mod:`.handler` :class:`Chat`, the server
:mod:`.client`  :func:`run_chat`, with :mod:`.keyboard` and :mod:`.screen`
==============  ======================================================================
"""

from .client import run_chat
from .handler import Chat

__all__ = ["Chat", "run_chat"]
