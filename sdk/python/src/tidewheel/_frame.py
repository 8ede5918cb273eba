"""Frames: the one reader and the one writer. A frame is one piece of memory that carries columns across the boundary; its
layout is in `wit/operator.wit`, interface `types`.
"""

import sys
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate

TIMES = 1
KEY_ENDS = 2
KEYS = 3
RECORD_ENDS = 4
CELL_ENDS = 5
CELLS = 6
VALUE_ENDS = 7
VALUES = 8
INPUTS = 9
WINDOWS = 10
GROUP_FLAGS = 11
HEADER_ENDS = 12
HEADER_PLACES = 13
HEADER_BYTES = 14
CHANGES = 15
SOURCES = 16
OUTPUTS = 17
WRITES = 18
WRITE_BYTES = 19
TIMERS = 20
REJECTED = 21
REASONS = 22
MARKS = 23

ABSENT = 1 << 31
"""In an end: there is no value."""

# Columns are little-endian, and read and written as the machine has its numbers.
if sys.byteorder != "little":
    raise ImportError("tidewheel runs on little-endian machines only")


class FrameError(ValueError):
    """A frame whose header does not hold together."""


class Columns:
    """A frame taken apart: where each column is. What is in a column is checked where it is used."""

    __slots__ = ("_frame", "_places")

    def __init__(self, frame: bytes) -> None:
        self._frame = frame
        self._places: dict[int, tuple[int, int]] = {}
        count = int.from_bytes(frame[:4], "little")
        start = 8 + 8 * count
        if len(frame) < max(start, 8):
            raise FrameError("the frame is shorter than its header says")
        header = memoryview(frame)[8:start].cast("I")
        previous = -1
        for at in range(0, 2 * count, 2):
            column, end = header[at], header[at + 1]
            if column <= previous:
                raise FrameError(f"column {column} of the frame is out of order")
            if end < start or end > len(frame):
                raise FrameError(f"column {column} of the frame ends out of bounds")
            self._places[column] = (start, end)
            previous, start = column, (end + 7) & -8

    def bytes(self, column: int) -> bytes:
        """A column; empty when it is not there."""
        place = self._places.get(column)
        return b"" if place is None else self._frame[place[0] : place[1]]

    def words(self, column: int) -> list[int]:
        """A column of u32."""
        place = self._places.get(column)
        return [] if place is None else memoryview(self._frame)[place[0] : place[1]].cast("I").tolist()

    def longs(self, column: int) -> list[int]:
        """A column of s64."""
        place = self._places.get(column)
        return [] if place is None else memoryview(self._frame)[place[0] : place[1]].cast("q").tolist()

    def length(self, column: int) -> int:
        """How many bytes a column has."""
        place = self._places.get(column)
        return 0 if place is None else place[1] - place[0]


def write(columns: Sequence[tuple[int, bytes]]) -> bytes:
    """Puts columns, named by rising ids, into one frame. Empty ones are left out."""
    present = [(column, data) for column, data in columns if data]
    header = array("I", [len(present), 0])
    pieces: list[bytes] = []
    end = 8 + 8 * len(present)
    for column, data in present:
        if end & 7:
            pieces.append(bytes(-end & 7))
        end = ((end + 7) & -8) + len(data)
        header.append(column)
        header.append(end)
        pieces.append(data)
    return b"".join([header.tobytes(), *pieces])


def words(numbers: Iterable[int]) -> bytes:
    """A column of u32."""
    return array("I", numbers).tobytes()


def longs(numbers: Iterable[int]) -> bytes:
    """A column of s64."""
    return array("q", numbers).tobytes()


def ends(entries: Sequence[bytes]) -> bytes:
    """The column that says where each of some entries ends."""
    return array("I", accumulate(map(len, entries))).tobytes()


def pairs(firsts: Sequence[int], seconds: Iterable[int]) -> bytes:
    """A column of two u32 per entry."""
    column = array("I", bytes(8 * len(firsts)))
    column[0::2] = array("I", firsts)
    column[1::2] = array("I", seconds)
    return column.tobytes()


def split(entry_ends: Sequence[int], data: bytes) -> list[bytes]:
    """The entries of a pair of columns `X-ends` and `X`."""
    return [data[start:end] for start, end in zip([0, *entry_ends], entry_ends, strict=False)]


def cell_columns(cells: Sequence[bytes | None]) -> tuple[bytes, bytes]:
    """The columns of entries that may be absent: ends and bytes."""
    places = array("I")
    end = 0
    for cell in cells:
        if cell is None:
            places.append(end | ABSENT)
        else:
            end += len(cell)
            places.append(end)
    return places.tobytes(), b"".join([cell for cell in cells if cell is not None])


def split_cells(cell_ends: Sequence[int], data: bytes) -> list[bytes | None]:
    """The entries of a pair of columns in which entries may be absent."""
    if cell_ends and max(cell_ends) < ABSENT:
        return list(split(cell_ends, data))
    cells: list[bytes | None] = []
    start = 0
    for end in cell_ends:
        if end & ABSENT:
            cells.append(None)
        else:
            cells.append(data[start:end])
            start = end
    return cells
