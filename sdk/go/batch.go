package tidewheel

import (
	"iter"
	"sort"

	"github.com/tidewheel/tidewheel/sdk/go/internal/frame"
)

const (
	columnInputs  = frame.Inputs
	columnChanges = frame.Changes
)

// batch is the records of one call: the columns of a frame by record and by group. In world stateless every record is a
// group of its own.
//
// Reading past a column's end panics: a host never sends such a frame.
type batch struct {
	columns frame.Columns
	// frame is all of them, for parts of windows that are put aside.
	frame   []byte
	grouped bool
	len     int
	groups  int
}

// read takes the batch out of a frame.
func (b *batch) read(bytes []byte, grouped bool) error {
	columns, err := frame.Read(bytes)
	if err != nil {
		return Fail(err)
	}
	*b = batch{columns: columns, frame: bytes, grouped: grouped, len: len(columns[frame.Times]) / 8}
	b.groups = b.len
	if grouped {
		b.groups = len(columns[frame.RecordEnds]) / 4
		b.len = 0
		if b.groups > 0 {
			b.len = int(frame.Word(columns[frame.RecordEnds], b.groups-1))
		}
	}
	return nil
}

// records are the first record of a group, and the first behind it.
func (b *batch) records(group int) (first, end int) {
	if !b.grouped {
		return group, group + 1
	}
	ends := b.columns[frame.RecordEnds]
	if group > 0 {
		first = int(frame.Word(ends, group-1))
	}
	return first, int(frame.Word(ends, group))
}

// groupOf is the group of a record.
func (b *batch) groupOf(record int) int {
	if !b.grouped {
		return record
	}
	ends := b.columns[frame.RecordEnds]
	return sort.Search(b.groups, func(group int) bool { return int(frame.Word(ends, group)) > record })
}

// value is a record's value. Timers have none: it is empty.
func (b *batch) value(record int) []byte {
	if len(b.columns[frame.ValueEnds]) == 0 {
		return nil
	}
	return frame.Entry(b.columns[frame.ValueEnds], b.columns[frame.Values], record)
}

// time is a record's event time, or a timer's time.
func (b *batch) time(record int) EventTime {
	return EventTime(frame.Long(b.columns[frame.Times], record))
}

// groupTime is the time of what a group as a whole emits: its timer's, or the last of its window.
func (b *batch) groupTime(group int) EventTime {
	if window, has := b.window(group); has {
		if window.End == MinTime {
			return MinTime
		}
		return window.End - 1
	}
	first, _ := b.records(group)
	return b.time(first)
}

// key is a group's key; empty when there are no keys.
func (b *batch) key(group int) []byte {
	if len(b.columns[frame.KeyEnds]) == 0 {
		return nil
	}
	return frame.Entry(b.columns[frame.KeyEnds], b.columns[frame.Keys], group)
}

// window is a group's window, if groups have one.
func (b *batch) window(group int) (window Window, has bool) {
	windows := b.columns[frame.Windows]
	if 16*group+16 > len(windows) {
		return window, false
	}
	return Window{EventTime(frame.Long(windows, 2*group)), EventTime(frame.Long(windows, 2*group+1))}, true
}

// byte is entry index of a column of bytes, or otherwise when the column is not there.
func (b *batch) byte(column, index int, otherwise byte) byte {
	if len(b.columns[column]) == 0 {
		return otherwise
	}
	return b.columns[column][index]
}

// headers are those of a record.
func (b *batch) headers(record int) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		ends, places := b.columns[frame.HeaderEnds], b.columns[frame.HeaderPlaces]
		if len(ends) == 0 {
			return
		}
		first := uint32(0)
		if record > 0 {
			first = frame.Word(ends, record-1)
		}
		for header := first; header < frame.Word(ends, record); header++ {
			name := frame.Entry(places, b.columns[frame.HeaderBytes], int(2*header))
			value := frame.Entry(places, b.columns[frame.HeaderBytes], int(2*header+1))
			if !yield(view(name), value) {
				return
			}
		}
	}
}

// parts says whether a group is the first and the last part of its window.
func (b *batch) parts(group int) (first, last bool) {
	flags := b.byte(frame.GroupFlags, group, 3)
	return flags&1 != 0, flags&2 != 0
}
