"""Below map state: its keys as bytes that sort as the keys do, and the writes that the host has not been told yet.

Telling it of each put costs a call; here they gather until the call ends, or until a scan needs the host to know. Reads look
here first, so they see the writes of their own call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tidewheel import _frame, shapes
from tidewheel._states import PAGE
from tidewheel.errors import DeclarationError, Fail, FormatError

if TYPE_CHECKING:
    from tidewheel._host import Host


def key_codec(annotation: Any) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    """How keys of a type are written and read. Numbers are big-endian; of signed ones the sign is flipped, so that negative
    ones come first.
    """
    width = shapes.width_of(annotation)
    if annotation is str:
        return str.encode, lambda data: data.decode(errors="replace")
    if annotation is bytes:
        return bytes, lambda data: data
    if width is None or width.code in "fd":
        raise DeclarationError(f"a key of map state is text, bytes or a whole number, not {annotation}")
    least, most, name, size = width.least, width.most, width.name, (width.most - width.least).bit_length() // 8

    def write(key: int) -> bytes:
        if not least <= key <= most:
            raise FormatError(f"{key} is no {name}, as keys of this map are")
        return (key - least).to_bytes(size, "big")

    def read(data: bytes) -> int:
        if len(data) != size:
            raise Fail(f"a key of map state has {len(data)} bytes, not those of {name}")
        return int.from_bytes(data, "big") + least

    return write, read


class MapLog:
    """The writes of a call in order, and the newest of each entry."""

    def __init__(self, host: Host, state: int) -> None:
        self._host, self._state = host, state
        self._newest: dict[tuple[int, bytes], int] = {}
        # Group, key, value or `None` for a removal, and the write to the same entry before this one.
        self._writes: list[tuple[int, bytes, bytes | None, int | None]] = []
        self._told = 0
        # Who wrote or scanned last, how much was written and told before that, and where the host was before it was told.
        self._source = -1
        self._before = 0, 0
        self._mark: int | None = None

    def _begin(self, source: int) -> None:
        if self._source != source:
            self._source, self._before, self._mark = source, (len(self._writes), self._told), None

    def write(self, group: int, source: int, key: bytes, value: bytes | None) -> None:
        """Sets an entry, or without a value removes it."""
        self._begin(source)
        previous = self._newest.get((group, key))
        self._newest[group, key] = len(self._writes)
        self._writes.append((group, key, value, previous))

    def read(self, group: int, keys: list[bytes]) -> list[bytes | None]:
        """The values of entries."""
        found: list[bytes | None] = []
        unknown: list[int] = []
        for at, key in enumerate(keys):
            newest = self._newest.get((group, key))
            found.append(None if newest is None else self._writes[newest][2])
            if newest is None:
                unknown.append(at)
        if unknown:
            asked = [keys[at] for at in unknown]
            groups = group.to_bytes(4, "little") * len(asked)
            values = self._host.map_get(self._state, groups, _frame.ends(asked), b"".join(asked))
            answers = _frame.split_cells(memoryview(values.ends).cast("I").tolist(), values.bytes)
            for at, answer in zip(unknown, answers, strict=True):
                found[at] = answer
        return found

    def scan(
        self, group: int, source: int, start: bytes, after: bool, backwards: bool, limit: int | None
    ) -> list[tuple[bytes, bytes]]:
        """Entries in order, a page at a time."""
        self._begin(source)
        if self._told < len(self._writes) and self._mark is None:
            self._mark = self._host.mark()
        self.tell()
        entries: list[tuple[bytes, bytes]] = []
        more = True
        while more and (limit is None or len(entries) < limit):
            wanted = PAGE if limit is None else min(PAGE, limit - len(entries))
            page = self._host.map_scan(self._state, group, start, after, backwards, wanted)
            keys = _frame.split(memoryview(page.key_ends).cast("I").tolist(), page.keys)
            values = _frame.split(memoryview(page.value_ends).cast("I").tolist(), page.values)
            entries += zip(keys, values, strict=True)
            more = page.more and bool(keys)
            if keys:
                start, after = keys[-1], True
        return entries

    def tell(self) -> None:
        """Tells the host of all writes it does not know."""
        untold = self._writes[self._told :]
        if not untold:
            return
        keys = [key for _, key, _, _ in untold]
        value_ends, values = _frame.cell_columns([value for _, _, value, _ in untold])
        groups = _frame.words([group for group, _, _, _ in untold])
        self._host.map_write(self._state, groups, _frame.ends(keys), b"".join(keys), value_ends, values)
        self._told = len(self._writes)

    def undo(self, source: int) -> None:
        """Takes back the writes of a record. If the host was told of any, it goes back to before it was; what it then lost of
        earlier records it is told again.
        """
        if self._source != source:
            return
        count, told = self._before
        for group, key, _, previous in reversed(self._writes[count:]):
            if previous is None:
                del self._newest[group, key]
            else:
                self._newest[group, key] = previous
        del self._writes[count:]
        if self._mark is not None:
            self._host.revert(self._mark)
            self._told, self._mark = told, None
        self._source = -1
