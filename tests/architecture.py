"""The rules of the house, as functions from sources to complaints.

::

    7  cli/            __main__.py
    6  services/  ||   testing/   load/
    5  __init__.py
    4  server.py  running.py  supervisor.py  client/  observe/  cluster/
    3  core/
    2  codecs/    ||   routing/
    1  codec.py  handler.py  datagram.py  styles.py  matching.py
    0  errors.py  endpoint.py  limits.py  events.py

A module imports from its own package and from rooms below its own; rooms 0, 1, 4 and 7 also within themselves; ``||``
are siblings that do not import each other. Every check takes ``{"aionet/codecs/line.py": source, ...}`` and returns
its complaints, one line each, naming file and line; no complaint is an empty list. Nothing is imported to be checked.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Final

__all__ = [
    "MAX_LINES",
    "Import",
    "Sources",
    "check_all_declared",
    "check_cycles",
    "check_lazy_imports",
    "check_lengths",
    "check_mirrors",
    "check_public_names",
    "check_rooms",
    "check_standard_library",
    "check_test_packages",
    "check_third_room",
    "imports",
    "read_sources",
]

Sources = Mapping[str, str]
"""Source text by path from the project's root, with forward slashes."""

MAX_LINES: Final = 450
MAX_TEST_LINES: Final = 600
"""More, because a test file mirrors its module and is read one test at a time."""

ROOMS: Final = (
    ("errors", "endpoint", "limits", "events"),
    ("codec", "handler", "datagram", "styles", "matching"),
    ("codecs", "routing"),
    ("core",),
    ("server", "running", "supervisor", "client", "observe", "cluster"),
    ("__init__",),
    ("services", "testing", "load"),
    ("cli", "__main__"),
)
ROOM: Final = {part: number for number, parts in enumerate(ROOMS) for part in parts}
SEPARATE: Final = (frozenset({"codecs", "routing"}), frozenset({"services", "testing"}))

IMPURE: Final = frozenset(
    "asyncio concurrent logging multiprocessing select selectors signal socket socketserver ssl subprocess threading "
    "time uvloop".split()
)
"""What rooms 0 to 2 do without: IO, a clock, threads, logging."""

SOCKETS: Final = frozenset({"selectors", "socket", "socketserver", "ssl", "uvloop"})
"""What only core imports."""

TRANSPORTS: Final = frozenset(
    "BaseProtocol BaseTransport BufferedProtocol DatagramProtocol DatagramTransport Protocol ReadTransport "
    "StreamReader StreamReaderProtocol StreamWriter Transport WriteTransport open_connection open_unix_connection "
    "protocols sslproto start_server start_unix_server streams transports".split()
)
"""Names of asyncio that only core uses, and ``testing``, whose memory transport has to look like one."""

CROSS_CUTTING: Final = frozenset(
    f"tests/test_{name}.py"
    for name in (
        *("bad_input", "cheatsheet", "one_port", "one_port_peers", "public_api", "readme"),
        *("websocket_conformance", "websocket_peers"),
    )
)
"""Tests of the whole, which mirror no module."""


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name, resolved.

    Attributes:
        path: File the import stands in.
        line: Line of it.
        target: Module imported, dotted; of ``from a import b`` it is ``a.b`` where that is a module of the project.
        name: Name taken from ``target``; ``None`` where the module itself is imported.
        lazy: Inside a function.
        typing_only: Under ``if TYPE_CHECKING``.
    """

    path: str
    line: int
    target: str
    name: str | None = None
    lazy: bool = False
    typing_only: bool = False

    @property
    def place(self) -> str:
        """``path:line``, as editors read it."""
        return f"{self.path}:{self.line}"


def read_sources(root: Path, *directories: str) -> dict[str, str]:
    """All Python files of these directories; one that does not exist has none. A compiled module is its ``.pyi``."""
    files = [file for directory in directories for file in sorted((root / directory).rglob("*.py*"))]
    return {
        file.relative_to(root).as_posix(): file.read_text(encoding="utf-8")
        for file in files
        if file.suffix in (".py", ".pyi")
    }


def module_name(path: str) -> str:
    """``aionet.codecs.line`` for ``aionet/codecs/line.py``; a package's own name for its ``__init__.py``."""
    parts = PurePosixPath(path).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(module: str) -> str:
    """The word of the table above that a module of aionet belongs to."""
    _, _, inner = module.partition(".")
    return inner.partition(".")[0] or "__init__"


@cache
def _parse(path: str, source: str) -> ast.Module:
    return ast.parse(source, path)


def imports(sources: Sources) -> list[Import]:
    """Every import of these sources, in order; also ``import_module("aionet...")`` with a name written out."""
    modules = {module_name(path) for path in sources}
    return [found for path, source in sources.items() for found in _walk(_parse(path, source), path, modules)]


def _walk(
    node: ast.AST, path: str, modules: set[str], lazy: bool = False, typing_only: bool = False
) -> Iterator[Import]:
    for target, name in _targets(node, path, modules):
        assert isinstance(node, (ast.stmt, ast.expr))
        yield Import(path, node.lineno, target, name, lazy, typing_only)
    inner_lazy = lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    guarded = node.body if isinstance(node, ast.If) and _is_type_checking(node.test) else []
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, path, modules, inner_lazy, typing_only or child in guarded)


def _is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _targets(node: ast.AST, path: str, modules: set[str]) -> Iterator[tuple[str, str | None]]:
    match node:
        case ast.Import(names=names):
            for alias in names:
                yield alias.name, None
        case ast.ImportFrom(names=names):
            base = _base(node, path)
            for alias in names:
                inner = f"{base}.{alias.name}"
                yield (inner, None) if inner in modules else (base, alias.name)
        case ast.Call(args=[ast.Constant(value=str(name)), *_], func=function):
            if ast.unparse(function) in ("__import__", "import_module", "importlib.import_module"):
                yield name, None


def _base(node: ast.ImportFrom, path: str) -> str:
    if not node.level:
        return node.module or ""
    package = PurePosixPath(path).parts[: -node.level]
    return ".".join((*package, node.module) if node.module else package)


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "aionet"


def _package_imports(sources: Sources) -> Iterator[tuple[Import, str, str]]:
    """Imports of aionet by aionet, each with the parts it leads from and to."""
    for found in imports(sources):
        if found.path.startswith("aionet/") and _is_ours(found.target):
            yield found, part_of(module_name(found.path)), part_of(found.target)


def check_rooms(sources: Sources) -> list[str]:
    """A module imports only from rooms below its own, from its own package, or from a sibling that is allowed."""
    complaints = [
        f"{path}:1: {part} has no room; the table at the top of tests/architecture.py says which there are"
        for path in sources
        if path.startswith("aionet/") and (part := part_of(module_name(path))) not in ROOM
    ]
    for found, here, there in _package_imports(sources):
        if here == there or here not in ROOM or there not in ROOM:
            continue
        if ROOM[there] > ROOM[here]:
            complaints.append(
                f"{found.place}: {here} (room {ROOM[here]}) imports {there} (room {ROOM[there]}) above it"
            )
        elif any({here, there} == pair for pair in SEPARATE):
            complaints.append(f"{found.place}: {here} and {there} are siblings that do not import each other")
    return complaints


def check_standard_library(sources: Sources) -> list[str]:
    """Room 0 imports nothing but the standard library and itself; rooms 0 to 2 no IO, clock, threads or logging.

    Imports for the type checker alone are left out, except those of aionet, which :func:`check_rooms` reads.
    """
    complaints = []
    for found in imports(sources):
        here = part_of(module_name(found.path))
        room = ROOM.get(here, len(ROOMS))
        top = found.target.partition(".")[0]
        if not found.path.startswith("aionet/") or room > 2 or found.typing_only or _is_ours(found.target):
            continue
        if top in IMPURE:
            complaints.append(f"{found.place}: {here} (room {room}) imports {top}; rooms 0 to 2 are pure")
        elif room == 0 and top not in sys.stdlib_module_names:
            complaints.append(f"{found.place}: {here} (room 0) imports {top}, which is not in the standard library")
    return complaints


def check_third_room(sources: Sources) -> list[str]:
    """Only core imports sockets, TLS, selectors, uvloop and the transports of asyncio; others import asyncio alone."""
    complaints = []
    for found in imports(sources):
        here = part_of(module_name(found.path))
        if not found.path.startswith("aionet/") or here == "core" or found.typing_only:
            continue
        top, _, inner = found.target.partition(".")
        if top in SOCKETS:
            complaints.append(f"{found.place}: {here} imports {top}; only core does")
        elif top == "asyncio" and here != "testing" and (inner or found.name) in TRANSPORTS:
            complaints.append(f"{found.place}: {here} imports asyncio.{inner or found.name}; only core does")
    for path, source in sources.items():
        if path.startswith("aionet/") and part_of(module_name(path)) not in ("core", "testing"):
            complaints += [
                f"{path}:{node.lineno}: {part_of(module_name(path))} uses asyncio.{node.attr}; only core does"
                for node in ast.walk(_parse(path, source))
                if isinstance(node, ast.Attribute) and node.attr in TRANSPORTS and ast.unparse(node.value) == "asyncio"
            ]
    return complaints


def check_public_names(sources: Sources) -> list[str]:
    """Services and testing import what a user could: names in ``__all__`` of aionet, or of a module right below it.

    ``testing`` may also import core, whose inside it replaces.
    """
    exported = {module_name(path): _all_of(_parse(path, source)) for path, source in sources.items()}
    complaints = []
    for found, here, there in _package_imports(sources):
        if here not in ("services", "testing") or here == there or (here == "testing" and there == "core"):
            continue
        if there == "core" or found.target.count(".") > 1:
            complaints.append(
                f"{found.place}: {here} imports {found.target}, which is inside; take it from where it is public"
            )
        elif found.name is not None:
            names = exported.get(found.target)
            if found.name not in names if names is not None else found.name.startswith("_"):
                complaints.append(f"{found.place}: {here} imports {found.name}, which {found.target} does not export")
    return complaints


def check_cycles(sources: Sources) -> list[str]:
    """No module is needed for its own import. To need a module of another package is to need its ``__init__`` too."""
    modules = {module_name(path): path for path in sources}
    needs: dict[str, dict[str, Import]] = {name: {} for name in modules}
    for found in imports(sources):
        if found.lazy or found.target not in modules:
            continue
        name = module_name(found.path)
        packages = found.target.split(".")
        for depth in range(len(packages), 0, -1):
            needed = ".".join(packages[:depth])
            if needed in modules and (needed == found.target or not f"{name}.".startswith(f"{needed}.")):
                needs[name].setdefault(needed, found)
    return [
        f"{needs[cycle[0]][cycle[1 % len(cycle)]].place}: import cycle: {' -> '.join((*cycle, cycle[0]))}"
        for cycle in _cycles({name: list(targets) for name, targets in needs.items()})
    ]


def _cycles(needs: Mapping[str, list[str]]) -> list[list[str]]:
    """One cycle for each edge that closes one, found depth first."""
    cycles: list[list[str]] = []
    done: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> None:
        if name in path:
            cycles.append(path[path.index(name) :])
        elif name not in done:
            path.append(name)
            for needed in needs[name]:
                visit(needed)
            path.pop()
            done.add(name)

    for name in needs:
        visit(name)
    return cycles


def check_lazy_imports(sources: Sources) -> list[str]:
    """No import of aionet inside a function, which would hide a cycle.

    Commands of cli may load what they need late, and a package a module of its own that loads another library.
    """
    return [
        f"{found.place}: {found.target} is imported inside a function; import it at the top"
        for found, here, there in _package_imports(sources)
        if found.lazy and here != "cli" and not (here == there and found.path.endswith("/__init__.py"))
    ]


def check_lengths(sources: Sources) -> list[str]:
    """No file is longer than :data:`MAX_LINES`: there a second purpose shows."""
    return [
        f"{path}:{lines}: {lines} lines, more than {limit}; which second purpose is in it?"
        for path, source in sources.items()
        if (lines := len(source.splitlines())) > (limit := MAX_TEST_LINES if path.startswith("tests/") else MAX_LINES)
    ]


def _all_of(tree: ast.Module) -> frozenset[str] | None:
    """The names of ``__all__``, added ones too; ``None`` where a module has none."""
    names: set[str] | None = None
    for node in tree.body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id="__all__")], value=value)
                | ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.expr() as value)
                | ast.AugAssign(target=ast.Name(id="__all__"), value=value)
            ):
                texts = {part.value for part in ast.walk(value) if isinstance(part, ast.Constant)}
                names = (names or set()) | {text for text in texts if isinstance(text, str)}
    return None if names is None else frozenset(names)


def _exports(path: str, tree: ast.Module) -> Iterator[str]:
    """Public names a module defines; those a package's ``__init__`` takes from its own modules as well."""
    for node in tree.body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.ImportFrom(level=level, names=names) if level == 1 and path.endswith("/__init__.py"):
                yield from (alias.asname or alias.name for alias in names)


def check_all_declared(sources: Sources) -> list[str]:
    """A public module that has something to export says what in ``__all__``. The cli exports nothing."""
    complaints = []
    for path, source in sources.items():
        module, tree = module_name(path), _parse(path, source)
        private = any(word.startswith("_") for word in module.split("."))
        if not path.startswith("aionet/") or private or part_of(module) == "cli" or _all_of(tree) is not None:
            continue
        public = [name for name in _exports(path, tree) if not name.startswith("_")]
        if public:
            complaints.append(f"{path}:1: no __all__, though it has {', '.join(public[:3])}")
    return complaints


def check_test_packages(sources: Sources) -> list[str]:
    """Each folder of tests is a package: without that, two test files of one name cannot be collected together."""
    folders = {PurePosixPath(path).parent for path in sources if path.startswith("tests/")}
    return [
        f"{folder}/__init__.py:1: is missing; an empty one will do"
        for folder in sorted(folders)
        if f"{folder}/__init__.py" not in sources
    ]


def check_mirrors(sources: Sources) -> list[str]:
    """Each test file is named after a module, each module of aionet that has code has a test file.

    ``aionet/codecs/line.py`` is tested by ``tests/codecs/test_line.py``, and where that grows too long also by
    ``test_line_<aspect>.py``; ``aionet/__main__.py`` by ``tests/test_main.py``; ``examples/x.py`` and
    ``benchmarks/x.py`` by ``tests/examples/test_x.py`` and ``tests/benchmarks/test_x.py``; what tests share,
    ``tests/x.py``, by ``tests/test_x.py``. A folder may have one as a whole; what stands in
    ``aionet/cli/__init__.py`` is tested by ``tests/test_cli.py``, or by ``test_init.py`` or ``test_cli.py`` in
    ``tests/cli/``.
    """
    tests = {path for path in sources if path.startswith("tests/") and PurePosixPath(path).name.startswith("test_")}
    mirrors = {path: _mirrors(path) for path in sources.keys() - tests}
    named = {stem for stems in mirrors.values() for stem in stems}
    named |= {
        stem for path in mirrors for folder in PurePosixPath(path).parents[:-1] for stem in _mirrors(f"{folder}.py")
    }
    complaints = [
        f"{test}:1: named after no module" for test in sorted(tests - CROSS_CUTTING) if named.isdisjoint(_stems(test))
    ]
    tested = {stem for test in tests for stem in _stems(test)}
    return complaints + [
        f"{path}:1: has no test file {stems[0]}.py"
        for path, stems in sorted(mirrors.items())
        if path.startswith("aionet/") and tested.isdisjoint(stems) and _has_code(_parse(path, sources[path]))
    ]


def _mirrors(path: str) -> list[str]:
    """Where the tests of a module may be, without ``.py``."""
    words = list(PurePosixPath(path).with_suffix("").parts)
    if words[0] in ("aionet", "tests") and len(words) > 1:
        words = words[1:]
    stems = ["/".join(("tests", *words[:-1], f"test_{words[-1].strip('_')}"))]
    if words[-1] == "__init__" and len(words) > 1:
        stems += [*_mirrors("/".join(words[:-1])), "/".join(("tests", *words[:-1], f"test_{words[-2]}"))]
    return stems


def _stems(test: str) -> Iterator[str]:
    """``tests/core/test_stream_tls`` and ``tests/core/test_stream`` for ``tests/core/test_stream_tls.py``."""
    folder, _, rest = test.removesuffix(".py").rpartition("/test_")
    words = rest.split("_")
    for length in range(len(words), 0, -1):
        yield f"{folder}/test_{'_'.join(words[:length])}"


def _has_code(tree: ast.Module) -> bool:
    return any(isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) for node in tree.body)
