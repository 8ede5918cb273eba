package tidewheel

import (
	"encoding/binary"
	"iter"

	"github.com/tidewheel/tidewheel/sdk/go/internal/contract"
	"github.com/tidewheel/tidewheel/sdk/go/internal/frame"
	"github.com/tidewheel/tidewheel/sdk/go/internal/host"
)

// List is a list per key: a field with the tag state:"NAME".
//
// Appending costs nothing but the bytes: they go out with the batch's other results. Reading calls the host. With a
// time-to-live each element has its own: it is gone when it was appended so long ago, the others stay.
type List[T any] struct {
	codec *codec[T]
	call  *call
	place place
	group int
	// now is what the group has done, before what it was when the record began.
	now, before listState
}

// listState is what a call has done to a list: emptied it or not, and then appended these elements.
type listState struct {
	cleared  bool
	appended [][]byte
}

// pageEntries is how many elements or entries one call of the host reads.
const pageEntries = 1000

// Append adds an element at the end of the list of the key at hand. The error is that the format cannot hold the element;
// nothing is added then.
func (l *List[T]) Append(element T) error {
	bytes, err := l.codec.append(nil, element)
	if err != nil {
		return err
	}
	l.now.appended = append(l.now.appended, bytes)
	return nil
}

// All are the elements of the key at hand, oldest first, those of this call included. They are read a page at a time.
//
// Bytes that are no such element fail the job: they were written by other code under the same schema version.
func (l *List[T]) All() iter.Seq[T] {
	return func(yield func(T) bool) {
		start, more := uint64(0), !l.now.cleared
		for more {
			page := host.ListRead(l.place.state, uint32(l.group), start, pageEntries)
			for at := range len(page.ValueEnds) / 4 {
				if !l.yield(frame.Entry(page.ValueEnds, page.Values, at), yield) {
					return
				}
			}
			// An element keeps its index, also when others before it have expired.
			more = page.More && len(page.Keys) >= 8
			if more {
				start = binary.BigEndian.Uint64(page.Keys[len(page.Keys)-8:]) + 1
			}
		}
		for _, bytes := range l.now.appended {
			if !l.yield(bytes, yield) {
				return
			}
		}
	}
}

func (l *List[T]) yield(bytes []byte, yield func(T) bool) bool {
	element, err := l.codec.decode(bytes)
	if err != nil {
		l.call.fault(l.place.corrupt("element", err))
		return false
	}
	return yield(element)
}

// Replace replaces the list of the key at hand by these elements. The error is that the format cannot hold one of them;
// nothing is replaced then.
func (l *List[T]) Replace(elements ...T) error {
	var appended [][]byte
	for _, element := range elements {
		bytes, err := l.codec.append(nil, element)
		if err != nil {
			return err
		}
		appended = append(appended, bytes)
	}
	l.now = listState{true, appended}
	return nil
}

// Clear empties the list of the key at hand.
func (l *List[T]) Clear() { l.now = listState{cleared: true} }

func (l *List[T]) declare(format string) (contract.State, error) {
	codec, err := codecOf[T](format)
	if err != nil {
		return contract.State{}, err
	}
	l.codec = codec
	return contract.State{Kind: contract.StateList, Format: codec.name, Schema: codec.schema}, nil
}

func (l *List[T]) bind(call *call, place place) { l.call, l.place = call, place }

func (l *List[T]) beginGroup(group int) { l.group, l.now, l.before = group, listState{}, listState{} }
func (l *List[T]) beginRecord()         { l.before = l.now }
func (l *List[T]) undoRecord()          { l.now = l.before }

func (l *List[T]) endGroup() {
	cell := l.place.cell(l.group)
	if l.now.cleared {
		l.call.writes.push(cell, writeDelete, nil)
	}
	for _, bytes := range l.now.appended {
		l.call.writes.push(cell, writeAppend, bytes)
	}
}

func (l *List[T]) endCall(bool) { l.now, l.before = listState{}, listState{} }

func (l *List[T]) migrate(steps []step, bytes, to []byte) ([]byte, error) {
	return l.codec.migrate(steps, bytes, to)
}
