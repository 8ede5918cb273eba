package tidewheel

import (
	"encoding/binary"

	"github.com/tidewheel/tidewheel/sdk/go/internal/frame"
	"github.com/tidewheel/tidewheel/sdk/go/internal/host"
)

// mapLog is the writes to a map that the host has not been told yet.
//
// Telling it of each put costs a call; here they gather until the call ends, or until a scan needs the host to know.
// Reads look here first, so they see the writes of their own call.
type mapLog struct {
	writes []mapWrite
	// newest is the newest write to each place.
	newest map[string]int
	// told is how many of the writes the host knows.
	told int
	// undoWrites and undoTold are how many there were when the record began.
	undoWrites, undoTold int
	// mark is where the host was before it was told of anything in this record, if it was.
	mark   uint32
	marked bool
}

// mapWrite is one write: a put, or with value nil a removal.
type mapWrite struct {
	// where is the group, and the entry's key.
	where string
	value []byte
	// previous is the write to the same place before this one; below 0 there is none.
	previous int
}

// get is the newest write to a place.
func (l *mapLog) get(where []byte) (value []byte, written bool) {
	at, written := l.newest[string(where)]
	if !written {
		return nil, false
	}
	return l.writes[at].value, true
}

func (l *mapLog) write(where, value []byte) {
	if l.newest == nil {
		l.newest = make(map[string]int)
	}
	key := string(where)
	previous, written := l.newest[key]
	if !written {
		previous = -1
	}
	l.newest[key] = len(l.writes)
	l.writes = append(l.writes, mapWrite{key, value, previous})
}

func (l *mapLog) beginRecord() {
	l.undoWrites, l.undoTold, l.marked = len(l.writes), l.told, false
}

// undoRecord takes back the record's writes. If the host was told of any, it goes back to before it was; what it then lost
// of earlier records it is told again.
func (l *mapLog) undoRecord() {
	for at := len(l.writes) - 1; at >= l.undoWrites; at-- {
		if write := l.writes[at]; write.previous >= 0 {
			l.newest[write.where] = write.previous
		} else {
			delete(l.newest, write.where)
		}
	}
	l.writes = l.writes[:l.undoWrites]
	if l.marked {
		host.Revert(l.mark)
		l.marked, l.told = false, l.undoTold
	}
}

// tellWithinRecord tells the host while a record is at hand, so that it can still be undone.
func (l *mapLog) tellWithinRecord(state uint32) {
	if l.told < len(l.writes) && !l.marked {
		l.mark, l.marked = host.Mark(), true
	}
	l.tell(state)
}

// tell tells the host of all writes it does not know.
func (l *mapLog) tell(state uint32) {
	untold := l.writes[l.told:]
	if len(untold) == 0 {
		return
	}
	var groups, keyEnds, keys, valueEnds, values []byte
	for _, write := range untold {
		groups = frame.AppendWord(groups, binary.LittleEndian.Uint32([]byte(write.where[:4])))
		keys = append(keys, write.where[4:]...)
		keyEnds = frame.AppendWord(keyEnds, uint32(len(keys)))
		values = append(values, write.value...)
		valueEnds = frame.AppendCellEnd(valueEnds, len(values), write.value != nil)
	}
	host.MapWrite(state, groups, keyEnds, keys, valueEnds, values)
	l.told = len(l.writes)
}

func (l *mapLog) clear() {
	clear(l.newest)
	l.writes, l.told = l.writes[:0], 0
	l.beginRecord()
}
