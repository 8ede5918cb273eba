package tidewheel

import (
	"fmt"

	"github.com/tidewheel/tidewheel/sdk/go/internal/contract"
	"github.com/tidewheel/tidewheel/sdk/go/internal/frame"
)

// stateField is a field whose content belongs to the key at hand and is kept by the host. It is told when a group begins
// (from then on it is about that group's key, and its first record has begun), when another record begins, and when a record
// was rejected; at the end of the group it hands over what changed.
type stateField interface {
	// declare says what the state is, but for what its tag says.
	declare(format string) (contract.State, error)
	// bind makes it that of a state of this index.
	bind(call *call, place place)
	beginGroup(group int)
	beginRecord()
	undoRecord()
	endGroup()
	// endCall ends the call: nothing of it may be kept. What the host is still to be told it is told if the call
	// succeeded.
	endCall(succeeded bool)
	// migrate brings a value from an older version to the newest.
	migrate(steps []step, bytes, to []byte) ([]byte, error)
}

// place is where a state is: its index, and where its values are in a frame.
type place struct {
	name  string
	state uint32
	rides bool
	// riding is the number of states that ride, all that of all states.
	riding, all uint32
}

// cell is the number of a group's cell, as writes have it.
func (p *place) cell(group int) uint32 {
	if p.rides {
		return uint32(group)*p.riding + p.state
	}
	return uint32(group)*p.all + p.state | 8<<28
}

// corrupt is the error of bytes that are no such value: they were written by other code under the same version.
func (p *place) corrupt(what string, err error) error {
	return failf("%s of state %s is %w; raise its version when its type changes", what, p.name, err)
}

// writes is changes of state, on their way out as columns.
type writes struct{ entries, bytes []byte }

const (
	writePut    uint32 = 0
	writeDelete uint32 = 1 << 28
	writeAppend uint32 = 2 << 28
)

func (w *writes) begin() { w.entries, w.bytes = w.entries[:0], w.bytes[:0] }

// push adds a change of a cell.
func (w *writes) push(cell, op uint32, bytes []byte) {
	w.bytes = append(w.bytes, bytes...)
	w.entries = frame.AppendWord(w.entries, cell|op)
	w.entries = frame.AppendWord(w.entries, uint32(len(w.bytes)))
}

// step is a function from one schema version of a state to the next.
type step struct {
	// read makes a value of the bytes of the version it takes, which are in this format.
	read func(format string, bytes []byte) (any, error)
	// next makes a value of the next version.
	next func(value any) (any, error)
}

// stepOf is the step that a function makes.
func stepOf[Old, New any](function func(Old) (New, error)) step {
	return step{
		read: func(format string, bytes []byte) (any, error) {
			codec, err := codecOf[Old](format)
			if err != nil {
				return nil, err
			}
			return codec.decode(bytes)
		},
		next: func(value any) (any, error) {
			old, fits := value.(Old)
			if !fits {
				return nil, fmt.Errorf("one step gives a %T, but the next one takes another type", value)
			}
			return function(old)
		},
	}
}

// migrate takes a value through steps, of which the first one reads it, and writes what comes of it.
func (c *codec[T]) migrate(steps []step, bytes, to []byte) ([]byte, error) {
	value, err := steps[0].read(c.name, bytes)
	for _, step := range steps {
		if err != nil {
			break
		}
		value, err = step.next(value)
	}
	if err != nil {
		return nil, fmt.Errorf("a value of an older version: %w", err)
	}
	newest, fits := value.(T)
	if !fits {
		return nil, fmt.Errorf("the last step of a migration gives a %T, but the state holds another type", value)
	}
	return c.append(to, newest)
}
