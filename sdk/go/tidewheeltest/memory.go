package tidewheeltest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/internal/contract"
	"github.com/tidewheel/tidewheel/sdk/go/internal/frame"
)

// stored is a value, an element or an entry, as it was written.
type stored struct {
	version uint32
	// expiry is when it expires, on the clock of its state; the end of time when it does not.
	expiry int64
	bytes  []byte
}

// clocks are those that a time-to-live can follow.
type clocks struct {
	now, watermark int64
	// eventTime is the watermark, but for the one at the end of all input: no time passes with it.
	eventTime int64
}

func (c *clocks) advanceWatermark(to int64) {
	c.watermark = max(c.watermark, to)
	if c.watermark != math.MaxInt64 {
		c.eventTime = c.watermark
	}
}

// ofKey is a state of a key.
type ofKey struct {
	state uint32
	key   string
}

// memory is the host that a harness plays: state in memory, and the functions that a component imports. What is stored
// follows the rules of the host's state backends.
type memory struct {
	states  []contract.State
	migrate func(state, version uint32, bytes []byte) []byte
	clocks  clocks
	values  map[ofKey]stored
	lists   map[ofKey]map[uint64]stored
	maps    map[ofKey]map[string]stored
	lines   []string
	metrics []*metric
	// granted are the options of open.
	granted map[string]string
	// http answers requests over HTTP, if it is there.
	http func(tidewheel.HTTPRequest) (*tidewheel.HTTPResponse, error)
	// groups are the keys of the call at hand.
	groups []string
	// replaced is what writes to maps have replaced in the call at hand.
	replaced []replacement
}

type metric struct {
	name  string
	kind  contract.MetricKind
	value float64
}

type replacement struct {
	of     ofKey
	key    string
	before *stored
}

func newMemory(states []contract.State, migrate func(state, version uint32, bytes []byte) []byte) *memory {
	return &memory{
		states: states, migrate: migrate, clocks: clocks{watermark: math.MinInt64, eventTime: math.MinInt64},
		values: make(map[ofKey]stored), lists: make(map[ofKey]map[uint64]stored), maps: make(map[ofKey]map[string]stored),
	}
}

// migrated is a value in the newest version.
func migrated(t testing.TB, adapter *tidewheel.Adapter, state, version uint32, value []byte) []byte {
	t.Helper()
	var columns frame.Columns
	columns[frame.CellEnds] = frame.AppendCellEnd(nil, len(value), true)
	columns[frame.Cells] = value
	answer, failure := adapter.Migrate(state, version, frame.Append(nil, &columns))
	if failure != nil {
		t.Fatalf("migrate failed: %s", failure.Message)
	}
	columns, err := frame.Read(answer)
	if err != nil {
		t.Fatal(err)
	}
	return frame.Entry(columns[frame.CellEnds], columns[frame.Cells], 0)
}

func (m *memory) beginCall(groups []group) {
	m.groups = nil
	for _, group := range groups {
		m.groups = append(m.groups, group.key)
	}
	m.replaced = nil
}

// endCall makes what maps were told count, or undoes it.
func (m *memory) endCall(succeeded bool) {
	if !succeeded {
		m.Revert(0)
	}
	m.replaced = nil
}

func (m *memory) store(state uint32, value []byte) stored {
	return stored{m.states[state].Version, m.expiry(state), bytes.Clone(value)}
}

func (m *memory) option(state uint32, name, value string) bool {
	return slices.Contains(m.states[state].Options, contract.Pair{Name: name, Value: value})
}

func (m *memory) time(state uint32) int64 {
	if m.option(state, "ttl-clock", "event") {
		return m.clocks.eventTime
	}
	return m.clocks.now
}

// expiry is when something that is written or refreshed now expires. Before the first watermark there is no event time to
// count from: what is written then stays until it is written again.
func (m *memory) expiry(state uint32) int64 {
	ttl, now := m.states[state].TTLMs, m.time(state)
	if ttl == 0 || now == math.MinInt64 || ttl > uint64(math.MaxInt64-max(now, 0)) {
		return math.MaxInt64
	}
	return now + int64(ttl)
}

// live is the bytes in the newest version, unless they have expired.
func (m *memory) live(state uint32, it stored) *[]byte {
	if it.expiry <= m.time(state) && it.expiry != math.MaxInt64 {
		return nil
	}
	if it.version != m.states[state].Version {
		it.bytes = m.migrate(state, it.version, it.bytes)
	}
	return &it.bytes
}

// refreshed is what a read makes of what it has read.
func (m *memory) refreshed(state uint32, it stored) stored {
	if m.option(state, "ttl-refresh", "read-write") {
		it.expiry = m.expiry(state)
	}
	return it
}

// value is a value as a call sees it; seeing it may keep it longer.
func (m *memory) value(state uint32, key string) *[]byte {
	it, has := m.values[ofKey{state, key}]
	if !has {
		return nil
	}
	value := m.live(state, it)
	if value != nil {
		m.values[ofKey{state, key}] = m.refreshed(state, it)
	}
	return value
}

// apply makes a change of state count: 0 put, 1 delete, 2 append.
func (m *memory) apply(state uint32, key string, op uint32, value []byte) {
	of := ofKey{state, key}
	switch op {
	case 0:
		m.values[of] = m.store(state, value)
	case 1:
		delete(m.values, of)
		delete(m.lists, of)
		delete(m.maps, of)
	default:
		m.appendTo(of, m.store(state, value))
	}
}

func (m *memory) appendTo(of ofKey, it stored) {
	if m.lists[of] == nil {
		m.lists[of] = make(map[uint64]stored)
	}
	next := uint64(0)
	for index := range m.lists[of] {
		next = max(next, index+1)
	}
	m.lists[of][next] = it
}

// Log, and what follows, are the functions that a component imports.
func (m *memory) Log(level contract.Level, _ int, message string) {
	names := [...]string{"error", "warn", "info", "debug", "trace"}
	m.lines = append(m.lines, fmt.Sprintf("%s: %s", names[level], message))
}

func (m *memory) DefineMetric(name string, kind contract.MetricKind) uint32 {
	at := slices.IndexFunc(m.metrics, func(it *metric) bool { return it.name == name })
	if at < 0 {
		at = len(m.metrics)
		m.metrics = append(m.metrics, &metric{name: name, kind: kind})
	}
	return uint32(at)
}

func (m *memory) UpdateMetric(number uint32, value float64) {
	if it := m.metrics[number]; it.kind == contract.MetricCounter {
		it.value += value
	} else {
		it.value = value
	}
}

func (m *memory) Option(name string) (value string, has bool) {
	value, has = m.granted[name]
	return value, has
}

func (m *memory) Get(state uint32, groups []byte) (values contract.Values) {
	for at := range len(groups) / 4 {
		addValue(&values, m.value(state, m.groups[frame.Word(groups, at)]))
	}
	return values
}

func addValue(values *contract.Values, value *[]byte) {
	if value != nil {
		values.Bytes = append(values.Bytes, *value...)
	}
	values.Ends = frame.AppendCellEnd(values.Ends, len(values.Bytes), value != nil)
}

func (m *memory) ListRead(state, group uint32, start uint64, limit uint32) (entries contract.Entries) {
	elements := m.lists[ofKey{state, m.groups[group]}]
	for _, index := range slices.Sorted(maps.Keys(elements)) {
		if index < start {
			continue
		}
		if value := m.live(state, elements[index]); value != nil {
			elements[index] = m.refreshed(state, elements[index])
			if addEntry(&entries, limit, binary.BigEndian.AppendUint64(nil, index), *value); entries.More {
				break
			}
		}
	}
	return entries
}

// addEntry adds an entry if there is room for it.
func addEntry(entries *contract.Entries, limit uint32, key, value []byte) {
	if uint32(len(entries.KeyEnds)/4) == limit {
		entries.More = true
		return
	}
	entries.Keys = append(entries.Keys, key...)
	entries.KeyEnds = frame.AppendWord(entries.KeyEnds, uint32(len(entries.Keys)))
	entries.Values = append(entries.Values, value...)
	entries.ValueEnds = frame.AppendWord(entries.ValueEnds, uint32(len(entries.Values)))
}

func (m *memory) MapGet(state uint32, groups, keyEnds, keys []byte) (values contract.Values) {
	for at := range len(groups) / 4 {
		entries := m.maps[ofKey{state, m.groups[frame.Word(groups, at)]}]
		key := string(frame.Entry(keyEnds, keys, at))
		var value *[]byte
		if it, has := entries[key]; has {
			if value = m.live(state, it); value != nil {
				entries[key] = m.refreshed(state, it)
			}
		}
		addValue(&values, value)
	}
	return values
}

func (m *memory) MapScan(
	state, group uint32, start []byte, after, backwards bool, limit uint32,
) (entries contract.Entries) {
	all := m.maps[ofKey{state, m.groups[group]}]
	keys := slices.Sorted(maps.Keys(all))
	if backwards {
		slices.Reverse(keys)
	}
	for _, key := range keys {
		order := bytes.Compare([]byte(key), start)
		if backwards {
			order = -order
			if len(start) == 0 && !after {
				order = 1
			}
		}
		if order < 0 || order == 0 && after {
			continue
		}
		if value := m.live(state, all[key]); value != nil {
			all[key] = m.refreshed(state, all[key])
			if addEntry(&entries, limit, []byte(key), *value); entries.More {
				break
			}
		}
	}
	return entries
}

func (m *memory) MapWrite(state uint32, groups, keyEnds, keys, valueEnds, values []byte) {
	for at := range len(groups) / 4 {
		of, key := ofKey{state, m.groups[frame.Word(groups, at)]}, string(frame.Entry(keyEnds, keys, at))
		var written *stored
		if value, present := frame.Cell(valueEnds, values, at); present {
			it := m.store(state, value)
			written = &it
		}
		m.replaced = append(m.replaced, replacement{of, key, m.put(of, key, written)})
	}
}

// put puts an entry there, or removes it, and gives the one before.
func (m *memory) put(of ofKey, key string, it *stored) (before *stored) {
	if was, had := m.maps[of][key]; had {
		before = &was
	}
	if it == nil {
		delete(m.maps[of], key)
		return before
	}
	if m.maps[of] == nil {
		m.maps[of] = make(map[string]stored)
	}
	m.maps[of][key] = *it
	return before
}

func (m *memory) Mark() uint32 { return uint32(len(m.replaced)) }

func (m *memory) Revert(mark uint32) {
	for at := len(m.replaced) - 1; at >= int(mark); at-- {
		m.put(m.replaced[at].of, m.replaced[at].key, m.replaced[at].before)
	}
	m.replaced = m.replaced[:min(len(m.replaced), int(mark))]
}
