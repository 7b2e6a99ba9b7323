from __future__ import annotations

import ssl
from pathlib import Path

from benchmarks.workspace import PERIOD, workspace


def test_files_hold_the_pattern_and_are_made_once() -> None:
    with workspace() as places:
        path = places.files / places.file(PERIOD * 70 + 5)
        content = path.read_bytes()
        assert len(content) == PERIOD * 70 + 5
        assert all(content[at] == 97 + at % PERIOD % 23 for at in (0, 22, 23, PERIOD - 1, PERIOD, PERIOD * 65 + 7))
        made = path.stat().st_mtime_ns
        places.file(PERIOD * 70 + 5)
        assert path.stat().st_mtime_ns == made


def test_many_files_are_made_once_and_what_is_received_is_gone_afterwards() -> None:
    with workspace() as places:
        names = places.many(3, 100)
        assert [(places.files / name).stat().st_size for name in names] == [100] * 3
        assert places.many(3, 100) == names
        with places.destination() as first, places.destination() as second:
            assert first != second
            (first / "file").write_bytes(b"x")
        assert not first.exists()


def test_the_certificate_is_one_and_all_is_gone_afterwards() -> None:
    with workspace() as places:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(str(places["cert"]), str(places["key"]))
        assert sorted(places) == ["cert", "files", "key"]
        assert len(places) == 3
        directory = Path(str(places["files"])).parent
    assert not directory.exists()
