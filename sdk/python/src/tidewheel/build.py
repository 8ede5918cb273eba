"""Makes a component of a module: `python -m tidewheel.build count.py -o count.wasm`.

What the class is to the host is found in the source, without running it. The module is then handed to componentize-py, together
with one that exports what the class's world must have.
"""

import argparse
import ast
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tidewheel._description import Kind

COMPONENTIZE_PY = "0.25.1"
"""The version of componentize-py that components are built with."""

APP = "tidewheel_app"
"""The module with the exports. Its name may not be that of a world."""

_KINDS: tuple[Kind, ...] = ("stateless", "keyed", "process_window", "aggregate")

_WORLDS: dict[Kind, str] = {
    "stateless": "stateless",
    "keyed": "keyed",
    "process_window": "keyed",
    "aggregate": "aggregate",
}

_HEAD = """\
from componentize_py_types import Err
from tidewheel._component import Component
from wit_world import exports
from wit_world.imports import description, log, metrics, types
{import_state}
import {module}

component = Component(
    "{module}", err=Err, types=types, description=description, log=log, metrics=metrics, state={state}
)


class {interface}(exports.{interface}):
    def describe(self):
        return component.describe()

    def open(self, config, options):
        component.open(config)
"""

_CALL = """
    def {name}(self, call, batch):
        return component.{adapter}
"""

_MIGRATE = """
    def migrate(self, state, version, values):
        return component.migrate(state, version, values)
"""

_INTERFACES: dict[str, tuple[str, dict[str, str]]] = {
    "stateless": ("Transformer", {"process": "records(call, batch)"}),
    "keyed": ("Processor", {"process": "records(call, batch)", "on_timer": "due(call, batch)"}),
    "aggregate": (
        "Aggregator",
        {"accumulate": "records(call, batch)", "merge": "merge(batch)", "fire": "due(call, batch)"},
    ),
}


class BuildError(Exception):
    """A module that no component can be made of."""


def find_role(source: str, file: str) -> tuple[Kind, str]:
    """What the one class with a decorator is, and its name."""
    try:
        module = ast.parse(source, file)
    except SyntaxError as error:
        raise BuildError(f"{file}:{error.lineno}: {error.msg}") from None
    found: list[tuple[Kind, str, int]] = [
        (kind, statement.name, statement.lineno)
        for statement in module.body
        if isinstance(statement, ast.ClassDef)
        for kind in map(_kind_of, statement.decorator_list)
        if kind is not None
    ]
    if len(found) != 1:
        decorators = ", ".join(f"@{kind}" for kind in _KINDS)
        places = "; ".join(f"{name} in line {line}" for _, name, line in found) or "there is none"
        raise BuildError(f"{file}: one class at the top of the module has one of the decorators {decorators}; found: {places}")
    kind, name, _ = found[0]
    return kind, name


def find_operators(folder: Path) -> list[Path]:
    """The modules in a folder that have an operator; others are what operators import, and tests."""
    return [path for path in sorted(folder.glob("*.py")) if _has_operator(path)]


def _has_operator(path: Path) -> bool:
    source = path.read_text(encoding="utf-8")
    try:
        classes = [statement for statement in ast.parse(source, str(path)).body if isinstance(statement, ast.ClassDef)]
    except SyntaxError as error:
        raise BuildError(f"{path}:{error.lineno}: {error.msg}") from None
    return any(_kind_of(decorator) is not None for each in classes for decorator in each.decorator_list)


def _kind_of(decorator: ast.expr) -> Kind | None:
    """`keyed` of `@keyed`, `@keyed(…)` and `@tidewheel.keyed`."""
    if isinstance(decorator, ast.Call):
        decorator = decorator.func
    name = decorator.attr if isinstance(decorator, ast.Attribute) else decorator.id if isinstance(decorator, ast.Name) else ""
    return next((kind for kind in _KINDS if kind == name), None)


def exports(module: str, kind: Kind) -> str:
    """The source of the module with the exports."""
    world = _WORLDS[kind]
    interface, calls = _INTERFACES[world]
    has_state = world == "keyed"
    import_state = "from wit_world.imports import state" if has_state else ""
    head = _HEAD.format(module=module, interface=interface, import_state=import_state, state="state" if has_state else None)
    functions = [_CALL.format(name=name, adapter=adapter) for name, adapter in calls.items()]
    return head + "".join(functions) + (_MIGRATE if world != "stateless" else "")


def find_componentize_py() -> Path:
    """The program that makes components: that of the Python in use."""
    program = Path(sysconfig.get_path("scripts"), "componentize-py")
    if not program.exists():
        raise BuildError(
            f"there is no {program}: install it with\n\n    {sys.executable} -m pip install componentize-py=={COMPONENTIZE_PY}"
        )
    return program


def build(source: Path, output: Path, wit: Path) -> None:
    """Makes a component of a module. Modules that lie beside it can be imported, and packages that are installed."""
    if not source.stem.isidentifier():
        raise BuildError(f"{source}: {source.stem!r} is no name of a module: rename the file")
    kind, _ = find_role(source.read_text(encoding="utf-8"), str(source))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, f"{APP}.py").write_text(exports(source.stem, kind), encoding="utf-8")
        # The module is run to be put into the component, and sees folders it is given, but nothing that they link to.
        for linked in source.resolve().parent.glob("*.py"):
            if linked.is_symlink():
                shutil.copy(linked, folder)
        made = Path(folder, "made.wasm")
        paths = [folder, str(source.resolve().parent), str(Path(__file__).resolve().parent.parent)]
        command = [str(find_componentize_py()), "-q", "-d", str(wit), "-w", _WORLDS[kind], "componentize"]
        command += [argument for path in paths for argument in ("-p", path)]
        environment = {**os.environ, "RUST_BACKTRACE": "0"}
        ended = subprocess.run(
            [*command, APP, "-o", str(made)], check=False, capture_output=True, text=True, env=environment
        )
        if ended.returncode != 0:
            raise BuildError(f"componentize-py could not make a component of {source}:\n{ended.stdout}{ended.stderr}".strip())
        output.write_bytes(made.read_bytes())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tidewheel.build", description="Make a component of a module.")
    parser.add_argument("source", type=Path, help="the module with the operator; with --list a folder")
    parser.add_argument("-o", "--output", type=Path, help="the component to write")
    parser.add_argument("--wit", type=Path, help="the folder with the contract, operator.wit")
    parser.add_argument("--list", action="store_true", help="name the modules in the folder that have an operator")
    given = parser.parse_args(arguments)
    if not given.list and (given.output is None or given.wit is None):
        parser.error("a module needs --output and --wit")
    try:
        if given.list:
            for module in find_operators(given.source):
                print(module.stem)
        else:
            build(given.source, given.output, given.wit)
    except (BuildError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
