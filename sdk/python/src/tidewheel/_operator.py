"""An operator ready to be called: what its class declares, and an instance with its fields bound to a host.

The adapters between calls with batches and an operator's functions for records are in `_adapt`.
"""

from __future__ import annotations

import sys
from typing import Any, cast

from tidewheel import shapes
from tidewheel._description import Description, Port, StateDecl, TimerDecl
from tidewheel._host import Host
from tidewheel._states import State, migrated
from tidewheel.context import Context
from tidewheel.errors import DeclarationError, Fail
from tidewheel.formats import Codec, codec_of, state_codec_of
from tidewheel.operators import AnyOperator, ProcessWindow, role_of, types_of
from tidewheel.ports import Config, Counter, Gauge, Histogram, Output, Timer, is_empty_config

VERSION = "0.1.0"
"""The version of this package."""

PARTS = StateDecl("window-parts", "list", "raw", "", 1, 1, False, 0, [])
"""The state that holds the frames of a large window's parts until the last comes. No field has such a name."""


class Declared:
    """What the class of an operator declares."""

    def __init__(self, cls: type[AnyOperator]) -> None:
        self.cls = cls
        self.role = role_of(cls)
        types = types_of(cls)
        self.input = codec_of(types[0], self.role.input)
        self.output = codec_of(types[-1], self.role.output)
        self.accumulator: Codec | None = None
        if self.role.kind == "aggregate":
            self.accumulator = state_codec_of(types[1], self.role.accumulator)
        fields = self._fields()
        states: list[State[Any]] = [field for field in fields.values() if isinstance(field, State)]
        # In the order of the contract: those that ride come first.
        self.states = sorted(states, key=lambda state: not state.rides)
        self.riding = sum(state.rides for state in self.states)
        self.timers = {name: field for name, field in fields.items() if isinstance(field, Timer)}
        self.own_timers: dict[str, Timer] = {}
        self.outputs: dict[str, Output[Any]] = {name: field for name, field in fields.items() if isinstance(field, Output)}
        self.configs: dict[str, Config[Any]] = {name: field for name, field in fields.items() if isinstance(field, Config)}
        self.metrics = {name: field for name, field in fields.items() if isinstance(field, (Counter, Gauge, Histogram))}
        self._check()
        self.keeps_parts = self.role.kind == "process_window" and not cast(type[ProcessWindow[Any, Any]], cls).in_parts
        self.state_count = len(self.states) + self.keeps_parts

    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for base in reversed(self.cls.__mro__):
            fields.update(base.__dict__)
        return fields

    def _check(self) -> None:
        name, kind = self.cls.__name__, self.role.kind
        if self.states and kind in ("stateless", "aggregate"):
            why = "keeps nothing: make it @keyed" if kind == "stateless" else "keeps its accumulator and nothing else"
            raise DeclarationError(f"{name} has state {self.states[0].name}, but an operator that is @{kind} {why}")
        if self.timers and kind != "keyed":
            raise DeclarationError(f"{name} has timer {next(iter(self.timers))}, but only an operator that is @keyed has timers")
        if kind == "keyed" and not self.timers:
            # As the other SDKs do it, so that an operator can go on from one in another language.
            self.own_timers = {"timer": Timer()}
        if len(self.configs) > 1:
            raise DeclarationError(f"{name} has {len(self.configs)} fields of Config: an operator has one")

    def describe(self) -> Description:
        """The answer to `describe`."""
        role = self.role
        outputs = {"main": self.output, **{name: output.codec for name, output in self.outputs.items()}}
        return Description(
            name=role.name or self.cls.__name__,
            version=role.version,
            sdk=f"python {VERSION}",
            inputs=[_port(name, self.input) for name in role.inputs or ["main"]],
            outputs=[_port(name, codec) for name, codec in outputs.items()],
            states=[state.declare() for state in self.states] + self._own_states(),
            timers=[TimerDecl(name, timer.clock) for name, timer in (self.timers or self.own_timers).items()],
            # World `keyed` does not say so.
            options=[("window", "required")] if role.kind == "process_window" else [],
        )

    def _own_states(self) -> list[StateDecl]:
        if self.keeps_parts:
            return [PARTS]
        if self.accumulator is None:
            return []
        codec, newest = self.accumulator, self.role.schema_version
        oldest = newest - len(self.role.migrate)
        return [StateDecl("accumulator", "aggregating", codec.format, codec.schema, newest, oldest, True, 0, [])]

    def migrated(self, state: int, version: int, data: bytes) -> bytes:
        """The bytes of a value of a state, of an older version, in the newest."""
        if self.accumulator is not None:
            role = self.role
            return migrated("accumulator", role.migrate, role.schema_version, version, self.accumulator, role.accumulator, data)
        if state < len(self.states):
            return self.states[state].migrated(version, data)
        raise Fail(f"there is no state {state} that could be migrated")


def _port(name: str, codec: Codec) -> Port:
    return Port(name, codec.format, codec.schema)


class Bound:
    """An operator with its fields bound."""

    def __init__(self, declared: Declared, config: str, host: Host) -> None:
        self.declared, self.host = declared, host
        if not declared.configs and not is_empty_config(config):
            raise Fail("this operator takes no config; remove it from the job file, or add a field `config = Config(…)`")
        self.context: Context[Any] = Context(host, declared.output)
        self.operator = declared.cls()
        self.states = [state.bind(at, self.context, host) for at, state in enumerate(declared.states)]
        timers = declared.timers or declared.own_timers
        self.timers = [timer.bind(slot, self.context) for slot, timer in enumerate(timers.values())]
        bound: dict[str, Any] = {state.name: state for state in self.states}
        bound.update(zip(declared.timers, self.timers))
        bound.update((name, output.bind(at)) for at, (name, output) in enumerate(declared.outputs.items(), 1))
        bound.update((name, field.read(config)) for name, field in declared.configs.items())
        bound.update((name, metric.bind(name, host)) for name, metric in declared.metrics.items())
        if declared.role.kind == "aggregate":
            bound["_accumulator_class"] = shapes.bare(types_of(declared.cls)[1])
        # One by one: an object whose `__dict__` was asked for is slower.
        for name, field in bound.items():
            object.__setattr__(self.operator, name, field)
        self.operator.open()


def find_operator(module: str) -> type[AnyOperator]:
    """The one operator of a module."""
    found = [item for item in vars(sys.modules[module]).values() if _is_operator(item, module)]
    if len(found) != 1:
        names = ", ".join(cls.__name__ for cls in found) or "none"
        raise DeclarationError(f"a module has one operator, but {module} has {names}")
    return cast(type[AnyOperator], found[0])


def _is_operator(item: object, module: str) -> bool:
    return isinstance(item, type) and item.__module__ == module and "__tidewheel__" in item.__dict__
