"""Frames from the host's side, for the test harness: records and cells in, what the operator did out."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from tidewheel import _frame
from tidewheel.records import Change, Window
from tidewheel.times import EventTime


@dataclass
class Sent:
    """A record, timer or accumulator on its way into the operator."""

    key: bytes
    time: int
    value: bytes
    input: int = 0
    """Index of the input, or the timer's slot."""
    change: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])


@dataclass
class Group:
    """Records of a key, or of a key and window, with the cells that ride along."""

    key: bytes
    cells: list[bytes | None]
    records: list[Sent]
    window: Window | None = None
    flags: int = 3


@dataclass(frozen=True)
class EmittedRecord:
    """A record that an operator emitted."""

    output: int
    """Index of the output; 0 is the main one."""
    key: bytes
    event_time: EventTime
    value: bytes
    headers: list[tuple[str, bytes]]
    change: Change


@dataclass(frozen=True)
class RejectedRecord:
    """A record or timer that an operator refused."""

    key: bytes
    value: bytes
    """Its bytes; empty for a timer."""
    reason: str


def write(groups: list[Group], *, grouped: bool) -> bytes:
    """The frame of a call. Without `grouped` every group has one record, and its key is the record's."""
    records = [record for group in groups for record in group.records]
    headers = [part for record in records for header in record.headers for part in header]
    values, keys = [record.value for record in records], [group.key for group in groups]
    cell_ends, cells = _frame.cell_columns([cell for group in groups for cell in group.cells])
    windows = [time for group in groups if group.window is not None for time in group.window]
    counts, header_counts = [0], [0]
    for group in groups:
        counts.append(counts[-1] + len(group.records))
    for record in records:
        header_counts.append(header_counts[-1] + len(record.headers))
    return _frame.write(
        [
            (_frame.TIMES, _frame.longs([record.time for record in records])),
            (_frame.KEY_ENDS, _frame.ends(keys)),
            (_frame.KEYS, b"".join(keys)),
            (_frame.RECORD_ENDS, _frame.words(counts[1:]) if grouped else b""),
            (_frame.CELL_ENDS, cell_ends),
            (_frame.CELLS, cells),
            (_frame.VALUE_ENDS, _frame.ends(values)),
            (_frame.VALUES, b"".join(values)),
            (_frame.INPUTS, bytes([record.input for record in records])),
            (_frame.WINDOWS, _frame.longs(windows)),
            (_frame.GROUP_FLAGS, bytes([group.flags for group in groups]) if windows else b""),
            (_frame.HEADER_ENDS, _frame.words(header_counts[1:]) if headers else b""),
            (_frame.HEADER_PLACES, _frame.ends(headers)),
            (_frame.HEADER_BYTES, b"".join(headers)),
            (_frame.CHANGES, bytes([record.change for record in records])),
        ]
    )


def emitted(columns: _frame.Columns, groups: list[Group], *, by_group: bool) -> list[EmittedRecord]:
    """The records an operator emitted. `by_group`: their sources are groups."""
    if by_group:
        origins = [(group.key, group.window.end - 1 if group.window else group.records[0].time) for group in groups]
    else:
        origins = [(group.key, record.time) for group in groups for record in group.records]
    sources, times = columns.words(_frame.SOURCES), columns.longs(_frame.TIMES)
    values = _frame.split(columns.words(_frame.VALUE_ENDS), columns.bytes(_frame.VALUES))
    keys = _frame.split(columns.words(_frame.KEY_ENDS), columns.bytes(_frame.KEYS))
    outputs, changes = columns.bytes(_frame.OUTPUTS), columns.bytes(_frame.CHANGES)
    header_ends = columns.words(_frame.HEADER_ENDS)
    parts = _frame.split(columns.words(_frame.HEADER_PLACES), columns.bytes(_frame.HEADER_BYTES))
    assert len(sources) == len(values), "every emitted record names its source"
    found: list[EmittedRecord] = []
    for at, (source, value) in enumerate(zip(sources, values, strict=True)):
        key, time = origins[source]
        of_record = range(header_ends[at - 1] if at else 0, header_ends[at]) if header_ends else range(0)
        headers = [(parts[2 * header].decode(), parts[2 * header + 1]) for header in of_record]
        change = Change(changes[at]) if changes else Change.INSERT
        output = outputs[at] if outputs else 0
        own_key, own_time = keys[at] if keys else key, times[at] if times else time
        found.append(EmittedRecord(output, own_key, own_time, value, headers, change))
    return found


def rejected(columns: _frame.Columns, groups: list[Group]) -> list[RejectedRecord]:
    """What an operator refused."""
    records = [(group.key, record.value) for group in groups for record in group.records]
    entries = columns.words(_frame.REJECTED)
    reasons = _frame.split(entries[1::2], columns.bytes(_frame.REASONS))
    return [
        RejectedRecord(*records[record], reason.decode()) for record, reason in zip(entries[0::2], reasons, strict=True)
    ]


def accumulators(columns: _frame.Columns) -> list[bytes | None]:
    """Accumulators out of `accumulate` and `merge`."""
    return _frame.split_cells(columns.words(_frame.CELL_ENDS), columns.bytes(_frame.CELLS))


def writes(columns: _frame.Columns) -> list[tuple[int, int, bytes]]:
    """Changes of state: cell, operation and bytes."""
    entries = columns.words(_frame.WRITES)
    data = _frame.split(entries[1::2], columns.bytes(_frame.WRITE_BYTES))
    return [(cell & (1 << 28) - 1, cell >> 28, entry) for cell, entry in zip(entries[0::2], data, strict=True)]


def timers(columns: _frame.Columns) -> list[tuple[int, int, int, int]]:
    """Changes of timers: group, slot, operation and time."""
    return list(struct.iter_unpack("<IHHq", columns.bytes(_frame.TIMERS)))


def watermarks(columns: _frame.Columns, records: int) -> list[EventTime]:
    """The watermarks that an operator made in a call with so many records."""
    refused = columns.words(_frame.REJECTED)[0::2]
    marks: list[tuple[int, int, int]] = list(struct.iter_unpack("<IIq", columns.bytes(_frame.MARKS)))
    for record, _, _ in marks:
        assert record < records and record not in refused, "a watermark comes after a record that counts"
    return [time for _, _, time in marks]
