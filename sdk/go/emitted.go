package tidewheel

import (
	"encoding/binary"

	"github.com/tidewheel/tidewheel/sdk/go/internal/frame"
)

// EmitOption gives an emitted record something of its own: what is not said is that of the record it is made from.
type EmitOption struct {
	what   emitWhat
	change Change
	time   EventTime
	name   string
	bytes  string
}

type emitWhat uint8

const (
	emitTime emitWhat = iota
	emitKey
	emitHeader
	emitChange
)

// WithTime sets the event time.
func WithTime(time EventTime) EmitOption { return EmitOption{what: emitTime, time: time} }

// WithKey sets the key.
func WithKey[K ~string | ~[]byte](key K) EmitOption {
	return EmitOption{what: emitKey, bytes: string(key)}
}

// WithHeader adds a header.
func WithHeader[V ~string | ~[]byte](name string, value V) EmitOption {
	return EmitOption{what: emitHeader, name: name, bytes: string(value)}
}

// WithChange sets what the record says about the one before it with the same key.
func WithChange(change Change) EmitOption {
	return EmitOption{what: emitChange, change: change}
}

// emitted is emitted records as columns. All but the first three stay empty until a record needs them, and are then
// filled up for the records before it.
type emitted struct {
	sources, valueEnds, values            []byte
	outputs, times, keyEnds, keys         []byte
	headerEnds, headerPlaces, headerBytes []byte
	changes                               []byte
	// detailed says whether there is more than the first three.
	detailed bool
	// ofGroups says whether records are made from groups (a timer or a window as a whole) or from records.
	ofGroups bool
}

// begin empties it, for another call.
func (e *emitted) begin(ofGroups bool) {
	e.truncate(0)
	e.detailed, e.ofGroups = false, ofGroups
}

// len is the number of emitted records.
func (e *emitted) len() int { return len(e.sources) / 4 }

// complete makes a record of the bytes appended to values since the last one.
func (e *emitted) complete(b *batch, source int, output uint8, options []EmitOption) {
	if e.detailed || output != 0 || len(options) > 0 {
		e.completeInDetail(b, source, output, options)
	}
	e.sources = frame.AppendWord(e.sources, uint32(source))
	e.valueEnds = frame.AppendWord(e.valueEnds, uint32(len(e.values)))
}

func (e *emitted) completeInDetail(b *batch, source int, output uint8, options []EmitOption) {
	e.detailed = true
	var key, time, change *EmitOption
	headers := false
	for at := range options {
		switch option := &options[at]; option.what {
		case emitTime:
			time = option
		case emitKey:
			key = option
		case emitChange:
			change = option
		case emitHeader:
			headers = true
		}
	}
	before := e.len()
	if output != 0 || len(e.outputs) > 0 {
		e.outputs = append(filled(e.outputs, before), output)
	}
	if change != nil || len(e.changes) > 0 {
		kind := Insert
		if change != nil {
			kind = change.change
		}
		e.changes = append(filled(e.changes, before), byte(kind))
	}
	if time != nil || len(e.times) > 0 {
		for at := len(e.times) / 8; at < before; at++ {
			e.times = frame.AppendLong(e.times, int64(e.inheritedTime(b, int(frame.Word(e.sources, at)))))
		}
		own := e.inheritedTime(b, source)
		if time != nil {
			own = time.time
		}
		e.times = frame.AppendLong(e.times, int64(own))
	}
	if key != nil || len(e.keyEnds) > 0 {
		for at := len(e.keyEnds) / 4; at < before; at++ {
			e.addKey(view(e.inheritedKey(b, int(frame.Word(e.sources, at)))))
		}
		if key != nil {
			e.addKey(key.bytes)
		} else {
			e.addKey(view(e.inheritedKey(b, source)))
		}
	}
	if headers || len(e.headerEnds) > 0 {
		e.addHeaders(before, options)
	}
}

func (e *emitted) addKey(key string) {
	e.keys = append(e.keys, key...)
	e.keyEnds = frame.AppendWord(e.keyEnds, uint32(len(e.keys)))
}

func (e *emitted) addHeaders(before int, options []EmitOption) {
	soFar := uint32(len(e.headerPlaces) / 8)
	for len(e.headerEnds) < 4*before {
		e.headerEnds = frame.AppendWord(e.headerEnds, soFar)
	}
	for _, option := range options {
		if option.what == emitHeader {
			for _, part := range [2]string{option.name, option.bytes} {
				e.headerBytes = append(e.headerBytes, part...)
				e.headerPlaces = frame.AppendWord(e.headerPlaces, uint32(len(e.headerBytes)))
			}
		}
	}
	e.headerEnds = frame.AppendWord(e.headerEnds, uint32(len(e.headerPlaces)/8))
}

func (e *emitted) inheritedTime(b *batch, source int) EventTime {
	if e.ofGroups {
		return b.groupTime(source)
	}
	return b.time(source)
}

func (e *emitted) inheritedKey(b *batch, source int) []byte {
	if !e.ofGroups {
		source = b.groupOf(source)
	}
	return b.key(source)
}

// truncate keeps the first records, and drops bytes appended since.
func (e *emitted) truncate(records int) {
	for _, column := range []*[]byte{&e.sources, &e.valueEnds, &e.keyEnds, &e.headerEnds} {
		*column = (*column)[:min(len(*column), 4*records)]
	}
	for _, column := range []*[]byte{&e.outputs, &e.changes} {
		*column = (*column)[:min(len(*column), records)]
	}
	e.times = e.times[:min(len(e.times), 8*records)]
	e.values = e.values[:lastEnd(e.valueEnds)]
	e.keys = e.keys[:lastEnd(e.keyEnds)]
	e.headerPlaces = e.headerPlaces[:8*lastEnd(e.headerEnds)]
	e.headerBytes = e.headerBytes[:lastEnd(e.headerPlaces)]
}

// columns puts the columns where a frame is made of them.
func (e *emitted) columns(columns *frame.Columns) {
	columns[frame.Times] = e.times
	columns[frame.KeyEnds], columns[frame.Keys] = e.keyEnds, e.keys
	columns[frame.ValueEnds], columns[frame.Values] = e.valueEnds, e.values
	columns[frame.HeaderEnds] = e.headerEnds
	columns[frame.HeaderPlaces], columns[frame.HeaderBytes] = e.headerPlaces, e.headerBytes
	columns[frame.Changes] = e.changes
	columns[frame.Sources] = e.sources
	columns[frame.Outputs] = e.outputs
}

// filled is a column of bytes with zeros up to this length.
func filled(column []byte, length int) []byte {
	for len(column) < length {
		column = append(column, 0)
	}
	return column
}

// lastEnd is the last entry of a column of ends.
func lastEnd(ends []byte) int {
	if len(ends) == 0 {
		return 0
	}
	return int(binary.LittleEndian.Uint32(ends[len(ends)-4:]))
}
