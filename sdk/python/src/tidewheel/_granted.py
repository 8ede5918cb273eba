"""What a job grants an operator of the machine it runs on."""

from collections.abc import Iterable

_VARIABLE = "env:"
"""What a granted variable's name is preceded by in the options of `open`."""

_variables: dict[str, str] = {}


def env(name: str) -> str | None:
    """An environment variable that the job grants this operator, by `grants = ["env:NAME"]` in its table; others are not seen.
    Its value is that from when the job was started. It is there from the operator's `open` on, not when its module is imported.

    In a test `Harness(Rates, env={"RATES_KEY": "abc"})` grants it.
    """
    return _variables.get(name)


def take(options: Iterable[tuple[str, str]]) -> None:
    """Takes what the options of `open` grant, in the place of what was granted before."""
    global _variables
    _variables = {name.removeprefix(_VARIABLE): value for name, value in options if name.startswith(_VARIABLE)}


def options_of(variables: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The options of `open` that grant these variables."""
    return [(_VARIABLE + name, value) for name, value in variables]
