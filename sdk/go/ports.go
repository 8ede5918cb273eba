package tidewheel

import (
	"encoding/binary"

	"github.com/tidewheel/tidewheel/sdk/go/internal/contract"
	"github.com/tidewheel/tidewheel/sdk/go/internal/frame"
	"github.com/tidewheel/tidewheel/sdk/go/internal/host"
)

// Output is a side output: a field with the tag output:"NAME". In the job file it is OPERATOR.NAME. The tag format says
// how its values are written; if there is none, the type does, as everywhere.
type Output[T any] struct {
	call  *call
	codec *codec[T]
	index uint8
}

// Emit emits a value on the side output.
func (o *Output[T]) Emit(value T, options ...EmitOption) {
	emit(o.call, o.codec, o.index, value, options)
}

func (o *Output[T]) bindOutput(c *call, index int, format string) (contract.Port, error) {
	codec, err := codecOf[T](format)
	if err != nil {
		return contract.Port{}, err
	}
	o.call, o.codec, o.index = c, codec, uint8(index)
	return contract.Port{Format: codec.name, Schema: codec.schema}, nil
}

// Timer is a named timer: a field with the tag timer:"NAME". It follows the watermark, or with the tag
// clock:"processing" the clock of the worker. Timers of different names never replace or delete one another, and setting
// one to the same time twice is setting it once. All is about the key at hand.
//
// A timer is due when its clock reaches the time; one that is set at or before that is due at once. A timer of the
// processing clock does not fire any more once the input has ended.
type Timer struct {
	call *call
	slot uint16
}

const (
	timerSet = iota
	timerReplaceAll
	timerDelete
	timerDeleteAll
)

// Set sets the timer, besides other times it is set to.
func (t *Timer) Set(at EventTime) { t.call.setTimer(t.slot, timerSet, at) }

// Replace sets the timer, and forgets all other times it is set to.
func (t *Timer) Replace(at EventTime) { t.call.setTimer(t.slot, timerReplaceAll, at) }

// Delete forgets one time the timer is set to.
func (t *Timer) Delete(at EventTime) { t.call.setTimer(t.slot, timerDelete, at) }

// Clear forgets all times the timer is set to.
func (t *Timer) Clear() { t.call.setTimer(t.slot, timerDeleteAll, 0) }

// IsDue says, in OnTimer, whether this is the timer that is due.
func (t *Timer) IsDue() bool {
	return t.call.record >= 0 && uint16(t.call.batch.byte(frame.Inputs, t.call.record, 0)) == t.slot
}

func (t *Timer) bindTimer(c *call, slot int) { t.call, t.slot = c, uint16(slot) }

// setTimer adds an entry to the column of timers.
func (c *call) setTimer(slot uint16, op uint16, at EventTime) {
	c.timers = frame.AppendWord(c.timers, uint32(c.group))
	c.timers = binary.LittleEndian.AppendUint16(c.timers, slot)
	c.timers = binary.LittleEndian.AppendUint16(c.timers, op)
	c.timers = frame.AppendLong(c.timers, int64(at))
}

// Counter is a number that only grows: a field with the tag metric:"NAME".
type Counter struct{ metric }

// Add adds to it.
func (c *Counter) Add(amount float64) { c.update(amount) }

// Increment adds one.
func (c *Counter) Increment() { c.update(1) }

// Gauge is a number that goes up and down: a field with the tag metric:"NAME".
type Gauge struct{ metric }

// Set sets it.
func (g *Gauge) Set(value float64) { g.update(value) }

// Histogram is a distribution of numbers: a field with the tag metric:"NAME".
type Histogram struct{ metric }

// Record adds a number to it.
func (h *Histogram) Record(value float64) { h.update(value) }

type metric struct{ number uint32 }

func (m *metric) update(value float64) { host.UpdateMetric(m.number, value) }

func (c *Counter) define(name string)   { c.number = host.DefineMetric(name, contract.MetricCounter) }
func (g *Gauge) define(name string)     { g.number = host.DefineMetric(name, contract.MetricGauge) }
func (h *Histogram) define(name string) { h.number = host.DefineMetric(name, contract.MetricHistogram) }
