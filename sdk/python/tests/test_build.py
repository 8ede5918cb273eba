"""What is found in a module before a component is made of it."""

from pathlib import Path

import pytest

from tidewheel.build import BuildError, exports, find_operators, find_role, main


def test_the_role_is_that_of_the_decorated_class() -> None:
    source = "import tidewheel\n\n@tidewheel.{}\nclass Count: ...\n\nclass Other: ...\n"
    assert find_role(source.format("keyed"), "count.py") == ("keyed", "Count")
    assert find_role(source.format("aggregate(name='x')"), "count.py") == ("aggregate", "Count")


@pytest.mark.parametrize("source", ["class Count: ...", "@keyed\nclass A: ...\n@keyed\nclass B: ..."])
def test_a_module_has_one_operator(source: str) -> None:
    with pytest.raises(BuildError, match="one class at the top of the module"):
        find_role(source, "count.py")


def test_what_is_not_python_is_told_with_its_line() -> None:
    with pytest.raises(BuildError, match=r"count\.py:2: "):
        find_role("x = 1\nclass:\n", "count.py")


def test_exports_are_those_of_the_world() -> None:
    keyed = exports("count", "keyed")
    assert "class Processor(exports.Processor)" in keyed and "def on_timer" in keyed and "import state" in keyed
    stateless = exports("split", "stateless")
    assert "class Transformer" in stateless and "migrate" not in stateless and "import state" not in stateless
    assert "def merge" in exports("spend", "aggregate")
    compile(keyed, "keyed", "exec")


def test_other_modules_are_no_operators(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = {"shop.py": "x = 1", "count.py": "@keyed\nclass Count: ...", "test_count.py": "def test() -> None: ..."}
    for name, source in sources.items():
        (tmp_path / name).write_text(source)
    assert find_operators(tmp_path) == [tmp_path / "count.py"]
    assert main(["--list", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "count\n"
