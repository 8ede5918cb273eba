"""What all fields of keyed state share: their declaration, and how they are told of a call.

A state is told when a call begins, and when what a record has done is taken back; at the end of the call it hands over what
has changed. Which key and record are at hand it reads from the context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypedDict, TypeVar, Unpack

from tidewheel import _frame, shapes
from tidewheel._description import StateDecl, StateKind
from tidewheel.errors import DeclarationError, Fail
from tidewheel.formats import Codec, Format, state_codec_of
from tidewheel.times import Duration

if TYPE_CHECKING:
    from tidewheel._host import Host
    from tidewheel.context import Context
    from tidewheel.records import Incoming
    from tidewheel.shapes import Shape

T = TypeVar("T")

PAGE = 1000
"""Entries that one call of the host reads."""

TtlClock = Literal["processing", "event"]
TtlRefresh = Literal["write", "read-write"]


class StateOptions(TypedDict, total=False):
    """What can be said of every state."""

    format: Format
    """The format of its values: JSON if nothing is said, RAW for `bytes`."""
    ttl: Duration
    """Time-to-live: what has not been written for so long is gone. For ever, if nothing is said."""
    ttl_clock: TtlClock
    """What it is measured by: the clock of the worker, if nothing is said, or the watermark."""
    ttl_refresh: TtlRefresh
    """Whether reading counts as well. What rides in a batch is read."""
    version: int
    """Schema version of values written now; 1, if nothing is said."""
    migrate: Sequence[Callable[[Any], Any]]
    """How older values become newer ones: functions from a version to the next, the last one to `version`."""
    schema: str
    """What a value looks like, in words: for another name than that of the type, to go on with state of another language."""


class Writes:
    """Changes of state, on their way out as columns."""

    PUT, DELETE, APPEND = 0, 1, 2

    def __init__(self, riding: int, states: int) -> None:
        self._riding, self._states = riding, states
        self._cells: list[int] = []
        self._lengths: list[int] = []
        self._pieces: list[bytes] = []

    def push(self, group: int, state: int, rides: bool, operation: int, data: bytes) -> None:
        """Adds a change of a state of a group."""
        if rides:
            self._cells.append(group * self._riding + state | operation << 28)
        else:
            self._cells.append(group * self._states + state | (operation | 8) << 28)
        self._lengths.append(len(data))
        self._pieces.append(data)

    def put_riding(self, groups: Sequence[int], state: int, lengths: Iterable[int], data: bytes) -> None:
        """Adds the values of a riding state of these groups, which follow one another in the data."""
        riding = self._riding
        self._cells += groups if riding == 1 else [group * riding + state for group in groups]
        self._lengths += lengths
        self._pieces.append(data)

    def columns(self) -> tuple[bytes, bytes]:
        """The columns 18 and 19."""
        return _frame.pairs(self._cells, accumulate(self._lengths)), b"".join(self._pieces)


class State(Generic[T]):
    """A field of keyed state."""

    kind: StateKind = "value"

    def __init__(self, of: type[T] | Shape[T], *, rides: bool = False, **options: Unpack[StateOptions]) -> None:
        ttl, ttl_clock = options.get("ttl", 0), options.get("ttl_clock", "processing")
        ttl_refresh, version = options.get("ttl_refresh", "write"), options.get("version", 1)
        self._of, self._format, self._schema = of, options.get("format"), options.get("schema")
        self._ttl, self._ttl_clock, self._ttl_refresh = ttl, ttl_clock, ttl_refresh
        self._version, self._migrate, self._rides = version, tuple(options.get("migrate", ())), rides
        self._name = ""
        self._made: Codec | None = None
        if version < 1 or len(self._migrate) >= version:
            raise DeclarationError(f"version {version} has {version - 1} before it, but `migrate` has {len(self._migrate)} steps")
        if ttl < 0 or (not ttl and (ttl_clock, ttl_refresh) != ("processing", "write")):
            raise DeclarationError("`ttl_clock` and `ttl_refresh` need a time-to-live: `ttl=days(540)`")

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @property
    def codec(self) -> Codec:
        """How its values are written."""
        if self._made is None:
            self._made = state_codec_of(shapes.annotation_of(self._of), self._format)
        return self._made

    @property
    def format(self) -> Format | None:
        """The format of its values, if it was named."""
        return self._format

    @property
    def rides(self) -> bool:
        """Whether its values ride in the batch."""
        return self._rides

    @property
    def name(self) -> str:
        """The field's name, by which the state is found again."""
        return self._name

    def declare(self) -> StateDecl:
        """The state's contract."""
        options: list[tuple[str, str]] = []
        if self._ttl_clock != "processing":
            options.append(("ttl-clock", self._ttl_clock))
        if self._ttl_refresh != "write":
            options.append(("ttl-refresh", self._ttl_refresh))
        schema = self.codec.schema if self._schema is None else self._schema
        oldest = self._version - len(self._migrate)
        return StateDecl(
            self._name, self.kind, self.codec.format, schema, self._version, oldest, self._rides, self._ttl, options
        )

    def migrated(self, version: int, data: bytes) -> bytes:
        """The bytes of a value of an older version in the newest."""
        return migrated(self._name, self._migrate, self._version, version, self.codec, self._format, data)

    def bind(self, index: int, context: Context[Any], host: Host) -> Self:
        """The field of an operator, for the state of this index."""
        bound = self.__class__.__new__(self.__class__)
        # One by one: an object whose `__dict__` was asked for is slower.
        for name, value in vars(self).items():
            setattr(bound, name, value)
        bound._index, bound._context, bound._host = index, context, host
        bound._touched = -1
        bound.end_call()
        return bound

    def begin_call(self, incoming: Incoming) -> None:
        """A call begins, with these records and what rides along with them."""

    def undo(self, source: int) -> None:
        """Takes back what the record, timer or window at hand has changed."""

    def hand_over(self, writes: Writes) -> None:
        """The call succeeds: hands over what has changed in it."""

    def end_call(self) -> None:
        """The call has ended: nothing of it may be kept."""

    def corrupt(self, error: Exception) -> Fail:
        """The error of stored bytes that are no such value."""
        return Fail(f"a value of state {self._name} is {error}; raise its version when its type changes")

    _index: int
    _context: Context[Any]
    _host: Host
    _touched: int


def migrated(
    name: str,
    steps: Sequence[Callable[[Any], Any]],
    newest: int,
    version: int,
    codec: Codec,
    format: Format | None,
    data: bytes,
) -> bytes:
    """The bytes of a value of an older version in the newest: by a function from each version to the next. What the first
    takes says what is read.
    """
    first = version - (newest - len(steps))
    if not 0 <= first < len(steps):
        raise Fail(
            f"state {name} has values of version {version}, which this component cannot migrate: say how with `migrate`"
        )
    try:
        value = state_codec_of(_argument_of(steps[first]), format).decode(data)
    except ValueError as error:
        raise Fail(f"a value of state {name} of version {version} is {error}") from None
    for step in steps[first:]:
        value = step(value)
    return codec.encode(value)


def _argument_of(step: Callable[[Any], Any]) -> Any:
    """The annotation of a function's only argument."""
    code = step.__code__
    name = code.co_varnames[0] if code.co_argcount == 1 else ""
    try:
        # The annotations of a function, in whatever way this Python keeps them.
        return shapes.hints_of(step)[name]
    except KeyError:
        raise DeclarationError(f"{step.__name__} must take one value, and say of what type: it reads an older version") from None
