"""From a call with a batch to an operator's functions for records, and back: one adapter per decorator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from tidewheel import _frame
from tidewheel._operator import Bound
from tidewheel._states import PAGE, Writes
from tidewheel.context import Call
from tidewheel.errors import Fail, FormatError, RetryLater, reason
from tidewheel.formats import Codec, itself
from tidewheel.operators import Aggregate, Operator, ProcessWindow
from tidewheel.records import Batch, Incoming, Record, Window


def read_values(codec: Codec, incoming: Incoming) -> tuple[list[Any], dict[int, str]]:
    """The values of a batch, and of those that are not of the format why not."""
    data, ends = incoming.data, incoming.value_ends
    entries: list[Any]
    decode: Callable[[Any], Any]
    if codec.decode_text is not None and data.isascii():
        text, decode = str(data, "ascii"), codec.decode_text
        entries = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    else:
        entries, decode = list(_frame.split(ends, data)), codec.decode
    if decode is itself:
        return entries, {}
    try:
        return list(map(decode, entries)), {}
    except FormatError:
        pass
    values: list[Any] = []
    wrong: dict[int, str] = {}
    for entry in entries:
        try:
            values.append(decode(entry))
        except FormatError as error:
            wrong[len(values)] = str(error)
            values.append(None)
    return values, wrong


def overridden(cls: type) -> set[str]:
    """The functions of an operator that its own class has, or one between that and `Operator`."""
    return {name for base in cls.__mro__[: cls.__mro__.index(Operator)] for name in vars(base)}


class Adapter:
    """An opened operator, for the calls of the host."""

    def __init__(self, bound: Bound) -> None:
        self.bound = bound
        self.context = bound.context
        self.states = bound.states
        self.input = bound.declared.input

    def records(self, call: Call, frame: bytes) -> bytes:
        """The call with new records."""
        raise NotImplementedError

    def due(self, call: Call, frame: bytes) -> bytes:
        """The call with what the watermark made due: timers or windows."""
        raise Fail(f"an operator that is @{self.bound.declared.role.kind} has no timers")

    def merge(self, frame: bytes) -> bytes:
        """The call with accumulators to be merged."""
        raise Fail("only an operator that is @aggregate merges")

    def begin(self, call: Call, incoming: Incoming, of_groups: bool) -> None:
        """Tells context and states of a call."""
        self.context._begin(call, incoming, of_groups)
        for state in self.states:
            state.begin_call(incoming)

    def finish(self, writes: Writes) -> bytes:
        """The frame that goes back, with what has become of the states."""
        for state in self.states:
            state.hand_over(writes)
        return self.context._finish(writes.columns())

    def end(self) -> None:
        """Lets go of all that belongs to the call."""
        for state in self.states:
            state.end_call()
        self.context._clear()

    def writes(self) -> Writes:
        """No changes yet."""
        return Writes(self.bound.declared.riding, self.bound.declared.state_count)

    def undo(self) -> None:
        """Takes back what the record, timer or window at hand has done."""
        for state in self.states:
            state.undo(self.context._source)
        self.context._undo_record()

    def refuse(self, record: int, error: BaseException) -> None:
        """Takes back what a record has done and rejects it; an error that is about more is raised again."""
        if isinstance(error, (Fail, RetryLater)):
            raise error
        self.undo()
        self.context._reject(record, reason(error))


class RecordAdapter(Adapter):
    """`@stateless` and `@keyed`: a record at a time, or in batches where the operator takes them."""

    def __init__(self, bound: Bound) -> None:
        super().__init__(bound)
        self.operator = cast(Operator[Any, Any], bound.operator)
        self.is_keyed = bound.declared.role.kind == "keyed"
        self.takes_batches = "process_batch" in overridden(type(self.operator))

    def records(self, call: Call, frame: bytes) -> bytes:
        incoming = Incoming(frame, self.is_keyed)
        try:
            self.begin(call, incoming, False)
            values, wrong = read_values(self.input, incoming)
            for index, why in wrong.items():
                self.context._reject(index, why)
            if self.takes_batches:
                self._batches(incoming, values, wrong)
            else:
                self._each(incoming, values, wrong)
            return self.finish(self.writes())
        finally:
            self.end()

    def _each(self, incoming: Incoming, values: list[Any], wrong: dict[int, str]) -> None:
        context, process = self.context, self.operator.process
        record: type[Record[Any]] = Record
        for index, group, value in zip(range(len(values)), incoming.group_numbers, values, strict=True):
            if wrong and index in wrong:
                continue
            context._group, context._source = group, index
            try:
                process(record(value, index, incoming), context)
            except BaseException as error:
                self.refuse(index, error)

    def _batches(self, incoming: Incoming, values: list[Any], wrong: dict[int, str]) -> None:
        context = self.context
        spans = [incoming.records(group) for group in range(incoming.groups)] if self.is_keyed else [range(len(incoming))]
        for group, span in enumerate(spans):
            context._group = group
            indices: Sequence[int] = [index for index in span if index not in wrong] if wrong else span
            if not indices:
                continue
            of_group = values if len(indices) == len(values) else [values[index] for index in indices]
            if not self._batch(Batch(of_group, indices, incoming)):
                for index in indices:
                    context._group = group if self.is_keyed else index
                    self._batch(Batch([values[index]], [index], incoming))

    def _batch(self, batch: Batch[Any]) -> bool:
        """Whether a batch, which may be a record alone, was processed. A record alone is rejected otherwise."""
        context = self.context
        context._source, context._last = batch.indices[0], batch.indices[-1]
        emitted, timers, rejected = len(context._sources), len(context._timers), len(context._rejected)
        marks = len(context._marks)
        try:
            self.operator.process_batch(batch, context)
        except BaseException as error:
            if isinstance(error, (Fail, RetryLater)):
                raise
            for state in self.states:
                state.undo(context._source)
            context._truncate(emitted)
            del context._timers[timers:], context._rejected[rejected:], context._marks[marks:]
            if len(batch) > 1:
                return False
            context._reject(batch.indices[0], reason(error))
        return True

    def due(self, call: Call, frame: bytes) -> bytes:
        incoming = Incoming(frame, True)
        context, operator, timers = self.context, self.operator, self.bound.timers
        try:
            self.begin(call, incoming, True)
            for group in range(incoming.groups):
                context._group = context._source = group
                for index in incoming.records(group):
                    try:
                        operator.on_timer(timers[incoming.input(index)], incoming.times[index], context)
                    except BaseException as error:
                        self.refuse(index, error)
            return self.finish(self.writes())
        finally:
            self.end()


class WindowAdapter(Adapter):
    """`@process_window`: all records of a key and window."""

    def __init__(self, bound: Bound) -> None:
        super().__init__(bound)
        self.operator = cast(ProcessWindow[Any, Any], bound.operator)
        self.parts = len(bound.states)

    def records(self, call: Call, frame: bytes) -> bytes:
        incoming = Incoming(frame, True)
        try:
            self.begin(call, incoming, True)
            # A part is alone in its call.
            if self.bound.declared.keeps_parts and incoming.groups == 1 and incoming.part(0) != (True, True):
                return self._part(incoming, frame)
            return self._windows(incoming, [])
        finally:
            self.end()

    def _windows(self, incoming: Incoming, earlier: list[Incoming]) -> bytes:
        context, writes = self.context, self.writes()
        values, wrong = read_values(self.input, incoming)
        before: list[Record[Any]] = []
        for part in earlier:
            # What is not of the format was rejected when its part came.
            of_part, wrong_of_part = read_values(self.input, part)
            before += [Record(value, at, part) for at, value in enumerate(of_part) if at not in wrong_of_part]
        for group in range(incoming.groups):
            context._group = context._source = group
            window = incoming.window(group)
            if window is None:
                raise Fail('this operator sees windows: give it a `window` in the job file, as `window = { tumbling = "10s" }`')
            span = incoming.records(group)
            records = before + [Record(values[index], index, incoming) for index in span if index not in wrong]
            refused = {index: wrong[index] for index in span if index in wrong}
            self._window(window, records, span, refused)
            if earlier:
                writes.push(group, self.parts, False, Writes.DELETE, b"")
        return self.finish(writes)

    def _window(self, window: Window, records: list[Record[Any]], span: range, refused: dict[int, str]) -> None:
        try:
            if records:
                self.operator.process(window, records, self.context)
        except BaseException as error:
            if isinstance(error, (Fail, RetryLater)):
                raise
            self.undo()
            why = reason(error)
            refused = {index: refused.get(index, why) for index in span}
        for index, why in refused.items():
            self.context._reject(index, why)

    def _part(self, incoming: Incoming, frame: bytes) -> bytes:
        """A part of a large window: it is put aside until the last one comes, which the operator sees with all of them."""
        is_first, is_last = incoming.part(0)
        if is_last:
            return self._windows(incoming, [Incoming(part, True) for part in self._stored()])
        for index, why in read_values(self.input, incoming)[1].items():
            self.context._reject(index, why)
        writes = self.writes()
        if is_first:
            # Of a window that failed in the midst of it.
            writes.push(0, self.parts, False, Writes.DELETE, b"")
        writes.push(0, self.parts, False, Writes.APPEND, frame)
        return self.finish(writes)

    def _stored(self) -> list[bytes]:
        """The parts that were put aside."""
        parts: list[bytes] = []
        start, more = 0, True
        while more:
            page = self.bound.host.list_read(self.parts, 0, start, PAGE)
            parts += _frame.split(memoryview(page.value_ends).cast("I").tolist(), page.values)
            start = int.from_bytes(page.keys[-8:], "big") + 1 if page.keys else start
            more = page.more and bool(page.keys)
        return parts


class AggregateAdapter(Adapter):
    """`@aggregate`: one accumulator per key and window."""

    def __init__(self, bound: Bound) -> None:
        super().__init__(bound)
        self.operator = cast(Aggregate[Any, Any, Any], bound.operator)
        self.accumulator = cast(Codec, bound.declared.accumulator)

    def records(self, call: Call, frame: bytes) -> bytes:
        incoming = Incoming(frame, True)
        try:
            self.context._begin(call, incoming, False)
            values, wrong = read_values(self.input, incoming)
            stored = incoming.cells
            cells = [self._group(incoming, group, stored[group], values, wrong) for group in range(incoming.groups)]
            ends, data = _frame.cell_columns(cells)
            rejected = sorted([*wrong.items(), *[(at, why.decode()) for at, why in self.context._rejected]])
            reasons = [why.encode() for _, why in rejected]
            reason_ends = memoryview(_frame.ends(reasons)).cast("I")
            return _frame.write(
                [
                    (_frame.CELL_ENDS, ends),
                    (_frame.CELLS, data),
                    (_frame.REJECTED, _frame.pairs([at for at, _ in rejected], reason_ends)),
                    (_frame.REASONS, b"".join(reasons)),
                ]
            )
        finally:
            self.end()

    def _group(
        self, incoming: Incoming, group: int, stored: bytes | None, values: list[Any], wrong: dict[int, str]
    ) -> bytes | None:
        """The accumulator of a group after its records. One that only rejected records does not begin to exist."""
        context, accumulate = self.context, self.operator.accumulate
        context._group = group
        accumulator, clean, exists = self._read(stored), stored, stored is not None
        since_clean: list[int] = []
        for index in incoming.records(group):
            if wrong and index in wrong:
                continue
            context._source = index
            try:
                accumulator = accumulate(accumulator, Record(values[index], index, incoming))
                since_clean.append(index)
            except BaseException as error:
                if isinstance(error, (Fail, RetryLater)):
                    raise
                # Takes back what the record may have done: those since the last clean accumulator are taken in again, and the
                # result is the next clean one, so each record is taken in twice at most.
                context._reject(index, reason(error))
                accumulator = self._again(incoming, clean, since_clean, values)
                exists = exists or bool(since_clean)
                clean, since_clean = (self.accumulator.encode(accumulator) if exists else None), []
        return self.accumulator.encode(accumulator) if exists or since_clean else None

    def _again(self, incoming: Incoming, clean: bytes | None, indices: list[int], values: list[Any]) -> Any:
        accumulator = self._read(clean)
        for index in indices:
            try:
                accumulator = self.operator.accumulate(accumulator, Record(values[index], index, incoming))
            except Exception as error:
                raise Fail(f"accumulate took record {index} in, but not the second time: {reason(error)}") from error
        return accumulator

    def merge(self, frame: bytes) -> bytes:
        incoming = Incoming(frame, True)
        merged = [self.accumulator.encode(self._merged(incoming, group)) for group in range(incoming.groups)]
        ends, data = _frame.cell_columns(merged)
        return _frame.write([(_frame.CELL_ENDS, ends), (_frame.CELLS, data)])

    def due(self, call: Call, frame: bytes) -> bytes:
        incoming = Incoming(frame, True)
        context = self.context
        try:
            context._begin(call, incoming, True)
            for group in range(incoming.groups):
                context._group = context._source = group
                window = incoming.window(group)
                if window is None:
                    raise Fail("the host fired a group without its window")
                self.operator.fire(window, self._merged(incoming, group), context)
            return context._finish((b"", b""))
        finally:
            self.end()

    def _merged(self, incoming: Incoming, group: int) -> Any:
        accumulators = [self._read(incoming.value(index)) for index in incoming.records(group)]
        merged = accumulators[0] if accumulators else self.operator.create()
        for other in accumulators[1:]:
            merged = self.operator.merge(merged, other)
        return merged

    def _read(self, stored: bytes | None) -> Any:
        if stored is None:
            return self.operator.create()
        try:
            return self.accumulator.decode(stored)
        except FormatError as error:
            raise Fail(f"the accumulator is {error}; raise its version when its type changes") from None


_ADAPTERS = {
    "stateless": RecordAdapter,
    "keyed": RecordAdapter,
    "process_window": WindowAdapter,
    "aggregate": AggregateAdapter,
}


def adapter_of(bound: Bound) -> Adapter:
    """The adapter for an opened operator."""
    return _ADAPTERS[bound.declared.role.kind](bound)
