// Package tidewheeltest runs an operator natively, in a plain unit test.
//
// It drives the operator through the same adapters and frames as the host does, with a tiny host in memory. Every call goes
// to a fresh instance of the operator, so a field that should have been a state shows.
//
//	func TestCountsEachWordOnItsOwn(t *testing.T) {
//		h := tidewheeltest.Keyed(t, &Count{})
//		for _, word := range []string{"tide", "wheel", "tide"} {
//			h.Send(word, 0, word)
//		}
//		h.Wants(WordCount{"tide", 1}, WordCount{"wheel", 1}, WordCount{"tide", 2})
//		if count, _ := tidewheeltest.Value[uint64](h, "count", "tide"); count != 2 {
//			t.Errorf("tide has come %d times", count)
//		}
//	}
package tidewheeltest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/internal/contract"
	"github.com/tidewheel/tidewheel/sdk/go/internal/frame"
	"github.com/tidewheel/tidewheel/sdk/go/internal/host"
)

// Harness is an operator under test, with its host.
type Harness[In, Out any] struct{ *core }

// Tested is a [Harness] of any operator.
type Tested interface{ tested() *core }

// kind is what calls an operator has.
type kind uint8

const (
	stateless kind = iota
	keyed
	window
	aggregate
)

// core is what a harness is, whatever the types of its values.
type core struct {
	t       testing.TB
	kind    kind
	adapter *tidewheel.Adapter
	said    contract.Description
	riding  int
	options options
	host    *memory
	calls   uint64
	// timers are those that are set, by key.
	timers map[string]map[timer]bool
	// accumulators are those of open windows: two each, to be merged.
	accumulators map[place]*[2]*stored
	// waiting are records of open windows, for operators that see all of them.
	waiting  map[place][]incoming
	late     [][]byte
	emitted  []Emitted
	rejected []Rejected
	// watermarks are those that the operator made.
	watermarks []tidewheel.EventTime
}

func (c *core) tested() *core { return c }

type timer struct {
	at   int64
	slot uint16
}

// place is a key and window.
type place struct {
	end, start int64
	key        string
}

// Option says something of the host of a harness.
type Option func(*options)

type options struct {
	config  any
	granted map[string]string
	http    func(tidewheel.HTTPRequest) (*tidewheel.HTTPResponse, error)
	reuse   bool
	length  int64
	perPart int
}

// WithConfig gives the operator a config, which is written as JSON, as the job file's table would be.
func WithConfig(config any) Option { return func(o *options) { o.config = config } }

// WithEnv grants the operator an environment variable, as a job does by grants = ["env:NAME"].
func WithEnv(name, value string) Option {
	return func(o *options) { o.granted["env:"+name] = value }
}

// WithHTTP answers the operator's requests over HTTP; without it no host is granted. An error that is no
// [tidewheel.HTTPError] is one of kind [tidewheel.HTTPOther].
func WithHTTP(answer func(request tidewheel.HTTPRequest) (*tidewheel.HTTPResponse, error)) Option {
	return func(o *options) { o.http = answer }
}

// ReuseInstance gives all calls to one instance, as the host mostly does; without it each call gets a fresh one.
func ReuseInstance() Option { return func(o *options) { o.reuse = true } }

// Tumbling is the length of windows, for operators that have them; one second if nothing is said.
func Tumbling(length time.Duration) Option {
	return func(o *options) { o.length = max(1, length.Milliseconds()) }
}

// PartsOf hands windows over in parts of so many records, as the host does with those of several megabytes.
func PartsOf(records int) Option { return func(o *options) { o.perPart = max(1, records) } }

// Stateless tests an operator of world stateless.
func Stateless[In, Out any](t testing.TB, operator tidewheel.Processor[In, Out], options ...Option) Harness[In, Out] {
	t.Helper()
	adapter, err := tidewheel.NewStateless(operator)
	return Harness[In, Out]{begin(t, stateless, adapter, err, options)}
}

// Keyed tests an operator with state per key, and timers.
func Keyed[In, Out any](t testing.TB, operator tidewheel.Processor[In, Out], options ...Option) Harness[In, Out] {
	t.Helper()
	adapter, err := tidewheel.NewKeyed(operator)
	return Harness[In, Out]{begin(t, keyed, adapter, err, options)}
}

// Window tests an operator that sees windows.
func Window[In, Out any](
	t testing.TB, operator tidewheel.WindowProcessor[In, Out], options ...Option,
) Harness[In, Out] {
	t.Helper()
	adapter, err := tidewheel.NewWindow(operator)
	return Harness[In, Out]{begin(t, window, adapter, err, options)}
}

// Aggregate tests an operator with an accumulator per key and window.
func Aggregate[In, Acc, Out any](
	t testing.TB, operator tidewheel.Aggregator[In, Acc, Out], options ...Option,
) Harness[In, Out] {
	t.Helper()
	adapter, err := tidewheel.NewAggregate(operator)
	return Harness[In, Out]{begin(t, aggregate, adapter, err, options)}
}

func begin(t testing.TB, kind kind, adapter *tidewheel.Adapter, err error, given []Option) *core {
	t.Helper()
	if err != nil {
		t.Fatalf("the operator is not declared right: %v", err)
	}
	c := &core{
		t: t, kind: kind, adapter: adapter, said: adapter.Describe(),
		timers:       make(map[string]map[timer]bool),
		accumulators: make(map[place]*[2]*stored),
		waiting:      make(map[place][]incoming),
		options:      options{length: 1000, granted: make(map[string]string)},
	}
	for _, option := range given {
		option(&c.options)
	}
	for _, state := range c.said.States {
		if state.Rides {
			c.riding++
		}
	}
	c.host = newMemory(c.said.States, func(state, version uint32, bytes []byte) []byte {
		return migrated(t, adapter, state, version, bytes)
	})
	c.host.granted, c.host.http = c.options.granted, c.options.http
	if failure := c.open(); failure != nil {
		t.Fatalf("open failed: %s", failure.Message)
	}
	return c
}

// open makes an instance.
func (c *core) open() *contract.Failure {
	config := ""
	if c.options.config != nil {
		bytes, err := json.Marshal(c.options.config)
		if err != nil {
			c.t.Fatalf("the config is no JSON: %v", err)
		}
		config = string(bytes)
	}
	defer host.Use(c.host)()
	return c.adapter.Open(config)
}

// Sent is a record that a test sends.
type Sent[In any] struct {
	// Key is its key.
	Key string
	// EventTime is when it happened.
	EventTime tidewheel.EventTime
	// Value is its value.
	Value In
	// Input is the index of the input it comes by.
	Input int
	// Change is what it says about the one before it with the same key.
	Change tidewheel.Change
	// Headers are its headers.
	Headers []Header
}

// Header is a header of a record.
type Header struct {
	Name  string
	Value []byte
}

// Send sends a record. A rejected one is no failure.
func (h Harness[In, Out]) Send(key string, at tidewheel.EventTime, value In) {
	h.t.Helper()
	h.SendAll(Sent[In]{Key: key, EventTime: at, Value: value})
}

// SendAll sends records in one batch. A rejected one is no failure.
func (h Harness[In, Out]) SendAll(records ...Sent[In]) {
	h.t.Helper()
	if err := h.TrySendAll(records...); err != nil {
		h.t.Fatalf("the call failed: %v", err)
	}
}

// TrySendAll sends records in one batch. The error is that the call failed as a whole: nothing of it counts.
func (h Harness[In, Out]) TrySendAll(records ...Sent[In]) error {
	h.t.Helper()
	var all []incoming
	for _, record := range records {
		bytes, err := tidewheel.Encode(h.said.Inputs[0].Format, record.Value)
		if err != nil {
			h.t.Fatalf("the input's format cannot hold %v: %v", record.Value, err)
		}
		all = append(all, incoming{
			key: record.Key, time: int64(record.EventTime), value: bytes, input: byte(record.Input),
			change: byte(record.Change), headers: record.Headers,
		})
	}
	return h.process(all)
}

// SendBytes sends bytes as they are, right or wrong.
func (h Harness[In, Out]) SendBytes(key string, at tidewheel.EventTime, bytes []byte) {
	h.t.Helper()
	if err := h.process([]incoming{{key: key, time: int64(at), value: bytes}}); err != nil {
		h.t.Fatalf("the call failed: %v", err)
	}
}

// Outputs are the values emitted on the main output since this was last called.
func (h Harness[In, Out]) Outputs() []Out {
	h.t.Helper()
	return taken[Out](h.core, 0)
}

// Wants fails the test when the values emitted on the main output since the last look are others than these.
func (h Harness[In, Out]) Wants(values ...Out) {
	h.t.Helper()
	if got := h.Outputs(); len(got)+len(values) > 0 && !reflect.DeepEqual(got, values) {
		h.t.Errorf("emitted %s, want %s", shown(got), shown(values))
	}
}

func shown[T any](values []T) string {
	text := fmt.Sprintf("%d values", len(values))
	for _, value := range values {
		text += fmt.Sprintf("\n  %+v", value)
	}
	return text
}

// SideOutputs are the values emitted on a side output since this was last called for it.
func SideOutputs[T any](h Tested, name string) []T {
	c := h.tested()
	c.t.Helper()
	for index, output := range c.said.Outputs {
		if index > 0 && output.Name == name {
			return taken[T](c, index)
		}
	}
	c.t.Fatalf("there is no side output %q", name)
	return nil
}

// taken are the values of an output, which are forgotten.
func taken[T any](c *core, output int) (values []T) {
	c.t.Helper()
	kept := c.emitted[:0:0]
	for _, record := range c.emitted {
		if record.Output != output {
			kept = append(kept, record)
			continue
		}
		value, err := tidewheel.Decode[T](c.said.Outputs[output].Format, record.Value)
		if err != nil {
			c.t.Fatalf("what was emitted cannot be read: %v", err)
		}
		values = append(values, value)
	}
	c.emitted = kept
	return values
}

// Records are the records emitted on any output since this or Outputs was last called.
func (c *core) Records() (records []Emitted) {
	records, c.emitted = c.emitted, nil
	return records
}

// Rejected are the records and timers rejected since this was last called.
func (c *core) Rejected() (rejected []Rejected) {
	rejected, c.rejected = c.rejected, nil
	return rejected
}

// Watermarks are those that the operator made since this was last called, see [tidewheel.Context.EmitWatermark].
func (c *core) Watermarks() (watermarks []tidewheel.EventTime) {
	watermarks, c.watermarks = c.watermarks, nil
	return watermarks
}

// Late are the bytes of records that came after their window had fired.
func (c *core) Late() (late [][]byte) {
	late, c.late = c.late, nil
	return late
}

// Log are the lines the operator has logged, each with its level.
func (c *core) Log() []string { return c.host.lines }

// Metric is what a metric shows; of a histogram the last number.
func (c *core) Metric(name string) float64 {
	c.t.Helper()
	for _, metric := range c.host.metrics {
		if metric.name == name {
			return metric.value
		}
	}
	c.t.Fatalf("there is no metric %q", name)
	return 0
}

// process gives records to the operator.
func (c *core) process(records []incoming) error {
	var groups []group
	for _, record := range records {
		windowed := c.kind == window || c.kind == aggregate
		var of *place
		if windowed {
			of = c.windowOf(record)
			if of.end-1 <= c.host.clocks.watermark {
				c.late = append(c.late, record.value)
				continue
			}
		}
		if c.kind == window {
			c.waiting[*of] = append(c.waiting[*of], record)
			continue
		}
		if same := findGroup(groups, record.key, of); c.kind != stateless && same != nil {
			same.records = append(same.records, record)
			continue
		}
		groups = append(groups, group{
			key: record.key, window: of, flags: wholeWindow, cells: c.cells(record.key, of), records: []incoming{record},
		})
	}
	return c.call(groups, false)
}

func findGroup(groups []group, key string, of *place) *group {
	for at := range groups {
		if groups[at].key == key && (of == nil || *groups[at].window == *of) {
			return &groups[at]
		}
	}
	return nil
}

func (c *core) windowOf(record incoming) *place {
	start := record.time / c.options.length * c.options.length
	if start > record.time {
		start -= c.options.length
	}
	return &place{start + c.options.length, start, record.key}
}

// cells are what rides in the batch for a group.
func (c *core) cells(key string, of *place) (cells []*[]byte) {
	if c.kind == aggregate {
		// Calls take turns, so that windows are merged of two accumulators.
		if panes, open := c.accumulators[*of]; open && panes[c.calls%2] != nil {
			return []*[]byte{c.host.live(0, *panes[c.calls%2])}
		}
		return []*[]byte{nil}
	}
	for state := range c.riding {
		cells = append(cells, c.host.value(uint32(state), key))
	}
	return cells
}

// call makes a call; due says that it is with timers or windows that are due, otherwise with new records.
func (c *core) call(groups []group, due bool) error {
	if len(groups) == 0 {
		return nil
	}
	if !c.options.reuse {
		if failure := c.open(); failure != nil {
			return failure
		}
	}
	call := contract.Call{Now: c.host.clocks.now, Watermark: c.host.clocks.watermark, Seed: c.calls}
	records := written(groups, c.kind != stateless)
	c.host.beginCall(groups)
	function := c.adapter.Records
	if due && c.kind != window {
		function = c.adapter.Due
	}
	release := host.Use(c.host)
	answer, failure := function(call, records)
	release()
	c.host.endCall(failure == nil)
	if failure != nil {
		return failure
	}
	// The operator writes the next answer to where this one lies.
	columns, err := frame.Read(bytes.Clone(answer))
	if err != nil {
		return err
	}
	c.apply(&columns, groups, due || c.kind == window)
	c.calls++
	return nil
}

// apply makes what a call did count.
func (c *core) apply(columns *frame.Columns, groups []group, ofGroups bool) {
	c.emitted = append(c.emitted, readEmitted(columns, groups, ofGroups)...)
	c.rejected = append(c.rejected, readRejected(columns, groups)...)
	c.watermarks = append(c.watermarks, readWatermarks(columns)...)
	for _, write := range readWrites(columns) {
		states := uint32(c.riding)
		if write.op&8 != 0 {
			states = uint32(len(c.said.States))
		}
		c.host.apply(write.cell%states, groups[write.cell/states].key, write.op&7, write.bytes)
	}
	for _, change := range readTimers(columns) {
		c.applyTimer(groups[change.group].key, change)
	}
	if c.kind != aggregate {
		return
	}
	for at := range len(columns[frame.CellEnds]) / 4 {
		panes, open := c.accumulators[*groups[at].window]
		if !open {
			panes = &[2]*stored{}
			c.accumulators[*groups[at].window] = panes
		}
		if bytes, present := frame.Cell(columns[frame.CellEnds], columns[frame.Cells], at); present {
			kept := c.host.store(0, bytes)
			panes[c.calls%2] = &kept
		}
	}
}
