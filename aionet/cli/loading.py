"""``MODULE:ATTR`` to an object: import errors that tell a user what to do."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import TypeGuard, TypeVar

from ..datagram import DatagramHandler
from ..errors import AionetError, ConfigError, LoadError
from ..handler import StreamHandler
from ..routing import Router

__all__ = ["load", "load_handler", "load_router"]

T = TypeVar("T")


def load_router(target: str, app_dir: str) -> Router:
    """The router that ``MODULE:ATTR`` names, or that the function without parameters it names returns.

    Raises:
        LoadError: no such module or attribute, an exception at import, or something that is no router.
        ConfigError: the module itself configured something wrong, an endpoint for example.
    """
    found = load(target, app_dir)
    if isinstance(found, Router):
        return found
    if _is_factory(found):
        made = _run(found, f"{target}()")
        if isinstance(made, Router):
            return made
        raise LoadError(f"{target}() returned {_kind(made)}, not a Router", hint="end the function with: return router")
    raise LoadError(f"{target} is {_kind(found)}, not a Router", hint=_hint_for(found, target))


def load_handler(target: str, app_dir: str) -> object:
    """The handler that ``MODULE:ATTR`` names; of a handler class an instance.

    Raises:
        LoadError: as :func:`load_router`.
    """
    found = load(target, app_dir)
    if isinstance(found, type) and issubclass(found, (StreamHandler, DatagramHandler)):
        return _run(found, f"{target}()")
    if isinstance(found, (StreamHandler, DatagramHandler)) or inspect.iscoroutinefunction(found):
        return found
    raise LoadError(
        f"{target} is {_kind(found)}, not a handler",
        hint=f"a whole router is served without an endpoint: python -m aionet serve {target}"
        if isinstance(found, Router)
        else "a StreamHandler, a DatagramHandler, or an 'async def handler(conn)'",
    )


def load(target: str, app_dir: str) -> object:
    """Import the module of ``MODULE:ATTR`` with ``app_dir`` first on the path, and look the attribute up.

    Raises:
        LoadError: there is no such module or attribute, or importing it raised.
        ConfigError: importing it raised one.
    """
    name, _, attribute = target.partition(":")
    if "/" in name or name.endswith(".py"):
        dotted = name.removesuffix(".py").strip("./").replace("/", ".")
        raise LoadError(f"{name!r} is a file, a module is needed", hint=f"try {dotted}:{attribute or 'router'}")
    if not all(part.isidentifier() for part in name.split(".")):
        raise LoadError(f"{name!r} is no module name", hint="such as examples.kv:router")
    directory = os.path.abspath(app_dir)
    if directory not in sys.path[:1]:
        sys.path.insert(0, directory)
    module = _import(name, directory)
    if not attribute:
        raise LoadError(f"{target!r} names no attribute", hint=f"try {name}:{_first_router(module) or 'router'}")
    return _attribute(module, attribute)


def _import(name: str, directory: str) -> ModuleType:
    try:
        return _run(lambda: importlib.import_module(name), name)
    except LoadError as exc:
        cause = exc.__cause__
        if isinstance(cause, ModuleNotFoundError) and cause.name and f"{name}.".startswith(f"{cause.name}."):
            raise LoadError(f"no module named {cause.name!r}", hint=_module_hint(cause.name, directory)) from cause
        raise


def _module_hint(missing: str, directory: str) -> str:
    parent, _, last = missing.rpartition(".")
    paths = getattr(sys.modules.get(parent), "__path__", None) if parent else [directory]
    siblings = [module.name for module in pkgutil.iter_modules(list(paths or []))]
    close = difflib.get_close_matches(last, siblings, n=1)
    if close:
        return f"did you mean {f'{parent}.{close[0]}' if parent else close[0]!r}?"
    return f"looked in {directory} and in what is installed; --app-dir DIR looks elsewhere"


def _attribute(module: ModuleType, path: str) -> object:
    found: object = module
    for name in path.split("."):
        if not hasattr(found, name):
            raise LoadError(f"{module.__name__!r} has no {path!r}", hint=_attribute_hint(found, name, module))
        found = getattr(found, name)
    return found


def _attribute_hint(holder: object, name: str, module: ModuleType) -> str:
    public = [known for known in vars(holder) if not known.startswith("_")] if hasattr(holder, "__dict__") else []
    close = difflib.get_close_matches(name, public, n=1)
    router = _first_router(module)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"its router is {router!r}" if router else f"it must be defined at the top level of {module.__file__}"


def _first_router(module: ModuleType) -> str | None:
    return next((name for name, value in vars(module).items() if isinstance(value, Router)), None)


def _run(call: Callable[[], T], what: str) -> T:
    """Call what the user wrote; whatever it raises becomes an error that says where."""
    try:
        return call()
    except AionetError as exc:
        kind = ConfigError if isinstance(exc, ConfigError) else LoadError
        raise kind(f"{_where(exc, what)}: {exc}", hint=exc.hint) from exc
    except SystemExit as exc:
        raise LoadError(
            f"{_where(exc, what)}: the program ends itself (SystemExit)",
            hint="keep what runs under: if __name__ == '__main__':",
        ) from exc
    except Exception as exc:
        raise LoadError(f"{_where(exc, what)}: {type(exc).__name__}: {_message(exc)}") from exc


def _message(exc: Exception) -> str:
    return exc.msg if isinstance(exc, SyntaxError) else str(exc)


def _where(exc: BaseException, what: str) -> str:
    """``file:line`` of the last frame of the user's own: not of the import system, nor of this package."""
    if isinstance(exc, SyntaxError) and exc.filename:
        return f"{_relative(exc.filename)}:{exc.lineno}"
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    own = [
        frame
        for frame in traceback.extract_tb(exc.__traceback__)
        if not frame.filename.startswith("<frozen") and not _inside(frame.filename, package, sys.base_prefix)
    ]
    return f"{_relative(own[-1].filename)}:{own[-1].lineno}" if own else what


def _inside(filename: str, *directories: str) -> bool:
    return any(filename.startswith(directory + os.sep) for directory in directories)


def _relative(filename: str) -> str:
    relative = os.path.relpath(filename)
    return filename if relative.startswith("..") else relative


def _is_factory(found: object) -> TypeGuard[Callable[[], object]]:
    if isinstance(found, type) or not callable(found) or inspect.iscoroutinefunction(found):
        return False
    try:
        parameters: Iterable[inspect.Parameter] = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return False
    return not any(
        parameter.default is parameter.empty and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        for parameter in parameters
    )


def _hint_for(found: object, target: str) -> str:
    handler_types = (StreamHandler, DatagramHandler)
    is_class = isinstance(found, type) and issubclass(found, handler_types)
    if is_class or isinstance(found, handler_types) or inspect.iscoroutinefunction(found):
        return f"a handler needs an endpoint: python -m aionet serve tcp://127.0.0.1:7000={target}"
    return "a Router, or a function without parameters that returns one"


def _kind(found: object) -> str:
    if isinstance(found, type):
        return f"the class {found.__name__}"
    if inspect.isroutine(found):
        return f"the function {found.__name__}"
    return f"of type {type(found).__name__}"
