"""Operators that a runner runs: what is found of their imports, and how they are imported."""

import json
import sys
from pathlib import Path

import pytest

from tidewheel._imports import NotInRunner, files_of
from tidewheel._script import load
from tidewheel.build import _exports, _RUNNER, main

OPERATOR = """\
from tidewheel import Context, Operator, Record, stateless

@stateless
class Echo(Operator[str, str]):
    def process(self, line: Record[str], ctx: Context[str]) -> None:
        ctx.emit(line.value)
"""


def _write(folder: Path, sources: dict[str, str]) -> None:
    for name, source in sources.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(source)


def test_what_a_module_imports_of_its_folder_is_found(tmp_path: Path) -> None:
    _write(
        tmp_path,
        {
            "echo_op.py": "import json, re, collections.abc\nword = re.compile('x')\nfrom shop_a import price\nfrom shop_b import taxes\n",
            "shop_a.py": "import shop_c\n",
            "shop_c.py": "import shop_a\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy\n",
            "shop_b/__init__.py": "",
            "shop_b/taxes.py": "from . import rates\nfrom .deep.er import x\n",
            "shop_b/rates.py": "",
            "shop_b/deep/__init__.py": "",
            "shop_b/deep/er.py": "x = 1\n",
            "other.py": "import numpy\n",
            "json/data.txt": "a folder that is no package",
        },
    )
    found = [path.as_posix() for path in files_of(tmp_path / "echo_op.py")]
    assert found[0] == "echo_op.py"
    packages = ["shop_b/__init__.py", "shop_b/deep/__init__.py", "shop_b/deep/er.py", "shop_b/rates.py", "shop_b/taxes.py"]
    assert sorted(found[1:]) == ["shop_a.py", *packages, "shop_c.py"]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import numpy", "count.py imports numpy"),
        ("def f():\n    from os import path", "count.py imports os"),
        ("import xml.etree", "count.py imports xml.etree"),
        ("from tidewheel.testing import run", "count.py imports tidewheel.testing"),
        ("from logging import handlers", "count.py imports logging.handlers"),
        ("import namespace.part", "count.py imports namespace.part"),
        ("table = open('table.json').read()", "count.py opens files"),
        ("import json\nx = json.codecs.open('x').read()", "count.py opens files"),
        ("rates = __import__('rates')", "count.py uses __import__"),
        ("exec('import rates')", "count.py uses exec"),
        ("x = __loader__.get_data('x')", "count.py uses __loader__"),
        ("import inspect\nx = inspect.linecache.getlines('x')", "count.py uses linecache"),
        ("from logging import os", "count.py uses os"),
        ("import logging\nx = logging.os.listdir()", "count.py uses os"),
        ("import decimal", "count.py needs a module decimal that takes the place of another one"),
    ],
)
def test_what_a_runner_does_not_have_is_named(tmp_path: Path, source: str, why: str) -> None:
    _write(tmp_path, {"count.py": source, "decimal.py": "", "namespace/part.py": ""})
    with pytest.raises(NotInRunner) as raised:
        files_of(tmp_path / "count.py")
    assert str(raised.value) == why


def test_operators_are_told_with_their_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write(tmp_path, {"echo.py": OPERATOR, "copy_op.py": OPERATOR + "import socket\n", "wit/operator.wit": "package a:b;"})
    arguments = ["--scripts", str(tmp_path), "--wit", str(tmp_path / "wit")]
    assert main(arguments) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["operators"] == [
        {"module": "copy_op", "world": "stateless", "whole": "copy_op.py imports socket"},
        {"module": "echo", "world": "stateless", "script": {"main": "echo", "files": [["echo.py", OPERATOR]]}},
    ]
    (tmp_path / "wit/operator.wit").write_text("package a:c;")
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["runner"] != said["runner"]


def test_an_error_in_what_is_imported_is_told_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write(tmp_path, {"echo.py": "import shop_d\n" + OPERATOR, "shop_d.py": "x = 1\nx = = 2\n"})
    assert main(["--scripts", str(tmp_path), "--wit", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path}/shop_d.py:2: invalid syntax\n"


FILES = [
    ("script_main.py", "from script_shop import rates\nfrom script_shop.rates import rate\nfactor = rate * 2\n"),
    ("script_shop/__init__.py", ""),
    ("script_shop/rates.py", "rate = 21\n"),
]


def test_sources_are_imported_as_modules() -> None:
    assert load(FILES, "script_main", lambda: vars(sys.modules["script_main"])["factor"]) == 42
    assert sys.modules["script_shop.rates"].__file__ == "script_shop/rates.py"
    with pytest.raises(ImportError):
        __import__("script_shop.later")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("x = 1\nx = = 2\n", "script_bad.py:2: invalid syntax"),
        ("\nx = y\n", "NameError: name 'y' is not defined\n  at script_bad.py:2 in <module>"),
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'\n  at script_bad.py:1 in <module>"),
    ],
)
def test_an_error_says_where(source: str, why: str) -> None:
    with pytest.raises(ImportError) as raised:
        load([("script_bad.py", source)], "script_bad", lambda: None)
    assert str(raised.value) == why


@pytest.mark.parametrize("world", ["stateless", "keyed", "aggregate"])
def test_a_runner_exports_its_world_and_what_takes_a_script(world: str) -> None:
    source = _exports(world, _RUNNER)
    assert "class Script(exports.Script)" in source
    compile(source, world, "exec")
