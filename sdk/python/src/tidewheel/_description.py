"""What an operator says of itself, in the words of `wit/operator.wit`, interface `description`."""

import dataclasses
from typing import Literal

Kind = Literal["stateless", "keyed", "process_window", "aggregate"]
"""What a class is made by its decorator. The second and third are both of world `keyed`."""

StateKind = Literal["value", "list", "map", "aggregating"]
Clock = Literal["event", "processing"]


@dataclasses.dataclass(frozen=True)
class StateDecl:
    """The contract of a state."""

    name: str
    kind: StateKind
    format: str
    schema: str
    version: int
    oldest: int
    rides: bool
    ttl_ms: int
    options: list[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Port:
    """An input or an output."""

    name: str
    format: str
    schema: str


@dataclasses.dataclass(frozen=True)
class TimerDecl:
    """A timer. Its slot is its place in the list."""

    name: str
    clock: Clock


@dataclasses.dataclass(frozen=True)
class Description:
    """What a component says of itself."""

    name: str
    version: str
    sdk: str
    inputs: list[Port]
    outputs: list[Port]
    states: list[StateDecl]
    timers: list[TimerDecl]
    options: list[tuple[str, str]]
