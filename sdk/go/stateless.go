package tidewheel

import (
	"errors"
	"fmt"

	"github.com/tidewheel/tidewheel/sdk/go/internal/contract"
)

// Processor is an operator that is called for every record: of world stateless, or with state per key and timers of world
// keyed.
type Processor[In, Out any] interface {
	// Process is called for every record; in world keyed those of a key in order. An error rejects the record: nothing it
	// did counts, and the job's on-error says what becomes of it. [Fail] and [RetryLater] make other errors.
	Process(record Record[In], ctx Context[Out]) error
}

// NewStateless is the adapter of an operator that keeps nothing. It is an error when the operator declares what world
// stateless does not have.
func NewStateless[In, Out any](operator Processor[In, Out]) (*Adapter, error) {
	current := &instance[Processor[In, Out]]{}
	adapter, in, out, settings, err := adapt[Processor[In, Out], In, Out](operator, current)
	if err != nil {
		return nil, err
	}
	if len(current.states) > 0 || len(current.timers) > 0 {
		return nil, fmt.Errorf("%T is of world stateless, which has no state and no timers: make it keyed", operator)
	}
	adapter.describe = described(in, out, current.declared, &settings)
	adapter.records = func(of contract.Call, bytes []byte) ([]byte, error) {
		c := adapter.call
		if err := c.begin(of, bytes, false, false); err != nil {
			return nil, err
		}
		ctx := Context[Out]{c, out}
		for index := range c.batch.len {
			position := c.beginRecord(index, index)
			if err := processOne(current.operator, in, c, index, index, ctx); err != nil {
				if asFailure(err) != nil {
					return nil, err
				}
				c.reject(index, position, err.Error())
			}
		}
		return c.finish(), nil
	}
	adapter.due = func(contract.Call, []byte) ([]byte, error) {
		return nil, errors.New("a stateless operator has neither timers nor windows")
	}
	return adapter, nil
}

// processOne gives a record to an operator.
func processOne[In, Out any](
	operator Processor[In, Out], in *codec[In], c *call, index, group int, ctx Context[Out],
) error {
	value, err := in.decode(c.batch.value(index))
	if err != nil {
		return err
	}
	record := Record[In]{value, c.batch.time(index), &c.batch, int32(index), int32(group)}
	return c.outcome(operator.Process(record, ctx))
}
