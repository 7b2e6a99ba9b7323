"""What the package offers is there at once, but for what loads another library."""

from __future__ import annotations

import subprocess
import sys

import pytest

import aionet
from aionet.codecs.websocket import WebSocketCodec


def test_websocket_is_loaded_when_it_is_asked_for() -> None:
    code = (
        "import sys, aionet\n"
        "assert 'websockets' not in sys.modules\n"
        "router = aionet.Router()\n"
        "router.add('ws://127.0.0.1:0/', aionet.StreamHandler())\n"
        "assert 'websockets' not in sys.modules\n"
        "aionet.WebSocketCodec()\n"
        "assert 'websockets' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert aionet.WebSocketCodec is aionet.codecs.WebSocketCodec is WebSocketCodec


@pytest.mark.parametrize("package", [aionet, aionet.codecs])
def test_no_other_name_is_made_up(package: object) -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        package.nothing  # type: ignore[attr-defined]  # noqa: B018
