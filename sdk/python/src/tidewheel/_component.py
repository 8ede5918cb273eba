"""The operator of a component: between the bindings that componentize-py makes of the contract and the adapters.

The bindings are modules that exist in a component only; the module that `tidewheel.build` writes hands them over.
"""

from __future__ import annotations

import gc
import io
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tidewheel import _frame, _granted
from tidewheel import http as requests
from tidewheel._adapt import Adapter, adapter_of
from tidewheel._host import Entries, Host, Level, MetricKind, Values
from tidewheel._operator import Bound, Declared, find_operator
from tidewheel.context import Call
from tidewheel.errors import Fail, RetryLater, reason


T = TypeVar("T")


class _Imports:
    """The host's functions, as the bindings have them."""

    def __init__(self, log: Any, metrics: Any, state: Any) -> None:
        self._write = log.write
        self._levels = {level.name.lower(): level for level in log.Level}
        self._define, self.update_metric = metrics.define, metrics.update
        self._kinds = {kind.name.lower(): kind for kind in metrics.Kind}
        if state is not None:
            self.get: Callable[[int, bytes], Values] = state.get
            self.list_read: Callable[[int, int, int, int], Entries] = state.list_read
            self.map_get: Callable[[int, bytes, bytes, bytes], Values] = state.map_get
            self.map_scan: Callable[[int, int, bytes, bool, bool, int], Entries] = state.map_scan
            self.map_write: Callable[[int, bytes, bytes, bytes, bytes, bytes], None] = state.map_write
            self.mark: Callable[[], int] = state.mark
            self.revert: Callable[[int], None] = state.revert

    def log(self, level: Level, record_index: int | None, message: str) -> None:
        self._write(self._levels[level], record_index, message)

    def define_metric(self, name: str, kind: MetricKind) -> int:
        return int(self._define(name, self._kinds[kind]))


class _Output(io.TextIOBase):
    """Standard output or error: lines go to the job's log."""

    def __init__(self, host: Host, level: Level) -> None:
        self._host = host
        self._level: Level = level
        self._begun = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._host.log(self._level, None, line)
        return len(text)


class Component:
    """The one operator of a component."""

    def __init__(
        self, module: str, *, err: Any, types: Any, description: Any, log: Any, metrics: Any, http: Any, state: Any
    ) -> None:
        self._declared = Declared(find_operator(module))
        # All that can be made beforehand is, and stays in the component's snapshot.
        self._description = self._declared.describe()
        self._err, self._types, self._wit = err, types, description
        self._host: Host = _Imports(log, metrics, state)
        self._sender = requests.sent_by(http)
        self._adapter: Adapter | None = None
        gc.collect()
        gc.freeze()

    def describe(self) -> Any:
        """What the component says of itself."""
        wit, own = self._wit, self._description
        kinds = {kind.name.lower(): kind for kind in wit.StateKind}
        clocks = {clock.name.lower(): clock for clock in wit.Clock}
        states = [wit.StateDecl(**{**vars(state), "kind": kinds[state.kind]}) for state in own.states]
        ports = [[wit.Port(**vars(port)) for port in ports] for ports in (own.inputs, own.outputs)]
        timers = [wit.TimerDecl(timer.name, clocks[timer.clock]) for timer in own.timers]
        return wit.Description(own.name, own.version, own.sdk, *ports, states, timers, own.options)

    def open(self, config: str, options: Sequence[tuple[str, str]]) -> None:
        """Makes the operator. `options` are what the job grants."""
        _granted.take(options)
        requests.use(self._sender)
        sys.stdout, sys.stderr = _Output(self._host, "info"), _Output(self._host, "warn")
        self._adapter = self._answer(lambda: adapter_of(Bound(self._declared, config, self._host)))

    def records(self, call: Call, frame: bytes) -> bytes:
        """The call with new records."""
        return self._answer(lambda: self._opened().records(call, frame))

    def due(self, call: Call, frame: bytes) -> bytes:
        """The call with what the watermark made due."""
        return self._answer(lambda: self._opened().due(call, frame))

    def merge(self, frame: bytes) -> bytes:
        """The call with accumulators to be merged."""
        return self._answer(lambda: self._opened().merge(frame))

    def migrate(self, state: int, version: int, values: bytes) -> bytes:
        """Values of an older schema version in the newest."""
        return self._answer(lambda: migrate(self._declared, state, version, values))

    def _opened(self) -> Adapter:
        if self._adapter is None:
            raise Fail("the operator was called before it was opened")
        return self._adapter

    def _answer(self, call: Callable[[], T]) -> T:
        """What a call gives; an error that is about more than a record is the contract's failure."""
        try:
            return call()
        except BaseException as error:
            code, message = 2 if isinstance(error, RetryLater) else 1, reason(error)
        failure: Exception = self._err(self._types.Failure(code, message))
        raise failure


def migrate(declared: Declared, state: int, version: int, values: bytes) -> bytes:
    """Migrates a frame of values of a state."""
    columns = _frame.Columns(values)
    old = _frame.split(columns.words(_frame.CELL_ENDS), columns.bytes(_frame.CELLS))
    ends, data = _frame.cell_columns([declared.migrated(state, version, value) for value in old])
    return _frame.write([(_frame.CELL_ENDS, ends), (_frame.CELLS, data)])
