"""What an operator can do besides returning: emit, look at the clock, log."""

import random
import struct
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, Generic, Protocol, TypeVar

from tidewheel import _frame
from tidewheel._host import Host, Level
from tidewheel.errors import Fail
from tidewheel.formats import Codec
from tidewheel.ports import Output
from tidewheel.records import Change, Incoming, Window
from tidewheel.times import TIME_MIN, EventTime, clamp

_TIMER = struct.Struct("<IHHq")
_MARK = struct.Struct("<IIq")

O = TypeVar("O")
S = TypeVar("S")


class Call(Protocol):
    """What holds for a whole call."""

    @property
    def now(self) -> int: ...
    @property
    def watermark(self) -> int: ...
    @property
    def seed(self) -> int: ...


class Context(Generic[O]):
    """The call at hand, and in it the record, timer or window at hand.

    What is emitted inherits the time and key of the record it is made from; of a timer, its time and key; of a window, the
    last time in it and its key.
    """

    # The fields are for the adapters, states and timers; they are not part of the interface.
    def __init__(self, host: Host, codec: Codec) -> None:
        self._host = host
        self._encode = codec.encode
        self._pack = codec.pack or codec.encode
        # What is at hand: a group, and what emitted records name as their source, a record of it or the group.
        self._group = 0
        self._source = 0
        self._of_groups = False
        self._clear()

    def _clear(self) -> None:
        self._values: list[bytes] = []
        self._sources: list[int] = []
        self._outputs: dict[int, int] = {}
        self._times: dict[int, int] = {}
        self._keys: dict[int, bytes] = {}
        self._headers: dict[int, list[tuple[bytes, bytes]]] = {}
        self._changes: dict[int, int] = {}
        # Each with its source: group, slot, operation and time.
        self._timers: list[tuple[int, int, int, int, int]] = []
        self._rejected: list[tuple[int, bytes]] = []
        # Watermarks, each with the record that it comes after.
        self._marks: list[tuple[int, int]] = []
        # The last record of a batch at hand: a watermark comes after all of it.
        self._last: int | None = None
        self._random: random.Random | None = None

    def _begin(self, call: Call, batch: Incoming, of_groups: bool) -> None:
        """A call begins. `of_groups`: what is emitted comes of a group as a whole, a timer or a window."""
        self._call, self._batch, self._of_groups = call, batch, of_groups
        self._clear()

    def emit(
        self,
        value: O,
        *,
        key: str | bytes | None = None,
        time: EventTime | None = None,
        headers: Mapping[str, str | bytes] | None = None,
        change: Change | None = None,
    ) -> None:
        """Emits a value on the main output, with a time, key, headers or change of its own where they are given."""
        try:
            data = self._pack(value)
        except struct.error:
            data = self._encode(value)
        if key is not None or time is not None or headers is not None or change is not None:
            self._detail(key, time, headers, change)
        self._values.append(data)
        self._sources.append(self._source)

    def emit_to(
        self,
        output: Output[S],
        value: S,
        *,
        key: str | bytes | None = None,
        time: EventTime | None = None,
        headers: Mapping[str, str | bytes] | None = None,
        change: Change | None = None,
    ) -> None:
        """Emits a value on a side output, as `emit` does on the main one."""
        data = output.codec.encode(value)
        self._detail(key, time, headers, change)
        self._outputs[len(self._values)] = output.index
        self._values.append(data)
        self._sources.append(self._source)

    def emit_all(self, values: Iterable[O], sources: Sequence[int]) -> None:
        """Emits values on the main output, each made from the record of this index of the call: for `process_batch`, where
        `batch.indices` says which they are.
        """
        encoded = list(map(self._encode, values))
        self.emit_bytes(encoded, sources)

    def emit_bytes(self, values: Sequence[bytes], sources: Sequence[int]) -> None:
        """The same with values that are in the output's format already."""
        if len(values) != len(sources):
            raise ValueError(f"{len(values)} values are emitted for {len(sources)} records")
        if sources and not 0 <= min(sources) <= max(sources) < len(self._batch):
            raise ValueError("a value is emitted for a record that is not in the batch")
        self._values.extend(values)
        self._sources.extend(sources)

    def emit_watermark(self, at: EventTime) -> None:
        """Claims that after the record at hand (in `process_batch` the last one of the batch) no record at or below `at` will
        come, for the split that it was read from.

        It is the watermark of a source that has this operator as its `event-time`, and for such a one only: it is `@stateless`,
        and elsewhere a record that makes one is set aside. One at or below an earlier one changes nothing.

            @stateless
            class Timed(Operator[str, str]):
                \"\"\"Lines such as `1500 hello`, and `until 1499` where nothing earlier comes any more.\"\"\"

                def process(self, line: Record[str], ctx: Context[str]) -> None:
                    time, text = line.value.split(" ", 1)
                    if time == "until":
                        ctx.emit_watermark(int(text))
                    else:
                        ctx.emit(text, time=int(time))
        """
        if self._batch.record_ends is not None:
            raise Fail("a watermark is made by the component of a source, which is @stateless: emit none in another operator")
        self._marks.append((self._source if self._last is None else self._last, clamp(at)))

    @property
    def key(self) -> str:
        """The key at hand as text; what is not UTF-8 is replaced. Empty on a stream without keys."""
        return self._batch.key(self._group).decode(errors="replace")

    @property
    def key_bytes(self) -> bytes:
        """The key of the record, timer or window at hand."""
        return self._batch.key(self._group)

    @property
    def window(self) -> Window | None:
        """The window at hand, in an operator that has windows."""
        return self._batch.window(self._group)

    @property
    def is_first_part(self) -> bool:
        """Whether this is the first part of the window at hand, for an operator that takes large ones in parts."""
        return self._batch.part(self._group)[0]

    @property
    def is_last_part(self) -> bool:
        """Whether this is the last part of the window at hand."""
        return self._batch.part(self._group)[1]

    @property
    def watermark(self) -> EventTime | None:
        """The watermark: no record at or below it will come, unless late. `None` before the first."""
        return None if self._call.watermark == TIME_MIN else self._call.watermark

    @property
    def now(self) -> EventTime:
        """Processing time. It stands still during a call."""
        return self._call.now

    @property
    def random(self) -> random.Random:
        """Random numbers. Each call begins from a seed the host gives, so a call can be repeated exactly."""
        if self._random is None:
            self._random = random.Random(self._call.seed)
        return self._random

    def log(self, message: object, level: Level = "info") -> None:
        """Writes a line to the job's log; it carries the record at hand."""
        record = self._batch.records(self._group).start if self._of_groups else self._source
        self._host.log(level, record, str(message))

    def _push_timer(self, slot: int, operation: int, time: int) -> None:
        """Changes a timer of the key at hand."""
        self._timers.append((self._source, self._group, slot, operation, time))

    def _detail(
        self,
        key: str | bytes | None,
        time: EventTime | None,
        headers: Mapping[str, str | bytes] | None,
        change: Change | None,
    ) -> None:
        place = len(self._values)
        if key is not None:
            self._keys[place] = key.encode() if isinstance(key, str) else key
        if time is not None:
            self._times[place] = clamp(time)
        if headers:
            pairs = [(name.encode(), value.encode() if isinstance(value, str) else value) for name, value in headers.items()]
            self._headers[place] = pairs
        if change is not None:
            self._changes[place] = change

    def _undo_record(self) -> None:
        """Takes back what came of the record, timer or window at hand."""
        while self._timers and self._timers[-1][0] == self._source:
            self._timers.pop()
        while self._marks and self._marks[-1][0] == self._source:
            self._marks.pop()
        count = len(self._sources)
        while count and self._sources[count - 1] == self._source:
            count -= 1
        self._truncate(count)

    def _truncate(self, count: int) -> None:
        """Keeps so many of the records emitted."""
        del self._values[count:]
        del self._sources[count:]
        details: tuple[dict[int, Any], ...] = (self._outputs, self._times, self._keys, self._headers, self._changes)
        for column in details:
            while column and (last := next(reversed(column))) >= count:
                del column[last]

    def _reject(self, record: int, reason: str) -> None:
        self._rejected.append((record, reason.encode(errors="replace")))

    def _emitted(self) -> list[tuple[int, bytes]]:
        """The columns of records emitted, in the order of their ids; 16 and 17 are the last."""
        values, sources, places = self._values, self._sources, range(len(self._values))
        batch, of_groups = self._batch, self._of_groups
        times = keys = key_ends = header_ends = header_places = header_bytes = b""
        if self._times:
            inherited = batch.group_time if of_groups else batch.times.__getitem__
            own_times = self._times
            times = _frame.longs([own_times[at] if at in own_times else inherited(sources[at]) for at in places])
        if self._keys:
            own_keys, group_of = self._keys, (int if of_groups else batch.group_of)
            entries = [own_keys[at] if at in own_keys else batch.key(group_of(sources[at])) for at in places]
            key_ends, keys = _frame.ends(entries), b"".join(entries)
        if self._headers:
            counts = [len(self._headers.get(at, ())) for at in places]
            parts = [part for at in places for header in self._headers.get(at, ()) for part in header]
            header_ends = _frame.words(accumulate(counts))
            header_places, header_bytes = _frame.ends(parts), b"".join(parts)
        return [
            (_frame.TIMES, times),
            (_frame.KEY_ENDS, key_ends),
            (_frame.KEYS, keys),
            (_frame.VALUE_ENDS, _frame.ends(values)),
            (_frame.VALUES, b"".join(values)),
            (_frame.HEADER_ENDS, header_ends),
            (_frame.HEADER_PLACES, header_places),
            (_frame.HEADER_BYTES, header_bytes),
            (_frame.CHANGES, bytes([self._changes.get(at, 0) for at in places]) if self._changes else b""),
            (_frame.SOURCES, _frame.words(sources)),
            (_frame.OUTPUTS, bytes([self._outputs.get(at, 0) for at in places]) if self._outputs else b""),
        ]

    def _finish(self, writes: tuple[bytes, bytes]) -> bytes:
        """The frame that goes back to the host."""
        timers = [_TIMER.pack(group, slot, operation, time) for _, group, slot, operation, time in self._timers]
        # The record of each rejection rises, except where a whole window is refused after some of its records.
        rejected = sorted(self._rejected)
        reasons = [reason for _, reason in rejected]
        ends = _frame.ends(reasons)
        return _frame.write(
            [
                *self._emitted(),
                (_frame.WRITES, writes[0]),
                (_frame.WRITE_BYTES, writes[1]),
                (_frame.TIMERS, b"".join(timers)),
                (_frame.REJECTED, _frame.pairs([record for record, _ in rejected], memoryview(ends).cast("I"))),
                (_frame.REASONS, b"".join(reasons)),
                (_frame.MARKS, b"".join([_MARK.pack(record, 0, time) for record, time in self._marks])),
            ]
        )
