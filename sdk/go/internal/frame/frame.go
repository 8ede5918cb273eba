// Package frame is the one reader and the one writer of frames: one piece of memory that carries columns across the
// boundary. The layout is in wit/operator.wit, interface types.
package frame

import (
	"encoding/binary"
	"fmt"
)

// Ids of columns.
const (
	Times        = 1
	KeyEnds      = 2
	Keys         = 3
	RecordEnds   = 4
	CellEnds     = 5
	Cells        = 6
	ValueEnds    = 7
	Values       = 8
	Inputs       = 9
	Windows      = 10
	GroupFlags   = 11
	HeaderEnds   = 12
	HeaderPlaces = 13
	HeaderBytes  = 14
	Changes      = 15
	Sources      = 16
	Outputs      = 17
	Writes       = 18
	WriteBytes   = 19
	Timers       = 20
	Rejected     = 21
	Reasons      = 22
	Marks        = 23
	// Count is above the ids that are known here; a reader skips the others.
	Count = 24
)

// Absent is the bit of an end that says that there is no value.
const Absent = 1 << 31

// Columns is a frame taken apart: by id, the bytes of each known column.
type Columns [Count][]byte

// Read takes a frame apart. Only the places of columns are checked here; what is in them is checked where it is used.
func Read(frame []byte) (columns Columns, err error) {
	if len(frame) < 8 {
		return columns, errShort
	}
	count := int(binary.LittleEndian.Uint32(frame))
	if count > (len(frame)-8)/8 {
		return columns, errShort
	}
	previous, start := -1, 8+8*count
	for at := 8; at < 8+8*count; at += 8 {
		id, end := int(Word(frame, at/4)), int(Word(frame, at/4+1))
		if id <= previous {
			return columns, fmt.Errorf("column %d of the frame from the host is out of order", id)
		}
		if end < start || end > len(frame) {
			return columns, fmt.Errorf("column %d of the frame from the host ends out of bounds", id)
		}
		if id < Count {
			columns[id] = frame[start:end:end]
		}
		previous, start = id, roundUp(end)
	}
	return columns, nil
}

var errShort = fmt.Errorf("the frame from the host is shorter than its header says")

func roundUp(n int) int { return (n + 7) &^ 7 }

// Word is entry index of a column of u32.
func Word(column []byte, index int) uint32 {
	return binary.LittleEndian.Uint32(column[4*index:])
}

// Long is entry index of a column of s64.
func Long(column []byte, index int) int64 {
	return int64(binary.LittleEndian.Uint64(column[8*index:]))
}

// Entry is entry index of a pair of columns X-ends and X.
func Entry(ends, bytes []byte, index int) []byte {
	start := uint32(0)
	if index > 0 {
		start = Word(ends, index-1)
	}
	end := Word(ends, index)
	return bytes[start:end:end]
}

// Cell is entry index of a pair of columns in which entries may be absent.
func Cell(ends, bytes []byte, index int) (cell []byte, present bool) {
	end := Word(ends, index)
	if end&Absent != 0 {
		return nil, false
	}
	start := uint32(0)
	if index > 0 {
		start = Word(ends, index-1) &^ Absent
	}
	return bytes[start:end:end], true
}

// AppendWord adds a u32 to a column.
func AppendWord(column []byte, word uint32) []byte {
	return binary.LittleEndian.AppendUint32(column, word)
}

// AppendLong adds an s64 to a column.
func AppendLong(column []byte, long int64) []byte {
	return binary.LittleEndian.AppendUint64(column, uint64(long))
}

// AppendCellEnd adds the end of a cell to a column of ends: length bytes are there now, and the cell is present or absent.
func AppendCellEnd(ends []byte, length int, present bool) []byte {
	end := uint32(length)
	if !present {
		end |= Absent
	}
	return AppendWord(ends, end)
}

// Append puts columns into one frame, behind what is in buffer already. Empty ones are left out.
func Append(buffer []byte, columns *Columns) []byte {
	present, length := 0, 0
	for _, bytes := range columns {
		if len(bytes) > 0 {
			present++
			length = roundUp(length) + len(bytes)
		}
	}
	header := 8 + 8*present
	if need := header + length; cap(buffer)-len(buffer) < need {
		buffer = append(make([]byte, 0, len(buffer)+need+need/8), buffer...)
	}
	begin := len(buffer)
	buffer = AppendWord(buffer, uint32(present))
	buffer = AppendWord(buffer, 0)
	end := header
	for id, bytes := range columns {
		if len(bytes) > 0 {
			end = roundUp(end) + len(bytes)
			buffer = AppendWord(buffer, uint32(id))
			buffer = AppendWord(buffer, uint32(end))
		}
	}
	for _, bytes := range columns {
		if len(bytes) > 0 {
			for (len(buffer)-begin)%8 != 0 {
				buffer = append(buffer, 0)
			}
			buffer = append(buffer, bytes...)
		}
	}
	return buffer
}
