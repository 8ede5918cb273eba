package tidewheel

import (
	"iter"
	"unsafe"
)

// Record is a record that has come: its value, and what is known of it.
type Record[T any] struct {
	// Value is the value, read in the operator's input format.
	Value T
	// EventTime is when it happened.
	EventTime EventTime

	batch        *batch
	index, group int32
}

// Key is the key; empty on a stream without keys. It may hold any bytes.
func (r Record[T]) Key() string { return view(r.batch.key(int(r.group))) }

// Bytes are the value's bytes, as they came. They must not be changed.
func (r Record[T]) Bytes() []byte { return r.batch.value(int(r.index)) }

// Input is the index of the input it came by, in the order of the job file's input list.
func (r Record[T]) Input() int { return int(r.batch.byte(columnInputs, int(r.index), 0)) }

// Change is what it says about the record before it with the same key.
func (r Record[T]) Change() Change { return Change(r.batch.byte(columnChanges, int(r.index), 0)) }

// Headers are names and values of its headers, in order. The values must not be changed.
func (r Record[T]) Headers() iter.Seq2[string, []byte] { return r.batch.headers(int(r.index)) }

// Header is the value of the first header of this name.
func (r Record[T]) Header(name string) (value []byte, found bool) {
	for each, value := range r.Headers() {
		if each == name {
			return value, true
		}
	}
	return nil, false
}

// Window is a window: the times from Start up to, but not including, End.
type Window struct {
	// Start is the first time in it.
	Start EventTime
	// End is the first time behind it.
	End EventTime
}

// Change is what a record says about the one before it with the same key, as in a change-data stream.
type Change uint8

const (
	// Insert is a new row.
	Insert Change = iota
	// UpdateBefore is the old version of a row that changes.
	UpdateBefore
	// UpdateAfter is the new version of a row that changes.
	UpdateAfter
	// Delete is a row that goes away.
	Delete
)

// view is a string of these bytes, not copied. Frames are not written to once they are there, and live as long as
// something of them is held.
func view(bytes []byte) string { return unsafe.String(unsafe.SliceData(bytes), len(bytes)) }
