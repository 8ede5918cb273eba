package tidewheeltest

import (
	"encoding/binary"

	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/internal/frame"
)

// incoming is a record, timer or accumulator on its way into the operator.
type incoming struct {
	key   string
	time  int64
	value []byte
	// input is the index of the input, or the timer's slot.
	input   byte
	change  byte
	headers []Header
}

const (
	firstPart   byte = 1
	lastPart    byte = 2
	wholeWindow      = firstPart | lastPart
)

// group is records of a key, or of a key and window, with the cells that ride along.
type group struct {
	key     string
	window  *place
	flags   byte
	cells   []*[]byte
	records []incoming
}

// Emitted is a record that an operator emitted.
type Emitted struct {
	// Output is the index of the output; 0 is the main one.
	Output int
	// Key is its key.
	Key string
	// EventTime is when it happened.
	EventTime tidewheel.EventTime
	// Value is its value's bytes.
	Value []byte
	// Change is what it says about the one before it with the same key.
	Change tidewheel.Change
	// Headers are its headers.
	Headers []Header
}

// Rejected is a record or timer that an operator refused.
type Rejected struct {
	// Key is its key.
	Key string
	// Value is its bytes; a timer has none.
	Value []byte
	// Reason says why.
	Reason string
}

// written is the frame of a call. If not grouped every group has one record, whose key is the group's.
func written(groups []group, grouped bool) []byte {
	var columns frame.Columns
	word := func(column int, word int) { columns[column] = frame.AppendWord(columns[column], uint32(word)) }
	text := func(ends, bytes int, text []byte) {
		columns[bytes] = append(columns[bytes], text...)
		word(ends, len(columns[bytes]))
	}
	records := 0
	for _, group := range groups {
		text(frame.KeyEnds, frame.Keys, []byte(group.key))
		for _, cell := range group.cells {
			if cell != nil {
				columns[frame.Cells] = append(columns[frame.Cells], *cell...)
			}
			columns[frame.CellEnds] = frame.AppendCellEnd(columns[frame.CellEnds], len(columns[frame.Cells]), cell != nil)
		}
		if group.window != nil {
			columns[frame.Windows] = frame.AppendLong(columns[frame.Windows], group.window.start)
			columns[frame.Windows] = frame.AppendLong(columns[frame.Windows], group.window.end)
			columns[frame.GroupFlags] = append(columns[frame.GroupFlags], group.flags)
		}
		for _, record := range group.records {
			columns[frame.Times] = frame.AppendLong(columns[frame.Times], record.time)
			text(frame.ValueEnds, frame.Values, record.value)
			columns[frame.Inputs] = append(columns[frame.Inputs], record.input)
			columns[frame.Changes] = append(columns[frame.Changes], record.change)
			for _, header := range record.headers {
				text(frame.HeaderPlaces, frame.HeaderBytes, []byte(header.Name))
				text(frame.HeaderPlaces, frame.HeaderBytes, header.Value)
			}
			word(frame.HeaderEnds, len(columns[frame.HeaderPlaces])/8)
		}
		records += len(group.records)
		if grouped {
			word(frame.RecordEnds, records)
		}
	}
	return frame.Append(nil, &columns)
}

// readEmitted are the records an operator emitted; ofGroups says that their sources are groups.
func readEmitted(columns *frame.Columns, groups []group, ofGroups bool) (found []Emitted) {
	var origins []Emitted
	for _, group := range groups {
		if ofGroups {
			time := group.records[0].time
			if group.window != nil {
				time = group.window.end - 1
			}
			origins = append(origins, Emitted{Key: group.key, EventTime: tidewheel.EventTime(time)})
			continue
		}
		for _, record := range group.records {
			origins = append(origins, Emitted{Key: group.key, EventTime: tidewheel.EventTime(record.time)})
		}
	}
	for at := range len(columns[frame.Sources]) / 4 {
		record := origins[frame.Word(columns[frame.Sources], at)]
		record.Value = frame.Entry(columns[frame.ValueEnds], columns[frame.Values], at)
		if outputs := columns[frame.Outputs]; len(outputs) > 0 {
			record.Output = int(outputs[at])
		}
		if times := columns[frame.Times]; len(times) > 0 {
			record.EventTime = tidewheel.EventTime(frame.Long(times, at))
		}
		if ends := columns[frame.KeyEnds]; len(ends) > 0 {
			record.Key = string(frame.Entry(ends, columns[frame.Keys], at))
		}
		if changes := columns[frame.Changes]; len(changes) > 0 {
			record.Change = tidewheel.Change(changes[at])
		}
		record.Headers = readHeaders(columns, at)
		found = append(found, record)
	}
	return found
}

func readHeaders(columns *frame.Columns, record int) (headers []Header) {
	ends := columns[frame.HeaderEnds]
	if len(ends) == 0 {
		return nil
	}
	first := 0
	if record > 0 {
		first = int(frame.Word(ends, record-1))
	}
	part := func(at int) []byte {
		return frame.Entry(columns[frame.HeaderPlaces], columns[frame.HeaderBytes], at)
	}
	for header := first; header < int(frame.Word(ends, record)); header++ {
		headers = append(headers, Header{string(part(2 * header)), part(2*header + 1)})
	}
	return headers
}

func readRejected(columns *frame.Columns, groups []group) (found []Rejected) {
	var records []Rejected
	for _, group := range groups {
		for _, record := range group.records {
			records = append(records, Rejected{Key: group.key, Value: record.value})
		}
	}
	entries, begin := columns[frame.Rejected], 0
	for at := range len(entries) / 8 {
		record, end := records[frame.Word(entries, 2*at)], int(frame.Word(entries, 2*at+1))
		record.Reason = string(columns[frame.Reasons][begin:end])
		found, begin = append(found, record), end
	}
	return found
}

// cellWrite is a change of state.
type cellWrite struct {
	cell, op uint32
	bytes    []byte
}

func readWrites(columns *frame.Columns) (found []cellWrite) {
	entries, begin := columns[frame.Writes], 0
	for at := range len(entries) / 8 {
		cell, end := frame.Word(entries, 2*at), int(frame.Word(entries, 2*at+1))
		found = append(found, cellWrite{cell & (1<<28 - 1), cell >> 28, columns[frame.WriteBytes][begin:end]})
		begin = end
	}
	return found
}

// timerChange is a change of a timer.
type timerChange struct {
	group    uint32
	slot, op uint16
	at       int64
}

func readTimers(columns *frame.Columns) (found []timerChange) {
	for rest := columns[frame.Timers]; len(rest) >= 16; rest = rest[16:] {
		found = append(found, timerChange{
			group: binary.LittleEndian.Uint32(rest),
			slot:  binary.LittleEndian.Uint16(rest[4:]),
			op:    binary.LittleEndian.Uint16(rest[6:]),
			at:    int64(binary.LittleEndian.Uint64(rest[8:])),
		})
	}
	return found
}

func readWatermarks(columns *frame.Columns) (found []tidewheel.EventTime) {
	for rest := columns[frame.Marks]; len(rest) >= 16; rest = rest[16:] {
		found = append(found, tidewheel.EventTime(int64(binary.LittleEndian.Uint64(rest[8:]))))
	}
	return found
}
