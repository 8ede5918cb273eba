"""Fields of an operator that stand for something it declares: side outputs, timers, metrics and its config.

A field is declared in the class and bound to each operator that is made of it. Its name is that of the field.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast, overload

from tidewheel import _json, shapes
from tidewheel.errors import Fail, FormatError
from tidewheel.formats import Codec, Format, codec_of
from tidewheel.shapes import Shape
from tidewheel.times import EventTime, clamp

if TYPE_CHECKING:
    from tidewheel._description import Clock
    from tidewheel._host import Host, MetricKind
    from tidewheel.context import Context

T = TypeVar("T")


class Output(Generic[T]):
    """A side output: `returned = Output(Returned)`. In the job file it is `OPERATOR.FIELD`."""

    def __init__(self, of: type[T] | Shape[T], *, format: Format | None = None) -> None:
        self._of, self._format = of, format
        self._index = 0
        self._codec: Codec | None = None

    @property
    def codec(self) -> Codec:
        """How its values are written."""
        if self._codec is None:
            self._codec = codec_of(shapes.annotation_of(self._of), self._format)
        return self._codec

    def bind(self, index: int) -> Output[T]:
        """The output of this index; 0 is the main output."""
        bound = Output(self._of, format=self._format)
        bound._index, bound._codec = index, self.codec
        return bound

    @property
    def index(self) -> int:
        """Its index."""
        return self._index


class Timer:
    """A timer of the key at hand: `lapse = Timer()` follows the watermark, `Timer(clock="processing")` the clock of the
    worker, the one that `Context.now` shows.

    Timers of different names never replace or delete one another. Setting one to the same time twice is setting it once. It
    is due when its clock reaches its time; one that is set at or before the watermark is due at once. Those of the
    processing clock do not fire any more once the input has ended.
    """

    def __init__(self, *, clock: Clock = "event") -> None:
        self.clock: Clock = clock
        self._slot = 0
        self._context: Context[Any] | None = None

    def bind(self, slot: int, context: Context[Any]) -> Timer:
        """The timer of this slot."""
        bound = Timer(clock=self.clock)
        bound._slot, bound._context = slot, context
        return bound

    def set(self, at: EventTime) -> None:
        """Sets it, besides other times it is set to."""
        self._push(0, at)

    def replace(self, at: EventTime) -> None:
        """Sets it and forgets all other times it is set to."""
        self._push(1, at)

    def delete(self, at: EventTime) -> None:
        """Forgets one time it is set to."""
        self._push(2, at)

    def clear(self) -> None:
        """Forgets all times it is set to."""
        self._push(3, 0)

    def _push(self, operation: int, at: EventTime) -> None:
        context = self._context
        if context is None:
            raise TypeError("a timer can be set by an operator that is called, not in the class")
        context._push_timer(self._slot, operation, clamp(at))


class _Metric:
    _kind: MetricKind

    def __init__(self) -> None:
        self._number = 0
        self._host: Host | None = None

    def bind(self, name: str, host: Host) -> Self:
        """The metric of this name, which the host is told of."""
        bound = type(self)()
        bound._number, bound._host = host.define_metric(name, self._kind), host
        return bound

    def _update(self, value: float) -> None:
        if self._host is None:
            raise TypeError("a metric can be changed by an operator that is called, not in the class")
        self._host.update_metric(self._number, float(value))


class Counter(_Metric):
    """A number that only grows: `seen = Counter()`."""

    _kind = "counter"

    def add(self, amount: float = 1) -> None:
        """Adds to it."""
        self._update(amount)


class Gauge(_Metric):
    """A number that goes up and down: `size = Gauge()`."""

    _kind = "gauge"

    def set(self, value: float) -> None:
        """Sets it."""
        self._update(value)


class Histogram(_Metric):
    """A distribution of numbers: `delay = Histogram()`."""

    _kind = "histogram"

    def record(self, value: float) -> None:
        """Adds a number to it."""
        self._update(value)


class Config(Generic[T]):
    """The operator's `config` table of the job file, as a dataclass: `config = Config(Settings)`. Names may be written with
    `-` there for `_`; one that the dataclass does not know is refused.
    """

    def __init__(self, of: type[T]) -> None:
        self._of = of
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> Self | T:
        # What was read is in the operator, which comes before this.
        if instance is None:
            return self
        raise TypeError("the config is there in an operator that is opened, not before")

    def read(self, config: str) -> T:
        """Reads the table. None in the job file is an empty one."""
        table: Any = {} if is_empty_config(config) else json.loads(config)
        try:
            return cast(Callable[[Any], T], _json.reader(self._of))(_known(self._of, table))
        except FormatError as error:
            raise Fail(f"config is not as the operator wants it: {error}") from None


def is_empty_config(config: str) -> bool:
    """Whether the job file has nothing for the operator."""
    return config.strip() in ("", "null", "{}")


def _known(of: Any, table: Any) -> Any:
    """The table with the names of Python, all of which the dataclass must know."""
    if not isinstance(table, dict) or not shapes.is_dataclass(of):
        return table  # pyright: ignore[reportUnknownVariableType]
    fields = {field.written: field for field in shapes.fields_of(of)}
    known: dict[str, Any] = {}
    for name, value in cast(dict[str, Any], table).items():
        own = name if name in fields else name.replace("-", "_")
        if own not in fields:
            raise FormatError(f"there is no {name!r}, only {', '.join(fields)}")
        inner = fields[own].annotation
        known[own] = _known(shapes.optional_of(inner) or inner, value)
    return known
