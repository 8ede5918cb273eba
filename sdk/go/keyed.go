package tidewheel

import (
	"errors"

	"github.com/tidewheel/tidewheel/sdk/go/internal/contract"
)

// WithTimers is a keyed operator that sets timers.
type WithTimers[Out any] interface {
	// OnTimer is called for every timer that is due, those of a key in order of their times; at is the time it was set to.
	// An error rejects the timer: it is gone, and what it did is undone.
	OnTimer(at EventTime, ctx Context[Out]) error
}

// NewKeyed is the adapter of an operator with state per key, and timers. It is an error when the operator's fields do not
// say what they should.
//
// Fields with tags are about the key of the record or timer at hand. Other fields are about the instance, which the host
// may replace between any two calls: keep nothing in them that matters.
func NewKeyed[In, Out any](operator Processor[In, Out]) (*Adapter, error) {
	current := &instance[Processor[In, Out]]{}
	adapter, in, out, settings, err := adapt[Processor[In, Out], In, Out](operator, current)
	if err != nil {
		return nil, err
	}
	adapter.describe = described(in, out, current.declared, &settings)
	if len(adapter.describe.Timers) == 0 {
		// For Context.SetTimer.
		adapter.describe.Timers = []contract.Timer{{Name: "timer", Clock: contract.ClockEvent}}
	}
	adapter.records = func(of contract.Call, bytes []byte) ([]byte, error) {
		ctx := Context[Out]{adapter.call, out}
		return current.eachRecord(adapter.call, of, bytes, false, func(index, group int) error {
			return processOne(current.operator, in, adapter.call, index, group, ctx)
		})
	}
	adapter.due = func(of contract.Call, bytes []byte) ([]byte, error) {
		fires, has := current.operator.(WithTimers[Out])
		if !has {
			return nil, errors.New("a timer is due, but the operator has no method OnTimer")
		}
		ctx := Context[Out]{adapter.call, out}
		return current.eachRecord(adapter.call, of, bytes, true, func(index, _ int) error {
			return adapter.call.outcome(fires.OnTimer(adapter.call.batch.time(index), ctx))
		})
	}
	return adapter, nil
}

// eachRecord goes through a batch: process gives a record or timer to the operator.
func (d *declared) eachRecord(
	c *call, of contract.Call, bytes []byte, ofGroups bool, process func(index, group int) error,
) ([]byte, error) {
	if err := c.begin(of, bytes, true, ofGroups); err != nil {
		return nil, err
	}
	for group := range c.batch.groups {
		for _, field := range d.fields {
			field.beginGroup(group)
		}
		first, end := c.batch.records(group)
		for index := first; index < end; index++ {
			position := c.beginRecord(index, group)
			if index > first {
				for _, field := range d.fields {
					field.beginRecord()
				}
			}
			if err := process(index, group); err != nil {
				if asFailure(err) != nil {
					d.endCall(false)
					return nil, err
				}
				for _, field := range d.fields {
					field.undoRecord()
				}
				c.reject(index, position, err.Error())
			}
		}
		for _, field := range d.fields {
			field.endGroup()
		}
	}
	c.record = -1
	d.endCall(true)
	return c.finish(), nil
}

func (d *declared) endCall(succeeded bool) {
	for _, field := range d.fields {
		field.endCall(succeeded)
	}
}
