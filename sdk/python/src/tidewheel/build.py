"""Makes a component of a module: `python -m tidewheel.build count.py -o count.wasm`.

What the class is to the host is found in the source, without running it. The module is then handed to componentize-py, together
with one that exports what the class's world must have.
"""

import argparse
import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tidewheel._description import Kind
from tidewheel._imports import NotInRunner, files_of

COMPONENTIZE_PY = "0.25.1"
"""The version of componentize-py that components are built with."""

APP = "tidewheel_app"
"""The module with the exports. Its name may not be that of a world."""

_DEV_WIT = """\
package tidewheel:dev@0.1.0;

interface script {
  /// Takes the sources of an operator, each with its path, and imports the module `main`. Called once, before all else.
  load: func(files: list<tuple<string, string>>, main: string) -> result<_, string>;
}

world runner { include tidewheel:operator/WORLD@0.1.0; export script; }
"""

_KINDS: tuple[Kind, ...] = ("stateless", "keyed", "process_window", "aggregate")

_WORLDS: dict[Kind, str] = {
    "stateless": "stateless",
    "keyed": "keyed",
    "process_window": "keyed",
    "aggregate": "aggregate",
}

_IMPORTS = """\
from componentize_py_types import Err
from tidewheel._component import Component
from wit_world import exports
from wit_world.imports import description, http, log, metrics, types
{import_state}


def component_of(module):
    return Component(
        module, err=Err, types=types, description=description, log=log, metrics=metrics, http=http, state={state}
    )
"""

_WHOLE = """
import {module}

component = component_of("{module}")
"""

_RUNNER = """
from tidewheel import _script

_script.preload()


class Script(exports.Script):
    def load(self, files, main):
        global component
        try:
            component = _script.load(files, main, lambda: component_of(main))
        except ImportError as error:
            raise Err(str(error))
"""

_OPERATOR = """

class {interface}(exports.{interface}):
    def describe(self):
        return component.describe()

    def open(self, config, options):
        component.open(config, options)
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
    return _exports(_WORLDS[kind], _WHOLE.format(module=module))


def _exports(world: str, component: str) -> str:
    """The same; `component` is what makes the operator."""
    interface, calls = _INTERFACES[world]
    has_state = world == "keyed"
    import_state = "from wit_world.imports import state" if has_state else ""
    head = _IMPORTS.format(import_state=import_state, state="state" if has_state else None)
    functions = [_CALL.format(name=name, adapter=adapter) for name, adapter in calls.items()]
    operator = _OPERATOR.format(interface=interface)
    return head + component + operator + "".join(functions) + (_MIGRATE if world != "stateless" else "")


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
        # The module is run to be put into the component, and sees folders it is given, but nothing that they link to.
        for linked in source.resolve().parent.glob("*.py"):
            if linked.is_symlink():
                shutil.copy(linked, folder)
        paths = [folder, str(source.resolve().parent)]
        made = _componentize(exports(source.stem, kind), paths, wit, _WORLDS[kind], str(source))
    output.write_bytes(made)


def build_runner(world: str, output: Path, wit: Path) -> None:
    """Makes the component that takes an operator's sources when it starts, so that none is made for each edit."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "dev.wit").write_text(_DEV_WIT.replace("WORLD", world), encoding="utf-8")
        shutil.copytree(wit, Path(folder, "deps", "operator"))
        made = _componentize(_exports(world, _RUNNER), [], Path(folder), "runner", f"the runner of world {world}")
    output.write_bytes(made)


def _componentize(app: str, paths: Sequence[str], wit: Path, world: str, what: str) -> bytes:
    """The component of a module with exports."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, f"{APP}.py").write_text(app, encoding="utf-8")
        made = Path(folder, "made.wasm")
        command = [str(find_componentize_py()), "-q", "-d", str(wit), "-w", world, "componentize"]
        paths = [folder, *paths, str(Path(__file__).resolve().parent.parent)]
        command += [argument for path in paths for argument in ("-p", path)]
        environment = {**os.environ, "RUST_BACKTRACE": "0"}
        ended = subprocess.run(
            [*command, APP, "-o", str(made)], check=False, capture_output=True, text=True, env=environment
        )
        if ended.returncode != 0:
            raise BuildError(f"componentize-py could not make a component of {what}:\n{ended.stdout}{ended.stderr}".strip())
        return made.read_bytes()


def scripts(folder: Path, wit: Path) -> dict[str, Any]:
    """The operators of a folder, each with its world and its sources, or why it needs a component of its own."""
    return {"runner": _runner_digest(wit), "operators": [_script(path) for path in find_operators(folder)]}


def _script(module: Path) -> dict[str, Any]:
    kind, _ = find_role(module.read_text(encoding="utf-8"), str(module))
    said: dict[str, Any] = {"module": module.stem, "world": _WORLDS[kind]}
    try:
        files = [(path.as_posix(), (module.parent / path).read_text(encoding="utf-8")) for path in files_of(module)]
    except NotInRunner as why:
        return {**said, "whole": str(why)}
    except SyntaxError as error:
        raise BuildError(f"{module.parent / str(error.filename)}:{error.lineno}: {error.msg}") from None
    return {**said, "script": {"main": module.stem, "files": files}}


def _runner_digest(wit: Path) -> str:
    """Of all that a runner is made of."""
    digest = hashlib.sha256(COMPONENTIZE_PY.encode())
    for path in [*sorted(Path(__file__).parent.glob("*.py")), *sorted(wit.glob("*.wit"))]:
        text = path.read_bytes()
        digest.update(f"\0{path.name} {len(text)}\0".encode() + text)
    return digest.hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tidewheel.build", description="Make a component of a module.")
    parser.add_argument("source", type=Path, nargs="?", help="the module with the operator; with --list or --scripts a folder")
    parser.add_argument("-o", "--output", type=Path, help="the component to write")
    parser.add_argument("--wit", type=Path, help="the folder with the contract, operator.wit")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--list", action="store_true", help="name the modules in the folder that have an operator")
    mode.add_argument("--scripts", action="store_true", help="say of these what a runner needs to run them, as JSON")
    runner = "make the component that runs operators of this world whose sources it is given"
    mode.add_argument("--runner", choices=sorted(_INTERFACES), metavar="WORLD", help=runner)
    given = parser.parse_args(arguments)
    if given.source is None and not given.runner:
        parser.error("expected a module or a folder")
    if not given.list and given.wit is None or not (given.list or given.scripts) and given.output is None:
        parser.error("a module needs --output and --wit")
    source: Path = given.source or Path()
    try:
        if given.list:
            for module in find_operators(source):
                print(module.stem)
        elif given.scripts:
            print(json.dumps(scripts(source, given.wit)))
        elif given.runner:
            build_runner(given.runner, given.output, given.wit)
        else:
            build(source, given.output, given.wit)
    except (BuildError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
