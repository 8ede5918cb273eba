package tidewheel

import (
	"bytes"
	"fmt"

	"github.com/tidewheel/tidewheel/sdk/go/internal/contract"
	"github.com/tidewheel/tidewheel/sdk/go/internal/frame"
)

// accumulator is the name of the one state of world aggregate.
const accumulator = "accumulator"

// Aggregator is an operator that folds the records of a key and window into one accumulator.
//
// The job file says which windows (window = { tumbling = "10s" }); the host keeps the accumulators. Sessions and sliding
// windows are merged of smaller pieces, so several accumulators may begin for one window. An accumulator begins as the
// zero value of its type, or as what a method Init gives: see [WithInit].
type Aggregator[In, Acc, Out any] interface {
	// Add takes a record into the accumulator. The same accumulator and record must give the same result: after a rejected
	// record the ones before it may be taken in again. An error rejects the record.
	Add(acc *Acc, record Record[In]) error
	// Merge takes another accumulator of the same key into this one. The order must not matter.
	Merge(acc *Acc, other Acc)
	// Result is called when a window is complete, with its accumulator. An error fails the job.
	Result(window Window, acc Acc, ctx Context[Out]) error
}

// WithInit is an [Aggregator] whose accumulator does not begin as the zero value of its type.
type WithInit[Acc any] interface {
	// Init is the accumulator of no records.
	Init() Acc
}

// NewAggregate is the adapter of an operator with an accumulator per key and window. It is an error when the operator
// declares what world aggregate does not have.
func NewAggregate[In, Acc, Out any](operator Aggregator[In, Acc, Out]) (*Adapter, error) {
	current := &instance[Aggregator[In, Acc, Out]]{}
	adapter, in, out, settings, err := adapt[Aggregator[In, Acc, Out], In, Out](operator, current)
	if err != nil {
		return nil, err
	}
	if len(current.states) > 0 || len(current.timers) > 0 {
		return nil, fmt.Errorf("%T is of world aggregate, which keeps its accumulator and nothing else", operator)
	}
	codec, err := codecOf[Acc](settings.accumulatorFormat)
	if err != nil {
		return nil, fmt.Errorf("accumulator of %T: %w", operator, err)
	}
	a := &aggregate[In, Acc, Out]{current, in, codec, out, adapter.call}
	state := contract.State{
		Name: accumulator, Kind: contract.StateAggregating, Format: codec.name, Schema: codec.schema,
		Version: settings.accumulatorVersion, Rides: true,
	}
	steps := settings.steps[accumulator]
	if state.Oldest, err = oldest(state.Version, steps); err != nil {
		return nil, fmt.Errorf("accumulator of %T: %w", operator, err)
	}
	adapter.describe = described(in, out, current.declared, &settings)
	adapter.describe.States = []contract.State{state}
	adapter.records, adapter.merge, adapter.due = a.accumulate, a.merge, a.fire
	adapter.migrate = func(_, version uint32, old, to []byte) ([]byte, error) {
		steps, err := stepsFrom(&state, steps, version)
		if err != nil {
			return nil, err
		}
		return codec.migrate(steps, old, to)
	}
	return adapter, nil
}

// aggregate is an operator of world aggregate, and how its values are written.
type aggregate[In, Acc, Out any] struct {
	current *instance[Aggregator[In, Acc, Out]]
	in      *codec[In]
	acc     *codec[Acc]
	out     *codec[Out]
	call    *call
}

// accumulate takes new records into the accumulators of their groups.
func (a *aggregate[In, Acc, Out]) accumulate(of contract.Call, bytes []byte) ([]byte, error) {
	c := a.call
	if err := c.begin(of, bytes, true, false); err != nil {
		return nil, err
	}
	var ends, cells []byte
	for group := range c.batch.groups {
		stored, isStored := frame.Cell(c.batch.columns[frame.CellEnds], c.batch.columns[frame.Cells], group)
		first, end := c.batch.records(group)
		fold := &fold[In, Acc, Out]{of: a, group: group, clean: stored, isClean: isStored, cleanAt: first}
		if err := fold.restart(); err != nil {
			return nil, err
		}
		for index := first; index < end; index++ {
			c.record, c.group = index, group
			err := fold.takeIn(index)
			if err == nil {
				continue
			}
			if asFailure(err) != nil {
				return nil, err
			}
			if err := fold.undo(index); err != nil {
				return nil, err
			}
			c.rejectOnly(index, err.Error())
		}
		// A group that only rejected records does not begin to exist.
		exists := isStored || fold.takenIn > 0
		if exists {
			var err error
			if cells, err = a.acc.append(cells, fold.acc); err != nil {
				return nil, Fail(err)
			}
		}
		ends = frame.AppendCellEnd(ends, len(cells), exists)
	}
	return a.answer(ends, cells), nil
}

// answer is a frame of accumulators.
func (a *aggregate[In, Acc, Out]) answer(ends, cells []byte) []byte {
	var columns frame.Columns
	columns[frame.CellEnds], columns[frame.Cells] = ends, cells
	columns[frame.Rejected], columns[frame.Reasons] = a.call.rejected, a.call.reasons
	return a.call.answerOf(&columns)
}

// fold is a group's accumulator while records are taken in.
type fold[In, Acc, Out any] struct {
	of    *aggregate[In, Acc, Out]
	acc   Acc
	group int
	// clean is the accumulator as it was before record cleanAt of the batch, if there was one.
	clean   []byte
	isClean bool
	cleanAt int
	takenIn int
}

// restart begins with the clean accumulator.
func (f *fold[In, Acc, Out]) restart() (err error) {
	f.acc, err = f.of.read(f.clean, f.isClean)
	return err
}

func (f *fold[In, Acc, Out]) takeIn(index int) error {
	c := f.of.call
	value, err := f.of.in.decode(c.batch.value(index))
	if err != nil {
		return err
	}
	record := Record[In]{value, c.batch.time(index), &c.batch, int32(index), int32(f.group)}
	if err := f.of.current.operator.Add(&f.acc, record); err != nil {
		return err
	}
	f.takenIn++
	return nil
}

// undo takes back what a rejected record may have done: the records since the last clean accumulator are taken in again,
// and the result is the next clean one, so each record is taken in twice at most.
func (f *fold[In, Acc, Out]) undo(rejected int) error {
	if err := f.restart(); err != nil {
		return err
	}
	for index := f.cleanAt; index < rejected; index++ {
		if err := f.takeIn(index); err != nil {
			return failf("record %d was taken in, but not the second time: %w", index, err)
		}
		f.takenIn--
	}
	clean, err := f.of.acc.append(nil, f.acc)
	if err != nil {
		return Fail(err)
	}
	f.clean, f.isClean, f.cleanAt = clean, true, rejected+1
	return nil
}

// read is a stored accumulator, or a new one.
func (a *aggregate[In, Acc, Out]) read(stored []byte, isStored bool) (acc Acc, err error) {
	if !isStored {
		if begins, has := a.current.operator.(WithInit[Acc]); has {
			return begins.Init(), nil
		}
		return acc, nil
	}
	if a.acc.borrows {
		stored = bytes.Clone(stored)
	}
	if acc, err = a.acc.decode(stored); err != nil {
		return acc, failf("the accumulator is %w; raise its version when its type changes", err)
	}
	return acc, nil
}

// merge makes one accumulator of those of each group.
func (a *aggregate[In, Acc, Out]) merge(of contract.Call, bytes []byte) ([]byte, error) {
	c := a.call
	if err := c.begin(of, bytes, true, true); err != nil {
		return nil, err
	}
	var ends, cells []byte
	for group := range c.batch.groups {
		merged, err := a.mergeGroup(group)
		if err == nil {
			cells, err = a.acc.append(cells, merged)
		}
		if err != nil {
			return nil, Fail(err)
		}
		ends = frame.AppendCellEnd(ends, len(cells), true)
	}
	return a.answer(ends, cells), nil
}

// fire makes one accumulator of those of each group, and emits its result.
func (a *aggregate[In, Acc, Out]) fire(of contract.Call, bytes []byte) ([]byte, error) {
	c := a.call
	if err := c.begin(of, bytes, true, true); err != nil {
		return nil, err
	}
	ctx := Context[Out]{c, a.out}
	for group := range c.batch.groups {
		merged, err := a.mergeGroup(group)
		if err != nil {
			return nil, err
		}
		window, has := c.batch.window(group)
		if !has {
			return nil, failf("the host fired a group without its window")
		}
		first := c.record
		c.beginGroup(group)
		c.record = first
		if err := c.outcome(a.current.operator.Result(window, merged, ctx)); err != nil {
			return nil, err
		}
	}
	return c.finish(), nil
}

func (a *aggregate[In, Acc, Out]) mergeGroup(group int) (merged Acc, err error) {
	c := a.call
	first, end := c.batch.records(group)
	c.record, c.group = first, group
	if first == end {
		return a.read(nil, false)
	}
	if merged, err = a.read(c.batch.value(first), true); err != nil {
		return merged, err
	}
	for index := first + 1; index < end; index++ {
		other, err := a.read(c.batch.value(index), true)
		if err != nil {
			return merged, err
		}
		a.current.operator.Merge(&merged, other)
	}
	return merged, nil
}
