"""A test harness: runs an operator natively, in a plain unit test.

It drives the operator through the same adapters and frames as the host does, with a tiny host in memory. Every call goes to a
fresh instance of the operator, so a field that should have been a state shows.

    def test_counts_each_word_on_its_own() -> None:
        harness = Harness(Count)
        harness.send("tide", "tide")
        harness.send("wheel", "wheel")
        harness.send("tide", "tide")
        assert harness.outputs() == [WordCount("tide", 1), WordCount("wheel", 1), WordCount("tide", 2)]
        assert harness.value("count", "tide") == 2
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tidewheel import _frame, _granted, shapes
from tidewheel import http as requests
from tidewheel._adapt import Adapter, adapter_of
from tidewheel._memory import MemoryHost, Metric, Stored, end_of
from tidewheel._operator import Bound, Declared
from tidewheel._sent import (
    EmittedRecord,
    Group,
    RejectedRecord,
    Sent,
    accumulators,
    emitted,
    rejected,
    timers,
    watermarks,
    write,
    writes,
)
from tidewheel.errors import Fail
from tidewheel.formats import Codec, state_codec_of
from tidewheel.operators import AnyOperator
from tidewheel.ports import is_empty_config
from tidewheel.records import Change, Window
from tidewheel.state import Aggregating, Map
from tidewheel.times import TIME_MAX, Duration, EventTime

__all__ = ["EmittedRecord", "Harness", "RejectedRecord", "Savepoint"]

_ROUNDS_MAX = 100_000
"""Rounds of timers in one advance; an operator that sets a timer for now in each of them has no end."""


class Savepoint:
    """All that the host keeps of an operator: its states, timers and open windows. For another harness, as of a newer version
    of the operator, to go on from.
    """

    def __init__(self, harness: Harness) -> None:
        self.host = copy.deepcopy(harness.host)
        self.timers = copy.deepcopy(harness.timers_set)
        self.windows = copy.deepcopy(harness.windows)
        self.window_records = copy.deepcopy(harness.window_records)


class Harness:
    """An operator under test, with its host.

    `config` is the job file's table for it, `env` the environment variables that the job grants it. `http` answers its
    requests by a `Response`, or raises the `HttpError` that the operator is to get; without it no host is granted. With
    `reuse_instance` all calls go to one instance, as the host mostly does; without it each call gets a fresh one. `tumbling` is
    the length of windows, for operators that have them, and `parts_of` hands them over in parts of so many records, as the host
    does with those of several megabytes.
    """

    def __init__(
        self,
        operator: type[AnyOperator],
        *,
        config: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        http: Callable[[requests.Request], requests.Response] | None = None,
        reuse_instance: bool = False,
        tumbling: Duration = 1000,
        parts_of: int | None = None,
    ) -> None:
        self._declared = Declared(operator)
        self._description = self._declared.describe()
        self._kind = self._declared.role.kind
        self._config = "" if config is None else json.dumps(config)
        if is_empty_config(self._config):
            self._config = ""
        self._granted = _granted.options_of((env or {}).items())
        self._sender = requests.answered_by(http)
        self._reuse, self._tumbling, self._parts_of = reuse_instance, max(1, tumbling), parts_of
        self.host = MemoryHost(self._description.states, self._declared.migrated)
        self.timers_set: dict[bytes, set[tuple[int, int]]] = {}
        # Open windows, by end, start and key: two accumulators each, to be merged, or records.
        self.windows: dict[tuple[int, int, bytes], list[Stored | None]] = {}
        self.window_records: dict[tuple[int, int, bytes], list[Sent]] = {}
        self._late: list[Sent] = []
        self._emitted: list[EmittedRecord] = []
        self._rejected: list[RejectedRecord] = []
        self._watermarks: list[EventTime] = []
        self._calls = 0
        self._adapter = self._opened()

    def _opened(self) -> Adapter:
        """A new instance."""
        self._grant()
        return adapter_of(Bound(self._declared, self._config, self.host))

    def _grant(self) -> None:
        """Gives the call at hand what the job grants."""
        _granted.take(self._granted)
        requests.use(self._sender)

    def send(
        self,
        key: str | bytes,
        value: Any,
        time: EventTime = 0,
        *,
        input: int = 0,
        headers: Mapping[str, str | bytes] | None = None,
        change: Change = Change.INSERT,
    ) -> None:
        """Sends a record. A rejected one is no failure; an error is raised when the call fails as a whole."""
        data = self._declared.input.encode(value)
        self._process([Sent(_bytes(key), time, data, input, change, _headers(headers))])

    def send_all(self, records: Iterable[tuple[str | bytes, Any] | tuple[str | bytes, Any, EventTime]]) -> None:
        """Sends records in one batch, each a key, a value and perhaps a time."""
        encode = self._declared.input.encode
        sent = [Sent(_bytes(record[0]), record[2] if len(record) == 3 else 0, encode(record[1])) for record in records]
        self._process(sent)

    def send_bytes(self, key: str | bytes, data: str | bytes, time: EventTime = 0) -> None:
        """Sends bytes as they are, right or wrong."""
        self._process([Sent(_bytes(key), time, _bytes(data))])

    def advance_watermark(self, to: EventTime) -> None:
        """Moves the watermark forward: no record at or below it will come. Timers and windows that are due fire. Behind the end
        of the input timers of the processing clock are dropped, and fire no more.
        """
        clocks = self.host.clocks
        clocks.advance_watermark(to)
        self._fire_timers("event", clocks.watermark)
        if self._kind == "aggregate":
            self._fire_accumulators()
        elif self._kind == "process_window":
            self._fire_records()
        if self._has_ended():
            declared = self._description.timers
            for of_key in self.timers_set.values():
                of_key -= {timer for timer in of_key if declared[timer[1]].clock == "processing"}

    def finish(self) -> None:
        """Ends the input: all windows fire, and all timers of the event clock."""
        self.advance_watermark(TIME_MAX)

    def advance_now(self, to: EventTime) -> None:
        """Moves processing time forward. Timers of the processing clock that are due fire."""
        self.host.clocks.now = max(self.host.clocks.now, to)
        if not self._has_ended():
            self._fire_timers("processing", self.host.clocks.now)

    def outputs(self) -> list[Any]:
        """Values emitted on the main output since this was last called."""
        return self._take(0, self._declared.output)

    def side_outputs(self, output: str) -> list[Any]:
        """Values emitted on the side output of this name since this was last called for it."""
        names = list(self._declared.outputs)
        if output not in names:
            raise KeyError(f"there is no output {output!r}, only {', '.join(names) or 'the main one'}")
        return self._take(names.index(output) + 1, self._declared.outputs[output].codec)

    def _take(self, output: int, codec: Codec) -> list[Any]:
        taken = [record for record in self._emitted if record.output == output]
        self._emitted = [record for record in self._emitted if record.output != output]
        return [codec.decode(record.value) for record in taken]

    def records(self) -> list[EmittedRecord]:
        """Records emitted on any output since this or `outputs` was last called."""
        taken, self._emitted = self._emitted, []
        return taken

    def rejected(self) -> list[RejectedRecord]:
        """Records and timers rejected since this was last called."""
        taken, self._rejected = self._rejected, []
        return taken

    def watermarks(self) -> list[EventTime]:
        """Watermarks that the operator made since this was last called; see `Context.emit_watermark`."""
        taken, self._watermarks = self._watermarks, []
        return taken

    def late(self) -> list[bytes]:
        """Bytes of records that came after their window had fired."""
        taken, self._late = self._late, []
        return [record.value for record in taken]

    def timers(self, key: str | bytes) -> list[EventTime]:
        """Times at which timers of a key are set."""
        return [time for time, _ in sorted(self.timers_set.get(_bytes(key), ()))]

    def value(self, state: str, key: str | bytes) -> Any:
        """The value of a state of one value, if it has not expired; of an `Aggregating` one the result."""
        index = self._state(state)
        stored = self.host.values.get((index, _bytes(key)))
        data = None if stored is None else self.host.live(index, stored)
        if data is None:
            return None
        field = self._declared.states[index]
        value = field.codec.decode(data)
        return field.result_of(value) if isinstance(field, Aggregating) else value  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

    def elements(self, state: str, key: str | bytes) -> list[Any]:
        """The elements of a list state that have not expired."""
        index = self._state(state)
        live = [self.host.live(index, element) for element in self.host.lists.get((index, _bytes(key)), {}).values()]
        return [self._declared.states[index].codec.decode(data) for data in live if data is not None]

    def entries(self, state: str, key: str | bytes) -> dict[Any, Any]:
        """The entries of a map state that have not expired, in order."""
        index = self._state(state)
        field = self._declared.states[index]
        assert isinstance(field, Map), f"{state} is no Map"
        entries = sorted(self.host.maps.get((index, _bytes(key)), {}).items())
        live = [(key, self.host.live(index, stored)) for key, stored in entries]
        return {field.read_key(key): field.codec.decode(data) for key, data in live if data is not None}

    def log(self) -> list[str]:
        """Lines the operator logged."""
        return self.host.lines

    def metric(self, name: str) -> float | None:
        """What a metric shows; of a histogram the last number."""
        found: Metric | None = next((metric for metric in self.host.metrics if metric.name == name), None)
        return None if found is None else found.value

    def savepoint(self) -> Savepoint:
        """All that the host keeps of the operator now."""
        return Savepoint(self)

    def restore(self, savepoint: Savepoint) -> Harness:
        """Goes on from a savepoint, as a job does that is started from one: states are found by name.

        Raises:
            Fail: when a state is not as the operator declares it, as the host would refuse it: another kind or format, another
                schema under the same version, a version that cannot be migrated; or when it is not declared and would be dropped.
        """
        if any(slot >= len(self._description.timers) for of_key in savepoint.timers.values() for _, slot in of_key):
            raise Fail("timers are in the savepoint that are not declared")
        accumulators = [stored for panes in savepoint.windows.values() for stored in panes if stored is not None]
        self.host.restore(savepoint.host, accumulators)
        self.timers_set = copy.deepcopy(savepoint.timers)
        self.windows = copy.deepcopy(savepoint.windows)
        self.window_records = copy.deepcopy(savepoint.window_records)
        return self

    def load(self, state: str, key: str | bytes, value: Any, *, version: int, of: Any, at: Any = None) -> None:
        """Puts a value there as an older version of the operator has written it: of type `of`, in the state's format. Of a list
        it is another element, of a map the entry `at`.
        """
        index = self._state(state)
        field = self._declared.states[index]
        data = state_codec_of(shapes.annotation_of(of), field.format).encode(value)
        place, stored = (index, _bytes(key)), self.host.store(index, data, version)
        if field.kind == "list":
            elements = self.host.lists.setdefault(place, {})
            elements[end_of(elements)] = stored
        elif isinstance(field, Map):
            self.host.maps.setdefault(place, {})[field.write_key(at)] = stored
        else:
            self.host.values[place] = stored

    def _state(self, name: str) -> int:
        names = [state.name for state in self._description.states]
        if name not in names:
            raise KeyError(f"there is no state {name!r}, only {', '.join(names) or 'none at all'}")
        return names.index(name)

    def _process(self, records: list[Sent]) -> None:
        groups: list[Group] = []
        for record in records:
            has_windows = self._kind in ("aggregate", "process_window")
            window = self._window_of(record.time) if has_windows else None
            if window is not None and window.end - 1 <= self.host.clocks.watermark:
                self._late.append(record)
                continue
            if window is not None and self._kind == "process_window":
                self.window_records.setdefault((window.end, window.start, record.key), []).append(record)
                continue
            same = [group for group in groups if (group.key, group.window) == (record.key, window)]
            if same and self._kind != "stateless":
                same[0].records.append(record)
            else:
                groups.append(Group(record.key, self._cells(record.key, window), [record], window))
        self._call(groups, due=False)

    def _window_of(self, time: int) -> Window:
        start = time // self._tumbling * self._tumbling
        return Window(start, start + self._tumbling)

    def _cells(self, key: bytes, window: Window | None) -> list[bytes | None]:
        """What rides in the batch for a group."""
        if self._kind != "aggregate":
            return [self.host.value(state, key) for state in range(self._declared.riding)]
        assert window is not None, "an aggregate has windows"
        # Calls take turns, so that windows are merged of two accumulators.
        stored = self.windows.get((window.end, window.start, key), [None, None])[self._calls % 2]
        return [None if stored is None else self.host.live(0, stored)]

    def _call(self, groups: list[Group], *, due: bool) -> None:
        """Makes a call. `due`: with timers or windows that are due, otherwise with new records."""
        if not groups:
            return
        call = self.host.begin_call([group.key for group in groups], self._calls)
        if self._reuse:
            self._grant()
        else:
            self._adapter = self._opened()
        frame = write(groups, grouped=self._kind != "stateless")
        by_group = due or self._kind == "process_window"
        try:
            answer = self._adapter.due(call, frame) if due else self._adapter.records(call, frame)
        except BaseException:
            self.host.end_call(succeeded=False)
            raise
        self.host.end_call(succeeded=True)
        self._apply(_frame.Columns(answer), groups, by_group)
        self._calls += 1

    def _apply(self, columns: _frame.Columns, groups: list[Group], by_group: bool) -> None:
        """Makes what a call did count."""
        self._emitted += emitted(columns, groups, by_group=by_group)
        self._rejected += rejected(columns, groups)
        self._watermarks += watermarks(columns, sum(len(group.records) for group in groups))
        for cell, operation, data in writes(columns):
            states = self._declared.state_count if operation & 8 else self._declared.riding
            self.host.apply(cell % states, groups[cell // states].key, operation & 7, data)
        for group, slot, operation, time in timers(columns):
            of_key = self.timers_set.setdefault(groups[group].key, set())
            if operation in (1, 3):
                of_key -= {timer for timer in of_key if timer[1] == slot}
            if operation in (0, 1):
                of_key.add((time, slot))
            elif operation == 2:
                of_key.discard((time, slot))
        for group_at, accumulator in zip(groups, accumulators(columns), strict=False):
            assert group_at.window is not None, "a group with an accumulator has a window"
            place = group_at.window.end, group_at.window.start, group_at.key
            stored = None if accumulator is None else self.host.store(0, accumulator)
            self.windows.setdefault(place, [None, None])[self._calls % 2] = stored

    def _has_ended(self) -> bool:
        return self.host.clocks.watermark == TIME_MAX

    def _fire_timers(self, clock: str, to: int) -> None:
        """Fires timers as the host does: in a call at most one of a key, its earliest."""
        for _ in range(_ROUNDS_MAX):
            groups: list[Group] = []
            for key, of_key in sorted(self.timers_set.items()):
                due = [timer for timer in of_key if timer[0] <= to and self._description.timers[timer[1]].clock == clock]
                if due:
                    time, slot = min(due)
                    of_key.remove((time, slot))
                    groups.append(Group(key, self._cells(key, None), [Sent(key, time, b"", slot)]))
            if not groups:
                return
            self._call(groups, due=True)
        raise AssertionError("on_timer sets a timer that is due at once, again and again")

    def _due_windows(self, windows: Iterable[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
        """Windows whose last millisecond the watermark has reached."""
        return sorted(place for place in windows if place[0] - 1 <= self.host.clocks.watermark)

    def _fire_records(self) -> None:
        """Fires windows with all their records, each in calls of its own."""
        for place in self._due_windows(self.window_records):
            records, (end, start, key) = self.window_records.pop(place), place
            size = self._parts_of or len(records)
            parts = [records[at : at + size] for at in range(0, len(records), size)]
            for at, part in enumerate(parts):
                flags = (at == 0) | (at + 1 == len(parts)) << 1
                self._call([Group(key, self._cells(key, None), part, Window(start, end), flags)], due=False)

    def _fire_accumulators(self) -> None:
        groups: list[Group] = []
        for place in self._due_windows(self.windows):
            panes, (end, start, key) = self.windows.pop(place), place
            live = [self.host.live(0, stored) for stored in panes if stored is not None]
            records = [Sent(key, end - 1, data) for data in live if data is not None]
            if records:
                groups.append(Group(key, [], records, Window(start, end)))
        self._call(groups, due=True)


def _bytes(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data


def _headers(headers: Mapping[str, str | bytes] | None) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), _bytes(value)) for name, value in (headers or {}).items()]
