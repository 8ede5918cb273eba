"""What an operator is given: a record with its key, time and headers; a window; a whole batch."""

import enum
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain, repeat
from operator import sub
from typing import Generic, NamedTuple, TypeVar

from tidewheel import _frame
from tidewheel.times import EventTime

T = TypeVar("T")


class Change(enum.IntEnum):
    """What a record says about the one before it with the same key, as in a change-data stream."""

    INSERT = 0
    """A new row."""
    UPDATE_BEFORE = 1
    """The old version of a row that changes."""
    UPDATE_AFTER = 2
    """The new version of a row that changes."""
    DELETE = 3
    """A row that goes away."""


class Window(NamedTuple):
    """A window: the times from `start` up to, but not including, `end`."""

    start: EventTime
    """The first time in it."""
    end: EventTime
    """The first time behind it."""


class Incoming:
    """The records of one call: the columns of its frame by record and by group. In world `stateless` every record is a group
    of its own. What few operators look at is taken out of its column when it is first wanted.
    """

    def __init__(self, frame: bytes, grouped: bool) -> None:
        columns = self.columns = _frame.Columns(frame)
        self._length = columns.length(_frame.TIMES) // 8
        self.value_ends = columns.words(_frame.VALUE_ENDS)
        self.data = columns.bytes(_frame.VALUES)
        self.record_ends: list[int] | None = columns.words(_frame.RECORD_ENDS) if grouped else None
        self.flags = columns.bytes(_frame.GROUP_FLAGS) if grouped else b""
        self._windows: list[int] | None = None
        self._headers: tuple[list[int], list[int], bytes] | None = None
        self._inputs_changes: tuple[bytes, bytes] | None = None

    def __len__(self) -> int:
        return self._length

    @cached_property
    def times(self) -> list[EventTime]:
        """Event times by record, or times of timers."""
        return self.columns.longs(_frame.TIMES)

    @cached_property
    def keys(self) -> list[bytes]:
        """Keys by group; none when there are no keys."""
        return _frame.split(self.columns.words(_frame.KEY_ENDS), self.columns.bytes(_frame.KEYS))

    @cached_property
    def cell_ends(self) -> list[int]:
        """Where the cells end that ride along, those of a group one after the other."""
        return self.columns.words(_frame.CELL_ENDS)

    @cached_property
    def cells(self) -> list[bytes | None]:
        """The cells that ride along."""
        return _frame.split_cells(self.cell_ends, self.columns.bytes(_frame.CELLS))

    @property
    def groups(self) -> int:
        """Number of groups."""
        return self._length if self.record_ends is None else len(self.record_ends)

    @cached_property
    def group_numbers(self) -> Sequence[int]:
        """The group of each record."""
        ends = self.record_ends
        if ends is None or (len(ends) == self._length and ends == list(range(1, self._length + 1))):
            return range(self._length)
        return list(chain.from_iterable(map(repeat, range(len(ends)), map(sub, ends, [0, *ends]))))

    def records(self, group: int) -> range:
        """The records of a group."""
        if self.record_ends is None:
            return range(group, group + 1)
        return range(self.record_ends[group - 1] if group else 0, self.record_ends[group])

    def group_of(self, record: int) -> int:
        """The group of a record."""
        return self.group_numbers[record]

    def value(self, record: int) -> bytes:
        """A record's value. Timers have none: it is empty."""
        if not self.value_ends:
            return b""
        return self.data[self.value_ends[record - 1] if record else 0 : self.value_ends[record]]

    def key(self, group: int) -> bytes:
        """A group's key; empty when there are no keys."""
        return self.keys[group] if self.keys else b""

    def window(self, group: int) -> Window | None:
        """A group's window, if groups have one."""
        if self._windows is None:
            self._windows = self.columns.longs(_frame.WINDOWS)
        return Window(self._windows[2 * group], self._windows[2 * group + 1]) if self._windows else None

    def group_time(self, group: int) -> EventTime:
        """The time of what a group as a whole emits: its timer's, or the last of its window."""
        window = self.window(group)
        return self.times[self.records(group).start] if window is None else window.end - 1

    def part(self, group: int) -> tuple[bool, bool]:
        """Whether it is the first, and the last, part of its window."""
        flags = self.flags[group] if self.flags else 3
        return bool(flags & 1), bool(flags & 2)

    def input(self, record: int) -> int:
        """The input that a record came by, or a timer's slot."""
        inputs, _ = self._codes()
        return inputs[record] if inputs else 0

    def change(self, record: int) -> Change:
        """What a record says about the one before it."""
        _, changes = self._codes()
        return Change(changes[record]) if changes else Change.INSERT

    def _codes(self) -> tuple[bytes, bytes]:
        if self._inputs_changes is None:
            self._inputs_changes = self.columns.bytes(_frame.INPUTS), self.columns.bytes(_frame.CHANGES)
        return self._inputs_changes

    def headers(self, record: int) -> list[tuple[str, bytes]]:
        """Names and values of a record's headers."""
        if self._headers is None:
            columns = self.columns
            places = [0, *columns.words(_frame.HEADER_PLACES)]
            self._headers = columns.words(_frame.HEADER_ENDS), places, columns.bytes(_frame.HEADER_BYTES)
        ends, places, data = self._headers
        if not ends:
            return []
        found = range(ends[record - 1] if record else 0, ends[record])
        names = [data[places[2 * at] : places[2 * at + 1]].decode(errors="replace") for at in found]
        values = [data[places[2 * at + 1] : places[2 * at + 2]] for at in found]
        return list(zip(names, values, strict=True))


class Record(Generic[T]):
    """A record: its value, and on demand what else is known of it."""

    __slots__ = ("_batch", "_index", "value")

    def __init__(self, value: T, index: int, batch: Incoming) -> None:
        self.value = value
        self._index = index
        self._batch = batch

    @property
    def event_time(self) -> EventTime:
        """When it happened."""
        return self._batch.times[self._index]

    @property
    def data(self) -> bytes:
        """The value's bytes, as they came."""
        return self._batch.value(self._index)

    @property
    def key(self) -> str:
        """The key as text; what is not UTF-8 is replaced. Empty on a stream without keys."""
        return self.key_bytes.decode(errors="replace")

    @property
    def key_bytes(self) -> bytes:
        """The key: the bytes by which records are grouped."""
        return self._batch.key(self._batch.group_of(self._index))

    @property
    def input(self) -> int:
        """Index of the input it came by, in the order of the job file's `input` list."""
        return self._batch.input(self._index)

    @property
    def change(self) -> Change:
        """What it says about the record before it with the same key."""
        return self._batch.change(self._index)

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """Names and values of its headers."""
        return self._batch.headers(self._index)

    def header(self, name: str) -> bytes | None:
        """The value of the first header of this name."""
        return next((value for found, value in self.headers if found == name), None)

    def __repr__(self) -> str:
        return f"Record({self.value!r}, event_time={self.event_time}, key={self.key!r})"


class Batch(Generic[T]):
    """Several records at once: all of a call, in a keyed operator those of one key."""

    __slots__ = ("_incoming", "indices", "values")

    def __init__(self, values: list[T], indices: Sequence[int], incoming: Incoming) -> None:
        self.values = values
        """Their values, in order of arrival."""
        self.indices = indices
        """Where each is in the call."""
        self._incoming = incoming

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Record[T]]:
        incoming = self._incoming
        return iter([Record(value, index, incoming) for value, index in zip(self.values, self.indices, strict=True)])

    @property
    def event_times(self) -> list[EventTime]:
        """When they happened."""
        times = self._incoming.times
        return times if len(self) == len(times) else [times[index] for index in self.indices]

    @property
    def keys(self) -> list[bytes]:
        """Their keys."""
        key, group_of = self._incoming.key, self._incoming.group_of
        return [key(group_of(index)) for index in self.indices]

    @property
    def data(self) -> memoryview:
        """The bytes of all values, one after the other, as they came: `data.cast("q")` are numbers of eight bytes each."""
        incoming = self._incoming
        if not self.indices or not incoming.value_ends:
            return memoryview(b"")
        first, last = self.indices[0], self.indices[-1]
        if last - first + 1 == len(self.indices):
            start = incoming.value_ends[first - 1] if first else 0
            return memoryview(incoming.data)[start : incoming.value_ends[last]]
        return memoryview(b"".join([incoming.value(index) for index in self.indices]))
