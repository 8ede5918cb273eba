package tidewheel

import (
	"encoding/binary"
	"errors"

	"github.com/tidewheel/tidewheel/sdk/go/internal/contract"
	"github.com/tidewheel/tidewheel/sdk/go/internal/frame"
	"github.com/tidewheel/tidewheel/sdk/go/internal/host"
)

// WindowProcessor is an operator that sees all records of a key and window when the window fires.
//
// The job file says which windows (window = { tumbling = "10s" }), and the host keeps the records until then. Where what
// is wanted can be folded record by record, an [Aggregator] keeps far less. State is the key's, and outlives the window:
// what one sets, the key's next one reads.
type WindowProcessor[In, Out any] interface {
	// Process is called when a window fires, with its records: in order of arrival in a tumbling, global or count window,
	// pane by pane in others. A record that is not of the input's format is rejected, and not among them. An error rejects
	// the records of the window (of a large one, its last part).
	Process(window Window, records []Record[In], ctx Context[Out]) error
}

// NewWindow is the adapter of an operator that sees windows. It is an error when the operator's fields do not say what they
// should.
func NewWindow[In, Out any](operator WindowProcessor[In, Out]) (*Adapter, error) {
	current := &instance[WindowProcessor[In, Out]]{}
	adapter, in, out, settings, err := adapt[WindowProcessor[In, Out], In, Out](operator, current)
	if err != nil {
		return nil, err
	}
	if len(current.timers) > 0 {
		return nil, errors.New("an operator that sees windows has no timers")
	}
	w := &windows[In, Out]{current: current, in: in, out: out, call: adapter.call, inParts: settings.inParts}
	w.addParts()
	adapter.describe = described(in, out, current.declared, &settings)
	// World keyed does not say so.
	adapter.describe.Options = []contract.Pair{{Name: "window", Value: "required"}}
	opened := adapter.open
	adapter.open = func(config Config) error {
		err := opened(config)
		w.addParts()
		return err
	}
	adapter.records = w.process
	adapter.due = func(contract.Call, []byte) ([]byte, error) {
		return nil, errors.New("an operator that sees windows has no timers")
	}
	return adapter, nil
}

// windows is an operator that sees windows, and how its values are read.
type windows[In, Out any] struct {
	current *instance[WindowProcessor[In, Out]]
	in      *codec[In]
	out     *codec[Out]
	call    *call
	inParts bool
	// parts is the state that holds the frames of a large window's parts until the last one comes.
	parts place
}

// addParts declares the state for parts, behind all others: it does not ride. No field can have its name.
func (w *windows[In, Out]) addParts() {
	if w.inParts || w.current.declared == nil || len(w.current.states) > len(w.current.fields) {
		return
	}
	w.current.states = append(w.current.states, contract.State{
		Name: "window-parts", Kind: contract.StateList, Format: "raw", Version: 1, Oldest: 1,
	})
	w.current.bind(w.call)
	w.parts = place{state: uint32(len(w.current.fields)), all: uint32(len(w.current.states))}
}

func (w *windows[In, Out]) process(of contract.Call, bytes []byte) ([]byte, error) {
	c := w.call
	if err := c.begin(of, bytes, true, true); err != nil {
		return nil, err
	}
	if !w.inParts && c.batch.groups == 1 {
		// A part is alone in its call.
		if first, last := c.batch.parts(0); !first || !last {
			return w.part(first, last)
		}
	}
	return w.all(nil)
}

// part is a part of a large window: it is put aside until the last one comes, which the operator sees with all of them.
func (w *windows[In, Out]) part(first, last bool) ([]byte, error) {
	c := w.call
	if last {
		earlier, err := w.stored()
		if err != nil {
			return nil, err
		}
		return w.all(earlier)
	}
	for index := range c.batch.len {
		if _, err := w.in.decode(c.batch.value(index)); err != nil {
			c.rejectOnly(index, err.Error())
		}
	}
	if first {
		// Of a window that failed in the midst of it.
		c.writes.push(w.parts.cell(0), writeDelete, nil)
	}
	c.writes.push(w.parts.cell(0), writeAppend, c.batch.frame)
	return c.finish(), nil
}

// stored are the parts that were put aside.
func (w *windows[In, Out]) stored() (parts []*batch, err error) {
	for start, more := uint64(0), true; more; {
		page := host.ListRead(w.parts.state, 0, start, 1<<31)
		for at := range len(page.ValueEnds) / 4 {
			part := &batch{}
			if err := part.read(frame.Entry(page.ValueEnds, page.Values, at), true); err != nil {
				return nil, err
			}
			parts = append(parts, part)
		}
		if more = page.More && len(page.Keys) >= 8; more {
			start = binary.BigEndian.Uint64(page.Keys[len(page.Keys)-8:]) + 1
		}
	}
	return parts, nil
}

// all goes through the windows of a call; earlier are the parts that came before the one there is.
func (w *windows[In, Out]) all(earlier []*batch) ([]byte, error) {
	c := w.call
	for group := range c.batch.groups {
		for _, field := range w.current.fields {
			field.beginGroup(group)
		}
		if err := w.one(group, earlier); err != nil {
			w.current.endCall(false)
			return nil, err
		}
		for _, field := range w.current.fields {
			field.endGroup()
		}
		if len(earlier) > 0 {
			c.writes.push(w.parts.cell(group), writeDelete, nil)
		}
	}
	w.current.endCall(true)
	return c.finish(), nil
}

// rejection is a record that is not of the input's format.
type rejection struct {
	index  int
	reason string
}

// one gives a window to the operator.
func (w *windows[In, Out]) one(group int, earlier []*batch) error {
	c := w.call
	window, has := c.batch.window(group)
	if !has {
		return failf(
			"this operator sees windows: give it a window in the job file, as window = { tumbling = \"10s\" }",
		)
	}
	first, end := c.batch.records(group)
	position := c.beginRecord(first, group)
	var records []Record[In]
	for _, part := range earlier {
		for index := range part.len {
			// What is not of the format was rejected when its part came.
			if value, err := w.in.decode(part.value(index)); err == nil {
				records = append(records, Record[In]{value, part.time(index), part, int32(index), 0})
			}
		}
	}
	var rejected []rejection
	for index := first; index < end; index++ {
		value, err := w.in.decode(c.batch.value(index))
		if err != nil {
			rejected = append(rejected, rejection{index, err.Error()})
			continue
		}
		records = append(records, Record[In]{value, c.batch.time(index), &c.batch, int32(index), int32(group)})
	}
	var err error
	if len(records) > 0 {
		err = c.outcome(w.current.operator.Process(window, records, Context[Out]{c, w.out}))
	}
	if err != nil && asFailure(err) != nil {
		return err
	}
	if err == nil {
		for _, of := range rejected {
			c.rejectOnly(of.index, of.reason)
		}
		return nil
	}
	for _, field := range w.current.fields {
		field.undoRecord()
	}
	for index := first; index < end; index++ {
		reason := err.Error()
		if len(rejected) > 0 && rejected[0].index == index {
			reason, rejected = rejected[0].reason, rejected[1:]
		}
		c.reject(index, position, reason)
	}
	return nil
}
