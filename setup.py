"""Builds the native transports where that is possible; elsewhere the event loop's own serve, and nothing is lost but speed.

Everything else about the package stands in pyproject.toml.
"""

import sys

from setuptools import Extension, setup

extensions = []
if sys.platform == "linux":
    from Cython.Build import cythonize

    sources = ["aionet/core/_epoll.pyx", "aionet/core/message_path.py"]
    extensions = cythonize(
        [Extension(source.partition(".")[0].replace("/", "."), [source], optional=True) for source in sources],
        build_dir="build",
        compiler_directives={"annotation_typing": False, "boundscheck": False, "wraparound": False},
    )

setup(ext_modules=extensions)
