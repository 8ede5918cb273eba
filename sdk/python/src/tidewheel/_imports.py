"""What a module imports, found in its source: whether a runner can have it, and which files it needs besides its own."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path

from tidewheel._script import PACKAGE, STANDARD, TESTING


_REACHING = frozenset(
    {
        *("__builtins__", "__globals__", "__import__", "__loader__", "__spec__"),
        *("_io", "_os", "_sys", "bltns", "builtins", "codecs", "importlib", "io", "linecache", "open", "os", "sys", "tokenize"),
    }
)
"""Names that lead to files and modules which are not seen here, also as attributes of modules that a runner has."""

_RUNNING = frozenset({"compile", "eval", "exec", "globals"})
"""Functions that do so. As an attribute such a name is another thing: `re.compile`."""


class NotInRunner(Exception):
    """Why a module needs a component of its own."""


def files_of(module: Path) -> list[Path]:
    """The files of a module and of all that it imports from its folder, relative to that."""
    folder, found = module.parent, [Path(module.name)]
    _check_name(module.stem, module)
    for path in found:  # Grows meanwhile.
        for name in _imported(folder / path, path):
            found += [file for file in _locate(folder, name, path) if file not in found]
    return found


def _locate(folder: Path, name: str, importer: Path) -> Iterator[Path]:
    """The files of the folder that are run when a module is imported: those of packages that it is in, and its own."""
    parts = name.split(".")
    if not any((folder / top).is_file() for top in (f"{parts[0]}/__init__.py", f"{parts[0]}.py")):
        if parts[0] != PACKAGE and name not in STANDARD or name == TESTING:
            raise NotInRunner(f"{importer} imports {name}")
        return
    _check_name(parts[0], importer)
    for depth in range(len(parts)):
        path = Path(*parts[: depth + 1])
        files = [file for file in (path / "__init__.py", path.with_suffix(".py")) if (folder / file).is_file()]
        if not files:
            raise NotInRunner(f"{importer} imports {name}")
        yield files[0]


def _check_name(name: str, where: Path) -> None:
    if name == PACKAGE or name in STANDARD:
        raise NotInRunner(f"{where} needs a module {name} that takes the place of another one")


def _imported(file: Path, path: Path) -> Iterator[str]:
    """The modules that a file imports; `path` is relative to the folder of the operator."""
    package = path.parent.parts
    for node in _nodes(ast.parse(file.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            if module:
                yield module
            names = (f"{module}.{item.name}".strip(".") for item in node.names)
            yield from (name for name in names if _is_module(file, path, name))
            _check_reach((item.name for item in node.names), _REACHING, path)
        elif isinstance(node, ast.Name):
            _check_reach([node.id], _REACHING | _RUNNING, path)
        elif isinstance(node, ast.Attribute):
            _check_reach([node.attr], _REACHING, path)


def _check_reach(names: Iterable[str], refused: frozenset[str], path: Path) -> None:
    """What a module reads when it is imported is part of a component."""
    for name in names:
        if name in refused:
            raise NotInRunner(f"{path} opens files" if name == "open" else f"{path} uses {name}")


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes, without what is there for type checkers alone."""
    yield node
    children = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        children = list(node.orelse)
    for child in children:
        yield from _nodes(child)


def _is_module(file: Path, path: Path, name: str) -> bool:
    """Whether what is imported from a package is a module of it."""
    folder = file.parents[len(path.parts) - 1]
    place = folder / name.replace(".", "/")
    if place.is_dir() or place.with_suffix(".py").is_file():
        return True
    top = name.split(".")[0]
    if top == PACKAGE or top not in STANDARD:
        return False
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
