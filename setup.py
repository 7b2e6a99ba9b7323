"""Compiles the parts that every byte goes through, where there is a C compiler (Linux). Elsewhere the event loop's
transports and the plain Python of the same files serve: nothing is lost but speed.

Everything else about the package stands in pyproject.toml.
"""

import sys

from setuptools import Extension, setup

SOURCES = [
    "aionet/codecs/_lengths.pyx",
    "aionet/codecs/_lines.pyx",
    "aionet/core/_awaiting.pyx",
    "aionet/core/_datagrams.pyx",
    "aionet/core/_epoll.pyx",
    "aionet/core/message_path.py",
    "aionet/core/tls_path.py",
    "aionet/services/files/_memory.pyx",
]

extensions = []
if sys.platform == "linux":
    from Cython.Build import cythonize

    extensions = cythonize(
        [Extension(source.partition(".")[0].replace("/", "."), [source]) for source in SOURCES],
        build_dir="build",
        compiler_directives={
            "annotation_typing": False,  # annotations are for the reader and mypy: bytearray is as good as bytes
            "boundscheck": False,
            "initializedcheck": False,
            "language_level": 3,
            "wraparound": False,
        },
    )
    for extension in extensions:
        extension.optional = True  # cythonize() would drop it

setup(ext_modules=extensions)
