package tidewheel

import (
	"iter"

	"github.com/tidewheel/tidewheel/sdk/go/internal/contract"
	"github.com/tidewheel/tidewheel/sdk/go/internal/frame"
	"github.com/tidewheel/tidewheel/sdk/go/internal/host"
)

// Map is a map per key, in the order of its keys: a field with the tag state:"NAME".
//
// Reading calls the host; [Map.GetMany] calls it once for many entries. Writes are gathered and told to the host at the
// end of the call, and reads see them before. With a time-to-live each entry has its own.
type Map[K MapKey, V any] struct {
	codec *codec[V]
	keys  keyCodec[K]
	call  *call
	place place
	log   mapLog
	group int
}

// Entry is an entry of a map.
type Entry[K MapKey, V any] struct {
	// Key is the entry's key.
	Key K
	// Value is its value.
	Value V
}

// Get is the value of an entry, if there is one.
//
// Bytes that are no such value fail the job: they were written by other code under the same schema version.
func (m *Map[K, V]) Get(key K) (value V, isSet bool) {
	bytes, isSet := m.read(key)
	if !isSet {
		return value, false
	}
	return m.decode(bytes)
}

// Contains says whether there is such an entry. Its value is not read.
func (m *Map[K, V]) Contains(key K) bool {
	_, isSet := m.read(key)
	return isSet
}

func (m *Map[K, V]) read(key K) (bytes []byte, isSet bool) {
	where := m.where(key)
	if value, written := m.log.get(where); written {
		return value, value != nil
	}
	var word, length [4]byte
	group, ends := frame.AppendWord(word[:0], uint32(m.group)), frame.AppendWord(length[:0], uint32(len(where)-4))
	values := host.MapGet(m.place.state, group, ends, where[4:])
	return frame.Cell(values.Ends, values.Bytes, 0)
}

// GetMany are the values of many entries, in order, with one call of the host; nil where there is none.
func (m *Map[K, V]) GetMany(keys ...K) []*V {
	values := make([]*V, len(keys))
	var groups, ends, asked []byte
	var places []int
	for at, key := range keys {
		where := m.where(key)
		if bytes, written := m.log.get(where); written {
			if bytes != nil {
				values[at] = m.decoded(bytes)
			}
			continue
		}
		groups = frame.AppendWord(groups, uint32(m.group))
		asked = append(asked, where[4:]...)
		ends = frame.AppendWord(ends, uint32(len(asked)))
		places = append(places, at)
	}
	if len(places) == 0 {
		return values
	}
	answers := host.MapGet(m.place.state, groups, ends, asked)
	for answer, at := range places {
		if bytes, isSet := frame.Cell(answers.Ends, answers.Bytes, answer); isSet {
			values[at] = m.decoded(bytes)
		}
	}
	return values
}

func (m *Map[K, V]) decoded(bytes []byte) *V {
	value, valid := m.decode(bytes)
	if !valid {
		return nil
	}
	return &value
}

func (m *Map[K, V]) decode(bytes []byte) (value V, valid bool) {
	value, err := m.codec.decode(bytes)
	if err != nil {
		m.call.fault(m.place.corrupt("entry", err))
		return value, false
	}
	return value, true
}

// Put sets the value of an entry. The error is that the format cannot hold the value; nothing is set then.
func (m *Map[K, V]) Put(key K, value V) error {
	bytes, err := m.codec.append([]byte{}, value)
	if err != nil {
		return err
	}
	m.log.write(m.where(key), bytes)
	return nil
}

// Remove removes an entry.
func (m *Map[K, V]) Remove(key K) { m.log.write(m.where(key), nil) }

// Clear removes all entries. It costs as much as reading them.
func (m *Map[K, V]) Clear() {
	var all [][]byte
	m.pages(scan{limit: -1}, func(key, _ []byte) bool {
		all = append(all, append(m.wherePrefix(), key...))
		return true
	})
	for _, where := range all {
		m.log.write(where, nil)
	}
}

// Scan is a reading of a map's entries, to be narrowed and then ranged over: for key, value := range m.Scan().All().
type Scan[K MapKey, V any] struct {
	of    *Map[K, V]
	asked scan
}

type scan struct {
	start            []byte
	after, backwards bool
	// limit is below 0 when there is none.
	limit int
}

// Scan reads entries in the order of their keys.
func (m *Map[K, V]) Scan() Scan[K, V] { return Scan[K, V]{m, scan{limit: -1}} }

// From starts at this key.
func (s Scan[K, V]) From(key K) Scan[K, V] {
	s.asked.start, s.asked.after = s.of.keys.append(nil, key), false
	return s
}

// After starts at the first key behind this one.
func (s Scan[K, V]) After(key K) Scan[K, V] {
	s = s.From(key)
	s.asked.after = true
	return s
}

// Backwards reads from the last entry to the first.
func (s Scan[K, V]) Backwards() Scan[K, V] {
	s.asked.backwards = true
	return s
}

// Limit reads so many entries at most.
func (s Scan[K, V]) Limit(entries int) Scan[K, V] {
	s.asked.limit = max(entries, 0)
	return s
}

// All are the entries, read a page at a time. The map must not be written to meanwhile.
func (s Scan[K, V]) All() iter.Seq2[K, V] {
	m := s.of
	return func(yield func(K, V) bool) {
		m.pages(s.asked, func(key, bytes []byte) bool {
			value, valid := m.decode(bytes)
			if !valid {
				return false
			}
			read, err := m.keys.read(key)
			if err != nil {
				m.call.fault(m.place.corrupt("key of an entry", err))
				return false
			}
			return yield(read, value)
		})
	}
}

// pages gives visit the bytes of each entry, a page at a time.
func (m *Map[K, V]) pages(asked scan, visit func(key, value []byte) bool) {
	m.log.tellWithinRecord(m.place.state)
	for asked.limit != 0 {
		count := pageEntries
		if asked.limit > 0 {
			count = min(count, asked.limit)
		}
		page := host.MapScan(
			m.place.state, uint32(m.group), asked.start, asked.after, asked.backwards, uint32(count),
		)
		entries := len(page.KeyEnds) / 4
		for at := range entries {
			if !visit(frame.Entry(page.KeyEnds, page.Keys, at), frame.Entry(page.ValueEnds, page.Values, at)) {
				return
			}
		}
		if !page.More || entries == 0 {
			return
		}
		asked.start, asked.after = frame.Entry(page.KeyEnds, page.Keys, entries-1), true
		if asked.limit > 0 {
			asked.limit -= entries
		}
	}
}

// where is an entry's place, as the log has it.
func (m *Map[K, V]) where(key K) []byte { return m.keys.append(m.wherePrefix(), key) }

func (m *Map[K, V]) wherePrefix() []byte {
	return frame.AppendWord(make([]byte, 0, 32), uint32(m.group))
}

func (m *Map[K, V]) declare(format string) (contract.State, error) {
	codec, err := codecOf[V](format)
	if err != nil {
		return contract.State{}, err
	}
	m.codec, m.keys = codec, keyCodecOf[K]()
	return contract.State{Kind: contract.StateMap, Format: codec.name, Schema: codec.schema}, nil
}

func (m *Map[K, V]) bind(call *call, place place) { m.call, m.place = call, place }
func (m *Map[K, V]) beginGroup(group int)         { m.group = group; m.log.beginRecord() }
func (m *Map[K, V]) beginRecord()                 { m.log.beginRecord() }
func (m *Map[K, V]) undoRecord()                  { m.log.undoRecord() }
func (m *Map[K, V]) endGroup()                    {}

func (m *Map[K, V]) endCall(succeeded bool) {
	if succeeded {
		m.log.tell(m.place.state)
	}
	m.log.clear()
}

func (m *Map[K, V]) migrate(steps []step, bytes, to []byte) ([]byte, error) {
	return m.codec.migrate(steps, bytes, to)
}
