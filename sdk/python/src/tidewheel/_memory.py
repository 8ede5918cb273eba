"""The host the test harness plays: state in memory, and the functions a component imports. The rules of what is stored are those
of the host's state backends.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from tidewheel import _frame
from tidewheel._description import StateDecl
from tidewheel._host import Level, MetricKind
from tidewheel.errors import Fail
from tidewheel.times import TIME_MAX, TIME_MIN, clamp


@dataclass(frozen=True)
class Stored:
    """A value, an element or an entry, as it was written."""

    version: int
    expiry: int | None
    """When it expires, on the clock of its state."""
    data: bytes


@dataclass
class Clocks:
    """The clocks that a time-to-live can follow."""

    now: int = 0
    watermark: int = TIME_MIN
    event_time: int = TIME_MIN
    """The watermark, but for the one at the end of all input: that is beyond all time, and no time passes with it."""

    def advance_watermark(self, to: int) -> None:
        """Moves the watermark, which never goes back."""
        self.watermark = max(self.watermark, to)
        if self.watermark != TIME_MAX:
            self.event_time = self.watermark


@dataclass
class Metric:
    """A metric and its value; of a histogram the last one recorded."""

    name: str
    kind: MetricKind
    value: float = 0.0


@dataclass(frozen=True)
class MemoryCall:
    """What holds for a call."""

    now: int
    watermark: int
    seed: int


@dataclass(frozen=True)
class MemoryValues:
    """Values, in the order they were asked for."""

    ends: bytes
    bytes: bytes


@dataclass(frozen=True)
class MemoryEntries:
    """Entries of a map or list, in order."""

    key_ends: bytes
    keys: bytes
    value_ends: bytes
    values: bytes
    more: bool


Place = tuple[int, bytes]
"""A state and a key."""


def end_of(elements: dict[int, Stored]) -> int:
    """The index of the next element of a list."""
    return max(elements, default=-1) + 1


@dataclass
class MemoryHost:
    """What the host keeps for one operator."""

    states: list[StateDecl]
    migrate: Callable[[int, int, bytes], bytes]
    clocks: Clocks = field(default_factory=Clocks)
    values: dict[Place, Stored] = field(default_factory=dict[Place, Stored])
    lists: dict[Place, dict[int, Stored]] = field(default_factory=dict[Place, dict[int, Stored]])
    maps: dict[Place, dict[bytes, Stored]] = field(default_factory=dict[Place, dict[bytes, Stored]])
    lines: list[str] = field(default_factory=list[str])
    metrics: list[Metric] = field(default_factory=list[Metric])
    groups: list[bytes] = field(default_factory=list[bytes])
    """Keys of the groups of the call at hand."""
    replaced: list[tuple[Place, bytes, Stored | None]] = field(default_factory=list[tuple[Place, bytes, Stored | None]])
    """What the map writes of the call at hand replaced."""

    def begin_call(self, groups: list[bytes], seed: int) -> MemoryCall:
        """A call with these groups begins."""
        self.groups = groups
        return MemoryCall(self.clocks.now, self.clocks.watermark, seed)

    def end_call(self, *, succeeded: bool) -> None:
        """Ends a call: its map writes count, or not."""
        if not succeeded:
            self.revert(0)
        self.replaced, self.groups = [], []

    def store(self, state: int, data: bytes, version: int | None = None) -> Stored:
        """A value that is written now; under an older version, if one is named."""
        declared = self.states[state]
        return Stored(declared.version if version is None else version, self._expiry(declared), data)

    def _expiry(self, declared: StateDecl) -> int | None:
        """When something written or refreshed now expires. Before the first watermark there is no event time to count from: what
        is written then stays until it is written again.
        """
        if not declared.ttl_ms:
            return None
        now = self._time(declared)
        return TIME_MAX if now == TIME_MIN else clamp(now + declared.ttl_ms)

    def _time(self, declared: StateDecl) -> int:
        return self.clocks.event_time if ("ttl-clock", "event") in declared.options else self.clocks.now

    def live(self, state: int, stored: Stored) -> bytes | None:
        """The bytes in the newest version, unless they have expired."""
        declared = self.states[state]
        if stored.expiry is not None and stored.expiry <= self._time(declared):
            return None
        if stored.version == declared.version:
            return stored.data
        return self.migrate(state, stored.version, stored.data)

    def _refreshed(self, state: int, stored: Stored) -> Stored:
        """What a read makes of what it has read."""
        declared = self.states[state]
        if ("ttl-refresh", "read-write") in declared.options:
            return Stored(stored.version, self._expiry(declared), stored.data)
        return stored

    def value(self, state: int, key: bytes) -> bytes | None:
        """A value as a call sees it; seeing it may keep it longer."""
        stored = self.values.get((state, key))
        data = None if stored is None else self.live(state, stored)
        if stored is not None and data is not None:
            self.values[state, key] = self._refreshed(state, stored)
        return data

    def apply(self, state: int, key: bytes, operation: int, data: bytes) -> None:
        """Makes a change of column 18 count: 0 put, 1 delete, 2 append."""
        place, kind = (state, key), self.states[state].kind
        if operation == 0:
            assert kind == "value", f"the SDK does not put to a {kind}"
            self.values[place] = self.store(state, data)
        elif operation == 1:
            self.values.pop(place, None)
            self.lists.pop(place, None)
            self.maps.pop(place, None)
        else:
            assert kind == "list", f"the SDK does not append to a {kind}"
            elements = self.lists.setdefault(place, {})
            elements[end_of(elements)] = self.store(state, data)

    def restore(self, host: MemoryHost, accumulators: list[Stored]) -> None:
        """Takes over what another host has kept, by the names of its states."""
        places: dict[int, int] = {}
        for index, stored in enumerate(host.states):
            place = next((at for at, declared in enumerate(self.states) if declared.name == stored.name), None)
            if place is None:
                raise Fail(f"state {stored.name} is in the savepoint and would be dropped")
            self._check(stored, self.states[place], {*host._versions(index), *(it.version for it in accumulators)})
            places[index] = place
        self.values = {(places[state], key): stored for (state, key), stored in host.values.items()}
        self.lists = {(places[state], key): dict(stored) for (state, key), stored in host.lists.items()}
        self.maps = {(places[state], key): dict(stored) for (state, key), stored in host.maps.items()}
        self.clocks = copy.copy(host.clocks)

    def _check(self, stored: StateDecl, declared: StateDecl, versions: Iterable[int]) -> None:
        parts = ["kind", "format"] + (["schema"] if stored.version == declared.version else [])
        for part in parts:
            was, now = getattr(stored, part), getattr(declared, part)
            if was != now:
                raise Fail(f"state {stored.name} was written with {part} {was!r}, but is declared with {now!r}")
        for version in versions:
            if not declared.oldest <= version <= declared.version:
                raise Fail(f"state {stored.name} has values of version {version}, which it cannot migrate")

    def _versions(self, state: int) -> Iterator[int]:
        """The schema versions of the values that are there of a state."""
        yield from (stored.version for (of, _), stored in self.values.items() if of == state)
        yield from (it.version for (of, _), stored in self.lists.items() if of == state for it in stored.values())
        yield from (it.version for (of, _), stored in self.maps.items() if of == state for it in stored.values())

    def log(self, level: Level, record_index: int | None, message: str) -> None:
        self.lines.append(f"{level}: {message}")

    def define_metric(self, name: str, kind: MetricKind) -> int:
        for at, metric in enumerate(self.metrics):
            if metric.name == name:
                return at
        self.metrics.append(Metric(name, kind))
        return len(self.metrics) - 1

    def update_metric(self, metric: int, value: float) -> None:
        found = self.metrics[metric]
        found.value = found.value + value if found.kind == "counter" else value

    def get(self, state: int, groups: bytes) -> MemoryValues:
        cells = [self.value(state, self.groups[group]) for group in memoryview(groups).cast("I")]
        return MemoryValues(*_frame.cell_columns(cells))

    def list_read(self, state: int, group: int, start: int, limit: int) -> MemoryEntries:
        elements = self.lists.get((state, self.groups[group]), {})
        live: list[tuple[bytes, bytes]] = []
        for at in sorted(at for at in elements if at >= start):
            data = self.live(state, elements[at])
            if data is not None:
                elements[at] = self._refreshed(state, elements[at])
                live.append((at.to_bytes(8, "big"), data))
        return _entries(live, limit)

    def map_get(self, state: int, groups: bytes, key_ends: bytes, keys: bytes) -> MemoryValues:
        wanted = _frame.split(memoryview(key_ends).cast("I").tolist(), keys)
        cells: list[bytes | None] = []
        for group, key in zip(memoryview(groups).cast("I"), wanted, strict=True):
            entries = self.maps.get((state, self.groups[group]), {})
            data = self.live(state, entries[key]) if key in entries else None
            if data is not None:
                entries[key] = self._refreshed(state, entries[key])
            cells.append(data)
        return MemoryValues(*_frame.cell_columns(cells))

    def map_scan(self, state: int, group: int, start: bytes, after: bool, backwards: bool, limit: int) -> MemoryEntries:
        entries = self.maps.get((state, self.groups[group]), {})
        keys = sorted(entries, reverse=backwards)
        if backwards and (start or after):
            keys = [key for key in keys if key < start or (key == start and not after)]
        elif not backwards:
            keys = [key for key in keys if key > start or (key == start and not after)]
        live: list[tuple[bytes, bytes]] = []
        for key in keys:
            data = self.live(state, entries[key])
            if data is not None:
                entries[key] = self._refreshed(state, entries[key])
                live.append((key, data))
        return _entries(live, limit)

    def map_write(
        self, state: int, groups: bytes, key_ends: bytes, keys: bytes, value_ends: bytes, values: bytes
    ) -> None:
        written = _frame.split(memoryview(key_ends).cast("I").tolist(), keys)
        cells = _frame.split_cells(memoryview(value_ends).cast("I").tolist(), values)
        for group, key, data in zip(memoryview(groups).cast("I"), written, cells, strict=True):
            place = state, self.groups[group]
            replaced = self._put(place, key, None if data is None else self.store(state, data))
            self.replaced.append((place, key, replaced))

    def _put(self, place: Place, key: bytes, stored: Stored | None) -> Stored | None:
        entries = self.maps.setdefault(place, {})
        before = entries.pop(key, None)
        if stored is not None:
            entries[key] = stored
        return before

    def mark(self) -> int:
        return len(self.replaced)

    def revert(self, mark: int) -> None:
        for place, key, stored in reversed(self.replaced[mark:]):
            self._put(place, key, stored)
        del self.replaced[mark:]


def _entries(live: list[tuple[bytes, bytes]], limit: int) -> MemoryEntries:
    keys, values = [key for key, _ in live[:limit]], [data for _, data in live[:limit]]
    columns = _frame.ends(keys), b"".join(keys), _frame.ends(values), b"".join(values)
    return MemoryEntries(*columns, len(live) > limit)
