"""What a runner does: an operator of sources that are given to a component when it starts, instead of being in it.

`tidewheel dev` works so: to make a component takes ten times as long as to compile a module's source. A runner has the package
and the standard modules named here in it; what else an operator imports must be given with it.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.abc import ExecutionLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType
from typing import TypeVar

from tidewheel.errors import reason

T = TypeVar("T")

PACKAGE = "tidewheel"
"""This package. All of its modules that operators import are in a runner."""

TESTING = "tidewheel.testing"
"""The one that they do not."""

STANDARD = (
    "__future__",
    "abc",
    "array",
    "base64",
    "binascii",
    "bisect",
    "calendar",
    "collections",
    "collections.abc",
    "colorsys",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "enum",
    "fractions",
    "functools",
    "graphlib",
    "hashlib",
    "heapq",
    "hmac",
    "html",
    "html.entities",
    "html.parser",
    "inspect",
    "itertools",
    "json",
    "keyword",
    "logging",
    "math",
    "numbers",
    "operator",
    "random",
    "re",
    "statistics",
    "string",
    "struct",
    "textwrap",
    "time",
    "traceback",
    "types",
    "typing",
    "unicodedata",
    "urllib",
    "urllib.parse",
    "uuid",
    "warnings",
    "weakref",
    "zlib",
)
"""The modules of the standard library that a runner has: those that compute and need nothing of the machine."""


class _Sources(ExecutionLoader, MetaPathFinder):
    """Finds modules in sources: of each file its path, relative to the folder of the operator, and its text."""

    def __init__(self, files: Iterable[tuple[str, str]]) -> None:
        self._files = {_module(path): (path, text) for path, text in files}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return spec_from_loader(fullname, self) if fullname in self._files else None

    def get_filename(self, fullname: str) -> str:
        return self._file(fullname)[0]

    def get_source(self, fullname: str) -> str:
        return self._file(fullname)[1]

    def is_package(self, fullname: str) -> bool:
        return self.get_filename(fullname).endswith("__init__.py")

    def _file(self, name: str) -> tuple[str, str]:
        try:
            return self._files[name]
        except KeyError:
            raise ImportError(f"no source of {name}", name=name) from None


def _module(path: str) -> str:
    """`shop.prices` of `shop/prices.py`, and `shop` of `shop/__init__.py`."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def preload() -> None:
    """Imports what operators may import: once the component is made there is nothing any more to import it from."""
    for name in STANDARD:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def load(files: Iterable[tuple[str, str]], main: str, make: Callable[[], T]) -> T:
    """Imports the module `main`, and calls `make`; an error says why, and in which line of which file.

    As in a component, what is imported later finds nothing.
    """
    sources = _Sources(files)
    sys.meta_path.insert(0, sources)
    try:
        importlib.import_module(main)
        return make()
    except BaseException as error:
        raise ImportError(_why(error)) from error
    finally:
        sys.meta_path.remove(sources)


def _why(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: {error.msg}"
    return reason(error)
