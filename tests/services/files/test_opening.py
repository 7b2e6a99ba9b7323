"""What both ways of opening share is tested through test_paths; here what only one of them does."""

from __future__ import annotations

import os

import pytest

from aionet.services.files.opening import open_by_steps

from .conftest import Tree


def test_by_steps_no_descriptor_stays_behind(tree: Tree) -> None:
    root = os.open(tree.root, os.O_RDONLY)
    before = len(os.listdir("/proc/self/fd"))
    os.close(open_by_steps(root, "sub/deep/leaf", os.O_RDONLY))
    for name in ("sub/deep/nothing", "sub/nothing/leaf", "link-dir/inner.txt", "link-inside"):
        with pytest.raises(OSError, match=r"nothing|link|No such"):
            open_by_steps(root, name, os.O_RDONLY)
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(root)
