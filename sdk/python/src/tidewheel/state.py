"""Keyed state: fields of an operator whose content belongs to the key at hand and is kept by the host.

The fields are declared in the class: `summary = Value(Summary, ttl=days(540))`. What has not been written for the
time-to-live is gone, of a list each element, of a map each entry by itself; `ttl_clock="event"` measures it by the watermark
instead of the worker's clock, `ttl_refresh="read-write"` counts reads as well.

When a type changes, raise its `version` and say how older values are read: `Value(Total, version=3, migrate=[from_1, from_2])`,
each a function from one version to the next. What the function takes says what is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar, Unpack, cast

from tidewheel import _frame, shapes
from tidewheel._map import MapLog, key_codec
from tidewheel._states import PAGE, State, StateOptions, Writes
from tidewheel.errors import FormatError
from tidewheel.records import Incoming
from tidewheel.shapes import Shape

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
A = TypeVar("A")
R = TypeVar("R")

_UNKNOWN: Any = object()
"""In the place of what is kept: nobody has asked the host."""


class Value(State[T]):
    """One value per key: `count = Value(int)`.

    It rides in the batch: reading and writing it costs no call of the host, and a value that was not set is not sent back.
    For large values that most records do not need, `rides=False` reads it by a call when it is first looked at.
    """

    def __init__(self, of: type[T] | Shape[T], *, rides: bool = True, **options: Unpack[StateOptions]) -> None:
        super().__init__(of, rides=rides, **options)

    def get(self) -> T | None:
        """The value of the key at hand, if there is one. Each time a new one: a change counts when it is `set`."""
        value: T | None = self._now[self._context._group]
        return value if value.__class__ is int else self._read()

    def get_or(self, default: T) -> T:
        """The value of the key at hand, or this one."""
        value: Any = self._now[self._context._group]
        if value.__class__ is not int:
            value = self._read()
        return default if value is None else value

    def set(self, value: T) -> None:
        """Sets the value of the key at hand."""
        kept: Any = value
        whole = self._whole
        if whole is None:
            kept = self._encode(value)
        elif kept.__class__ is not int or not whole.least <= kept <= whole.most:
            # It is no such number, or one of another class.
            kept = self._decode(self._encode(value))
        self._keep(kept)

    def is_set(self) -> bool:
        """Whether the key at hand has a value."""
        return self._kept() is not None

    def clear(self) -> None:
        """Removes the value of the key at hand."""
        self._keep(None)

    def _read(self) -> T | None:
        kept = self._kept()
        if kept is None:
            return None
        try:
            value: T = self._decode(kept)
        except FormatError as error:
            raise self.corrupt(error) from None
        if self._whole is not None:
            self._now[self._context._group] = value
        return value

    def _kept(self) -> Any:
        group = self._context._group
        if self._now[group] is _UNKNOWN:
            values = self._host.get(self._index, group.to_bytes(4, "little"))
            self._now[group] = None if values.ends[3] & 0x80 else values.bytes
        return self._now[group]

    def _keep(self, kept: Any) -> None:
        context, now = self._context, self._now
        group, source = context._group, context._source
        if self._touched != source:
            self._touched = source
            self._before, self._last_before = now[group], self._last
        if self._last != group:
            self._last = group
            self._set.append(group)
        now[group] = kept

    # By group what is kept now: the bytes of a value, `None` if there is none. A whole number is kept as such once it was read.
    _now: list[Any]
    # The groups of which the value was set or removed. They come one after the other.
    _set: list[int]
    _last: int
    _before: Any
    _last_before: int

    def begin_call(self, incoming: Incoming) -> None:
        codec, groups = self.codec, incoming.groups
        self._encode, self._decode, self._whole = codec.encode, codec.decode, codec.whole
        if not self._rides or not groups:
            self._now = [_UNKNOWN] * groups
            return
        riding, now = len(incoming.cell_ends) // groups, None
        if self._whole is not None and riding == 1:
            now = self._whole.read_all(incoming.cell_ends, incoming.columns.bytes(_frame.CELLS))
        self._now = incoming.cells[self._index :: riding] if now is None else now

    def undo(self, source: int) -> None:
        if self._touched == source:
            self._now[self._context._group] = self._before
            if self._last != self._last_before:
                self._set.pop()
                self._last = self._last_before
            self._touched = -1

    def hand_over(self, writes: Writes) -> None:
        groups, kept = self._set, self._now
        if len(groups) != len(kept):
            kept = [kept[group] for group in groups]
        whole = self._whole
        if whole is not None and whole.size and self._rides and None not in kept:
            writes.put_riding(groups, self._index, [whole.size] * len(groups), whole.write_all(kept))
            return
        if whole is not None:
            kept = [None if number is None else self._encode(number) for number in kept]
        entries: list[bytes] = [data for data in kept if data is not None]
        if self._rides and len(entries) == len(groups):
            writes.put_riding(groups, self._index, map(len, entries), b"".join(entries))
            return
        for group, data in zip(groups, kept, strict=True):
            writes.push(group, self._index, self._rides, Writes.DELETE if data is None else Writes.PUT, data or b"")

    def end_call(self) -> None:
        self._now, self._set, self._last = [], [], -1
        self._touched, self._before, self._last_before = -1, None, -1


class Reducing(Value[T]):
    """One value per key, of all that were added: `largest = Reducing(int, max)`."""

    def __init__(
        self,
        of: type[T] | Shape[T],
        reduce: Callable[[T, T], T],
        *,
        rides: bool = True,
        **options: Unpack[StateOptions],
    ) -> None:
        super().__init__(of, rides=rides, **options)
        self._reduce = reduce

    def add(self, value: T) -> T:
        """Adds a value to that of the key at hand, and gives the result."""
        so_far = self.get()
        result = value if so_far is None else self._reduce(so_far, value)
        self.set(result)
        return result


class Aggregating(Value[A], Generic[A, V, R]):
    """One accumulator per key, of all values that were added; what is added, kept and read may be of three types:
    `mean = Aggregating(Mean, add=Mean.with_value, result=Mean.result)`.

    `add` makes a new accumulator of the one so far and a value. The first is made by calling the class, or `create`.
    """

    def __init__(
        self,
        of: type[A] | Shape[A],
        *,
        add: Callable[[A, V], A],
        result: Callable[[A], R],
        create: Callable[[], A] | None = None,
        rides: bool = True,
        **options: Unpack[StateOptions],
    ) -> None:
        super().__init__(of, rides=rides, **options)
        self._add, self._result = add, result
        self._create = create or cast(Callable[[], A], shapes.bare(shapes.annotation_of(of)))

    def result_of(self, accumulator: A) -> R:
        """The result of an accumulator."""
        return self._result(accumulator)

    def add(self, value: V) -> R:
        """Adds a value to the accumulator of the key at hand, and gives the result."""
        so_far = self.get()
        accumulator = self._add(self._create() if so_far is None else so_far, value)
        self.set(accumulator)
        return self._result(accumulator)

    def result(self) -> R | None:
        """The result of the key at hand, if any value was added."""
        so_far = self.get()
        return None if so_far is None else self._result(so_far)


class List(State[T]):
    """A list per key: `last = List(Purchase)`.

    Appending costs nothing but the bytes: they go out with the batch's other results. Reading calls the host, a page at a
    time. With a time-to-live each element has its own.
    """

    kind = "list"

    def append(self, element: T) -> None:
        """Adds an element at the end of the list of the key at hand."""
        data = self.codec.encode(element)
        group = self._context._group
        self._touch(group)
        self._pushed.setdefault(group, []).append(data)

    def __iter__(self) -> Iterator[T]:
        """The elements of the key at hand, oldest first, those of this call included."""
        group, decode = self._context._group, self.codec.decode
        try:
            if group not in self._cleared:
                start, more = 0, True
                while more:
                    page = self._host.list_read(self._index, group, start, PAGE)
                    values = _frame.split(memoryview(page.value_ends).cast("I").tolist(), page.values)
                    # An element keeps its index, also when others before it have expired.
                    start = int.from_bytes(page.keys[-8:], "big") + 1 if page.keys else start
                    more = page.more and bool(page.keys)
                    for data in values:
                        yield cast(T, decode(data))
            for data in self._pushed.get(group, []):
                yield cast(T, decode(data))
        except FormatError as error:
            raise self.corrupt(error) from None

    def replace(self, elements: Iterable[T]) -> None:
        """Replaces the list of the key at hand by these elements."""
        encoded = list(map(self.codec.encode, elements))
        self.clear()
        self._pushed[self._context._group] = encoded

    def clear(self) -> None:
        """Empties the list of the key at hand."""
        group = self._context._group
        self._touch(group)
        self._cleared.add(group)
        self._pushed.pop(group, None)

    def _touch(self, group: int) -> None:
        if self._touched != self._context._source:
            self._touched = self._context._source
            pushed = self._pushed.get(group, [])
            self._before = group in self._cleared, pushed, len(pushed)

    def undo(self, source: int) -> None:
        if self._touched == source:
            group = self._context._group
            was_cleared, pushed, count = self._before
            self._pushed[group] = pushed[:count]
            if not was_cleared:
                self._cleared.discard(group)
            self._touched = -1

    def hand_over(self, writes: Writes) -> None:
        for group in self._cleared:
            writes.push(group, self._index, False, Writes.DELETE, b"")
        for group, pushed in self._pushed.items():
            for data in pushed:
                writes.push(group, self._index, False, Writes.APPEND, data)

    def end_call(self) -> None:
        self._cleared, self._pushed = set(), {}
        self._touched, self._before = -1, (False, [], 0)

    _cleared: set[int]
    _pushed: dict[int, list[bytes]]
    _before: tuple[bool, list[bytes], int]


class Map(State[V], Generic[K, V]):
    """A map per key, in the order of its keys: `open = Map(str, Order)`.

    Keys are text, bytes or whole numbers; of another width than 64 bits with `Map(u32, Order)`. Reading calls the host, and
    `get_many` calls it once for many entries. Writes are gathered and told to the host at the end of the call; reads see them
    before. With a time-to-live each entry has its own.
    """

    kind = "map"

    def __init__(
        self, keys: type[K] | Shape[K], of: type[V] | Shape[V], **options: Unpack[StateOptions]
    ) -> None:
        super().__init__(of, **options)
        self.write_key, self.read_key = key_codec(shapes.annotation_of(keys))

    def get(self, key: K) -> V | None:
        """The value of an entry, if there is one."""
        return self.get_many([key])[0]

    def get_many(self, keys: Iterable[K]) -> list[V | None]:
        """The values of many entries, in order, with one call of the host."""
        group = self._context._group
        found = self._log.read(group, [self.write_key(key) for key in keys])
        return [None if data is None else self._value(data) for data in found]

    def __contains__(self, key: K) -> bool:
        """Whether there is such an entry. Its value is not decoded."""
        return self._log.read(self._context._group, [self.write_key(key)])[0] is not None

    def put(self, key: K, value: V) -> None:
        """Sets the value of an entry."""
        self._log.write(self._context._group, self._context._source, self.write_key(key), self.codec.encode(value))

    def remove(self, key: K) -> None:
        """Removes an entry."""
        self._log.write(self._context._group, self._context._source, self.write_key(key), None)

    def scan(
        self, *, start: K | None = None, after: K | None = None, backwards: bool = False, limit: int | None = None
    ) -> list[tuple[K, V]]:
        """Entries in the order of their keys, or backwards: from the key `start` on, or from the first one behind `after`; at
        most `limit` of them.
        """
        if start is not None and after is not None:
            raise ValueError("a scan begins at `start` or behind `after`, not both")
        place = after if start is None else start
        written = b"" if place is None else self.write_key(place)
        context = self._context
        entries = self._log.scan(context._group, context._source, written, after is not None, backwards, limit)
        return [(cast(K, self.read_key(key)), self._value(data)) for key, data in entries]

    def clear(self) -> None:
        """Removes all entries. Costs as much as reading them."""
        group, source = self._context._group, self._context._source
        for key, _ in self._log.scan(group, source, b"", False, False, None):
            self._log.write(group, source, key, None)

    def _value(self, data: bytes) -> V:
        try:
            return cast(V, self.codec.decode(data))
        except FormatError as error:
            raise self.corrupt(error) from None

    def undo(self, source: int) -> None:
        self._log.undo(source)

    def hand_over(self, writes: Writes) -> None:
        self._log.tell()

    def end_call(self) -> None:
        self._log = MapLog(self._host, self._index)

    _log: MapLog
