"""Builds the native transports where that is possible; elsewhere the event loop's own serve, and nothing is lost but speed.

Everything else about the package stands in pyproject.toml.
"""

import sys

from setuptools import Extension, setup

extensions = []
if sys.platform == "linux":
    from Cython.Build import cythonize

    extensions = cythonize(
        [Extension("aionet.core._epoll", ["aionet/core/_epoll.pyx"], optional=True)], build_dir="build", force=True
    )

setup(ext_modules=extensions)
