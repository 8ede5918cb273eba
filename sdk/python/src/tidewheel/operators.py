"""What a user writes: a class of one of these, with a decorator that says what it is to the host.

The decorator stands on one class at the top of a module, where tools find it without running the code.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypedDict, TypeVar, Unpack, cast, overload

from tidewheel._description import Kind
from tidewheel.context import Context
from tidewheel.errors import DeclarationError, Fail
from tidewheel.formats import Format
from tidewheel.ports import Timer
from tidewheel.records import Batch, Record, Window
from tidewheel.times import EventTime

I = TypeVar("I")
O = TypeVar("O")
A = TypeVar("A")
C = TypeVar("C", bound="AnyOperator")


class AnyOperator:
    """What all operators are."""

    def open(self) -> None:
        """Called once for every instance, after its fields are bound. The host may replace an instance between any two calls, so
        keep it cheap. There is no key at hand.
        """


class Operator(AnyOperator, Generic[I, O]):
    """An operator that looks at one record at a time: `@stateless`, or `@keyed` with state per key, and timers.

    Fields of state are about the key of the record or timer at hand. Other fields are about the instance, which the host may
    replace between any two calls: keep nothing in them that matters.

    A call is a transaction. After a crash the host goes back to the last checkpoint: records since then come again, and state,
    timers and output are as if they had not come before.
    """

    def process(self, record: Record[I], ctx: Context[O], /) -> None:
        """Called for every record; those of a key in order. An exception rejects the record."""
        raise Fail(f"{type(self).__name__} has no `process`")

    def process_batch(self, batch: Batch[I], ctx: Context[O], /) -> None:
        """A faster form of `process`, for operators that have one: called for all records of a call at once, in a keyed operator
        for those of one key. On an exception nothing of that counts, and it is called for each record alone.
        """
        raise NotImplementedError

    def on_timer(self, timer: Timer, at: EventTime, ctx: Context[O], /) -> None:
        """Called for every timer that is due, those of a key in order of their times. `timer` is one of the operator's, `at`
        the time it was set to. An exception rejects the timer: it is gone, and what it did is undone.
        """
        raise Fail(f"a timer is due, but {type(self).__name__} has no `on_timer`")


class ProcessWindow(AnyOperator, Generic[I, O]):
    """An operator that sees all records of a key and window when the window fires: `@process_window`.

    The job file says which windows (`window = { tumbling = "10s" }`), and the host keeps the records until then. Where what is
    wanted can be folded record by record, `Aggregate` keeps far less. Fields of state are about the window's key, and outlive
    the window: what one sets, the key's next one reads.
    """

    in_parts = False
    """Whether `process` takes a large window a part at a time. The host hands a window of several megabytes over in parts. By
    default they are put together, and have to fit into the instance's memory. With `True` each part is a call of `process`:
    `Context.is_first_part` and `Context.is_last_part` tell where it belongs.
    """

    def process(self, window: Window, records: Sequence[Record[I]], ctx: Context[O], /) -> None:
        """Called when a window fires, with its records: in order of arrival in a tumbling, global or count window, pane by pane
        in others. A record that is not of the input's format is rejected, and not among them. An exception rejects them all.
        """
        raise Fail(f"{type(self).__name__} has no `process`")


class Aggregate(AnyOperator, Generic[I, A, O]):
    """An operator that folds the records of a key and window into one accumulator: `@aggregate`.

    The job file says which windows; the host keeps the accumulators. Sessions and sliding windows are merged of smaller
    pieces, so there may be several accumulators for one window. It has no other state.
    """

    def create(self) -> A:
        """A new accumulator. Without this one it is made by calling its class."""
        return cast(A, self._accumulator_class())

    _accumulator_class: Any = None

    def accumulate(self, accumulator: A, record: Record[I], /) -> A:
        """Takes a record in: returns the new accumulator, or the same one, changed. The same accumulator and record must give
        the same result: after a rejected record the ones before it may be taken in again. An exception rejects the record.
        """
        raise Fail(f"{type(self).__name__} has no `accumulate`")

    def merge(self, accumulator: A, other: A, /) -> A:
        """One accumulator of two of the same key. The order must not matter."""
        raise Fail(f"{type(self).__name__} has no `merge`")

    def fire(self, window: Window, accumulator: A, ctx: Context[O], /) -> None:
        """Called when a window is complete, with its accumulator. `ctx.key` is the key. An exception fails the job."""
        raise Fail(f"{type(self).__name__} has no `fire`")


@dataclass(frozen=True)
class Role:
    """What the decorator says of a class."""

    kind: Kind
    name: str = ""
    version: str = ""
    inputs: Sequence[str] = ()
    input: Format | None = None
    output: Format | None = None
    accumulator: Format | None = None
    schema_version: int = 1
    migrate: Sequence[Callable[[Any], Any]] = ()


class RoleOptions(TypedDict, total=False):
    """What a decorator can say of every operator."""

    name: str
    """Its name, for people: that of the class, if nothing is said."""
    version: str
    """Its version, for people."""
    inputs: Sequence[str]
    """Names of its inputs, in the order of the job file's `input` list; one, if nothing is said."""
    input: Format
    """The format of what it takes, where it does not follow from the type."""
    output: Format
    """The format of what it gives, where it does not follow from the type."""


class AggregateOptions(RoleOptions, total=False):
    """What `@aggregate` can say besides."""

    accumulator: Format
    """The format of the accumulator: JSON, if nothing is said."""
    schema_version: int
    """Schema version of accumulators written now; 1, if nothing is said."""
    migrate: Sequence[Callable[[Any], Any]]
    """How older accumulators become newer ones, see `tidewheel.state`."""


_BASES: dict[Kind, type] = {
    "stateless": Operator,
    "keyed": Operator,
    "process_window": ProcessWindow,
    "aggregate": Aggregate,
}


def role_of(cls: type) -> Role:
    """What the decorator has said of a class."""
    role = cls.__dict__.get("__tidewheel__")
    if not isinstance(role, Role):
        kinds = ", ".join(f"@{kind}" for kind in _BASES)
        raise DeclarationError(f"{cls.__name__} is no operator yet: give it one of the decorators {kinds}")
    return role


def types_of(cls: type) -> tuple[Any, ...]:
    """The types an operator takes and gives, as its base class names them."""
    base = _BASES[role_of(cls).kind]
    for origin in getattr(cls, "__orig_bases__", ()):
        if typing.get_origin(origin) is base:
            return typing.get_args(origin)
    parameters = "In, Accumulator, Out" if base is Aggregate else "In, Out"
    raise DeclarationError(f"{cls.__name__} must say what it takes and gives: `class {cls.__name__}({base.__name__}[{parameters}])`")


def _give(cls: type[C], role: Role) -> type[C]:
    base = _BASES[role.kind]
    if not issubclass(cls, base):
        raise DeclarationError(f"@{role.kind} is for a class of {base.__name__}: `class {cls.__name__}({base.__name__}[…])`")
    cls.__tidewheel__ = role  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]
    types_of(cls)
    return cls


def _decorate(cls: type[Any] | None, role: Role) -> Any:
    """The class as an operator, or without one yet what makes it an operator."""

    def give(cls: type[Any]) -> type[Any]:
        return _give(cls, role)

    return give if cls is None else give(cls)


@overload
def stateless(cls: type[C], /) -> type[C]: ...
@overload
def stateless(**options: Unpack[RoleOptions]) -> Callable[[type[C]], type[C]]: ...
def stateless(cls: type[C] | None = None, /, **options: Unpack[RoleOptions]) -> Any:
    """Makes a class of `Operator` one that keeps nothing."""
    return _decorate(cls, Role("stateless", **options))


@overload
def keyed(cls: type[C], /) -> type[C]: ...
@overload
def keyed(**options: Unpack[RoleOptions]) -> Callable[[type[C]], type[C]]: ...
def keyed(cls: type[C] | None = None, /, **options: Unpack[RoleOptions]) -> Any:
    """Makes a class of `Operator` one with state and timers per key."""
    return _decorate(cls, Role("keyed", **options))


@overload
def process_window(cls: type[C], /) -> type[C]: ...
@overload
def process_window(**options: Unpack[RoleOptions]) -> Callable[[type[C]], type[C]]: ...
def process_window(cls: type[C] | None = None, /, **options: Unpack[RoleOptions]) -> Any:
    """Makes a class of `ProcessWindow` an operator."""
    return _decorate(cls, Role("process_window", **options))


@overload
def aggregate(cls: type[C], /) -> type[C]: ...
@overload
def aggregate(**options: Unpack[AggregateOptions]) -> Callable[[type[C]], type[C]]: ...
def aggregate(cls: type[C] | None = None, /, **options: Unpack[AggregateOptions]) -> Any:
    """Makes a class of `Aggregate` an operator."""
    return _decorate(cls, Role("aggregate", **options))
