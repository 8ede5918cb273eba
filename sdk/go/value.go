package tidewheel

import (
	"encoding/binary"
	"slices"

	"github.com/tidewheel/tidewheel/sdk/go/internal/contract"
	"github.com/tidewheel/tidewheel/sdk/go/internal/frame"
	"github.com/tidewheel/tidewheel/sdk/go/internal/host"
)

// Value is one value per key: a field with the tag state:"NAME".
//
// It rides in the batch: reading and writing it costs no call of the host, and a value that was not set is not sent
// back. For large values that most records do not need, the tag rides:"false" has it read by a call when it is first
// looked at.
type Value[T any] struct {
	codec *codec[T]
	cell  cell
}

// Get is the value of the key at hand, if there is one.
//
// Bytes that are no such value fail the job: the state was written by other code under the same schema version.
func (v *Value[T]) Get() (value T, isSet bool) {
	bytes, isSet := v.cell.get()
	if !isSet {
		return value, false
	}
	if v.codec.borrows && v.cell.now.change == cellPut {
		// What was written in this call lies where the next key's value will.
		bytes = slices.Clone(bytes)
	}
	value, err := v.codec.decode(bytes)
	if err != nil {
		v.cell.call.fault(v.cell.place.corrupt("value", err))
		return value, false
	}
	return value, true
}

// GetOr is the value of the key at hand, or another one if there is none.
func (v *Value[T]) GetOr(otherwise T) T {
	if value, isSet := v.Get(); isSet {
		return value
	}
	return otherwise
}

// Set sets the value of the key at hand. The error is that the format cannot hold the value; nothing is set then.
func (v *Value[T]) Set(value T) error {
	start := len(v.cell.written)
	written, err := v.codec.append(v.cell.written, value)
	if err != nil {
		return err
	}
	v.cell.put(written, start)
	return nil
}

// IsSet says whether the key at hand has a value.
func (v *Value[T]) IsSet() bool {
	_, isSet := v.cell.get()
	return isSet
}

// Clear removes the value of the key at hand.
func (v *Value[T]) Clear() { v.cell.delete() }

func (v *Value[T]) declare(format string) (contract.State, error) {
	codec, err := codecOf[T](format)
	if err != nil {
		return contract.State{}, err
	}
	v.codec = codec
	return contract.State{Kind: contract.StateValue, Format: codec.name, Schema: codec.schema, Rides: true}, nil
}

func (v *Value[T]) bind(call *call, place place) { v.cell = cell{call: call, place: place} }
func (v *Value[T]) beginGroup(group int)         { v.cell.beginGroup(group) }
func (v *Value[T]) beginRecord()                 { v.cell.beginRecord() }
func (v *Value[T]) undoRecord()                  { v.cell.undoRecord() }
func (v *Value[T]) endGroup()                    { v.cell.endGroup() }
func (v *Value[T]) endCall(bool)                 { v.cell.endCall() }

func (v *Value[T]) migrate(steps []step, bytes, to []byte) ([]byte, error) {
	return v.codec.migrate(steps, bytes, to)
}

// cell is the bytes behind a value state: read where they are, written once at the end of the group.
type cell struct {
	call  *call
	place place
	group int
	// fetched is the value of a state that does not ride, once it was read.
	fetched    []byte
	isThere    bool
	wasFetched bool
	// written is the values put in this group, one after the other.
	written []byte
	now     cellState
	// before is how it was when the record began, if the record has changed it.
	before  cellState
	changed bool
}

// cellState is what the call has done to the value so far.
type cellState struct {
	change cellChange
	// start is where in written the last value begins, if one was put; length that of written.
	start, length int
}

type cellChange uint8

const (
	cellUntouched cellChange = iota
	cellPut
	cellDeleted
)

// outdatedMax is how many bytes of values that are no longer needed are kept, rather than moving the needed ones.
const outdatedMax = 64 << 10

// get is the value as the operator has left it.
func (c *cell) get() (bytes []byte, isSet bool) {
	switch c.now.change {
	case cellPut:
		return c.written[c.now.start:], true
	case cellDeleted:
		return nil, false
	}
	if c.place.rides {
		columns := &c.call.batch.columns
		return frame.Cell(columns[frame.CellEnds], columns[frame.Cells], int(c.place.cell(c.group)))
	}
	if !c.wasFetched {
		values := host.Get(c.place.state, binary.LittleEndian.AppendUint32(nil, uint32(c.group)))
		c.fetched, c.isThere = frame.Cell(values.Ends, values.Bytes, 0)
		c.wasFetched = true
	}
	return c.fetched, c.isThere
}

// put sets the value to what was written from start on.
func (c *cell) put(written []byte, start int) {
	c.touch()
	c.written = written
	c.now = cellState{cellPut, start, len(written)}
}

func (c *cell) delete() {
	c.touch()
	c.now = cellState{cellDeleted, 0, len(c.written)}
}

// touch remembers how it was when the record began.
func (c *cell) touch() {
	if !c.changed {
		c.before, c.changed = c.now, true
	}
}

func (c *cell) beginGroup(group int) {
	c.group = group
	c.now, c.changed, c.wasFetched, c.fetched = cellState{}, false, false, nil
	c.written = c.written[:0]
}

func (c *cell) beginRecord() {
	c.changed = false
	if c.now.start > outdatedMax {
		kept := copy(c.written, c.written[c.now.start:])
		c.written = c.written[:kept]
		c.now.start, c.now.length = 0, kept
	}
}

func (c *cell) undoRecord() {
	if c.changed {
		c.now, c.changed = c.before, false
		c.written = c.written[:c.now.length]
	}
}

func (c *cell) endGroup() {
	switch c.now.change {
	case cellPut:
		c.call.writes.push(c.place.cell(c.group), writePut, c.written[c.now.start:])
	case cellDeleted:
		c.call.writes.push(c.place.cell(c.group), writeDelete, nil)
	}
}

func (c *cell) endCall() { c.beginGroup(0) }
