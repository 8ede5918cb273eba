package tidewheel

import (
	"fmt"
	"math/rand/v2"

	"github.com/tidewheel/tidewheel/sdk/go/internal/contract"
	"github.com/tidewheel/tidewheel/sdk/go/internal/frame"
	"github.com/tidewheel/tidewheel/sdk/go/internal/host"
)

// Context is the call at hand, and in it the record, timer or window at hand: what an operator can do besides returning.
// It is good until the operator returns.
//
// What is emitted inherits the time and key of the record it is made from; of a timer, its time and key; of a window,
// the last time in it and its key.
type Context[Out any] struct {
	call *call
	main *codec[Out]
}

// Emit emits a value on the main output.
//
// A value that its format cannot hold (a JSON number that is not finite) rejects the record at hand.
func (c Context[Out]) Emit(value Out, options ...EmitOption) {
	emit(c.call, c.main, 0, value, options)
}

// Key is the key of the record, timer or window at hand; empty on a stream without keys. It may hold any bytes.
func (c Context[Out]) Key() string { return view(c.call.batch.key(c.call.group)) }

// Watermark is the watermark: no record at or below it will come, unless late. It is [MinTime] before the first.
func (c Context[Out]) Watermark() EventTime { return EventTime(c.call.Watermark) }

// Now is processing time. It stands still during a call.
func (c Context[Out]) Now() EventTime { return EventTime(c.call.Now) }

// Rand is a source of random numbers. Each call begins from a seed that the host gives, so a call can be repeated
// exactly; numbers from elsewhere cannot.
func (c Context[Out]) Rand() *rand.Rand { return c.call.rand() }

// Window is the window at hand, in an operator that has windows.
func (c Context[Out]) Window() Window {
	window, _ := c.call.batch.window(c.call.group)
	return window
}

// IsFirstPart says whether this is the first part of the window at hand, for an operator that takes large ones in parts.
func (c Context[Out]) IsFirstPart() bool {
	first, _ := c.call.batch.parts(c.call.group)
	return first
}

// IsLastPart says whether this is the last part of the window at hand.
func (c Context[Out]) IsLastPart() bool {
	_, last := c.call.batch.parts(c.call.group)
	return last
}

// SetTimer sets the operator's timer for the key at hand, besides other times it is set to. In an operator with fields of
// type [Timer] it is the first of them.
func (c Context[Out]) SetTimer(at EventTime) { c.call.setTimer(0, timerSet, at) }

// EmitWatermark claims that after the record at hand no record at or below at will come, for the split that it was read
// from.
//
// It is the watermark of a source that has this operator as its event-time, and for such a one only: it is of world
// stateless, and elsewhere a record that makes one is set aside. One at or below an earlier one changes nothing.
//
//	// Process takes lines such as "1500 hello", and "until 1499" where nothing earlier comes any more.
//	func (Timed) Process(line tidewheel.Record[string], ctx tidewheel.Context[string]) error {
//		said, text, _ := strings.Cut(line.Value, " ")
//		number := said
//		if said == "until" {
//			number = text
//		}
//		time, err := strconv.ParseInt(number, 10, 64)
//		switch {
//		case err != nil:
//			return err
//		case said == "until":
//			ctx.EmitWatermark(tidewheel.EventTime(time))
//		default:
//			ctx.Emit(text, tidewheel.WithTime(tidewheel.EventTime(time)))
//		}
//		return nil
//	}
func (c Context[Out]) EmitWatermark(at EventTime) { c.call.emitWatermark(at) }

// Log writes a line to the job's log; it carries the record at hand.
func (c Context[Out]) Log(level Level, format string, arguments ...any) {
	host.Log(contract.Level(level), c.call.record, fmt.Sprintf(format, arguments...))
}

// Level is how much a log line matters.
type Level uint8

const (
	// Error says that something is wrong.
	Error = Level(contract.LevelError)
	// Warn says that something may be wrong.
	Warn = Level(contract.LevelWarn)
	// Info is good to know.
	Info = Level(contract.LevelInfo)
	// Debug is for finding a fault.
	Debug = Level(contract.LevelDebug)
	// Trace is every step.
	Trace = Level(contract.LevelTrace)
)

// call is a call of the host: what it brought, and what becomes of it. It is used again by the next one, so that its
// columns need not be allocated anew.
type call struct {
	contract.Call
	batch   batch
	emitted emitted
	writes  writes
	timers  []byte
	marks   []byte

	rejected, reasons []byte
	answer            []byte

	// source is what an emitted record names as its source; record what log lines name, below 0 none.
	source, record, group int
	random                *rand.Rand
	// err is the first thing of the record at hand that could not be read or written.
	err error
}

// position is what a record has done so far, to be undone when it is rejected.
type position struct{ emitted, timers, marks int }

// begin takes a call up.
func (c *call) begin(of contract.Call, bytes []byte, grouped, ofGroups bool) error {
	host.BeginCall(of)
	c.Call, c.random, c.err, c.record = of, nil, nil, -1
	c.emitted.begin(ofGroups)
	c.timers, c.marks, c.rejected, c.reasons = c.timers[:0], c.marks[:0], c.rejected[:0], c.reasons[:0]
	c.writes.begin()
	return c.batch.read(bytes, grouped)
}

// beginRecord puts a record at hand, or in a call with timers a timer.
func (c *call) beginRecord(record, group int) position {
	c.source, c.record, c.group = record, record, group
	if c.emitted.ofGroups {
		c.source = group
	}
	return position{c.emitted.len(), len(c.timers), len(c.marks)}
}

// beginGroup puts a group as a whole at hand.
func (c *call) beginGroup(group int) { c.source, c.record, c.group = group, -1, group }

// outcome is what became of the record at hand, when the operator has returned err. What the operator need not have
// noticed goes first where it is about the whole call.
func (c *call) outcome(err error) error {
	fault := c.err
	if fault == nil {
		return err
	}
	c.err = nil
	if err == nil || asFailure(fault) != nil {
		return fault
	}
	return err
}

// fault keeps the first error of the record at hand, to be found when the operator has returned.
func (c *call) fault(err error) {
	if c.err == nil {
		c.err = err
	}
}

// reject rejects the record at hand and undoes what it emitted, which timers it set and which watermarks it made.
func (c *call) reject(record int, to position, reason string) {
	c.emitted.truncate(to.emitted)
	c.timers, c.marks = c.timers[:to.timers], c.marks[:to.marks]
	c.err = nil
	c.rejectOnly(record, reason)
}

// rejectOnly rejects a record that nothing has come of.
func (c *call) rejectOnly(record int, reason string) {
	c.reasons = append(c.reasons, reason...)
	c.rejected = frame.AppendWord(c.rejected, uint32(record))
	c.rejected = frame.AppendWord(c.rejected, uint32(len(c.reasons)))
}

// emitWatermark adds an entry to the column of marks.
func (c *call) emitWatermark(at EventTime) {
	if c.batch.grouped {
		c.fault(failf("a watermark is made by the component of a source, which is of world stateless: emit none in another operator"))
		return
	}
	c.marks = frame.AppendWord(frame.AppendWord(c.marks, uint32(c.source)), 0)
	c.marks = frame.AppendLong(c.marks, int64(at))
}

func (c *call) rand() *rand.Rand {
	if c.random == nil {
		c.random = rand.New(rand.NewPCG(c.Seed, 0x9e3779b97f4a7c15))
	}
	return c.random
}

// finish is the frame that goes back to the host. It is good until the next call.
func (c *call) finish() []byte {
	var columns frame.Columns
	c.emitted.columns(&columns)
	columns[frame.Writes], columns[frame.WriteBytes] = c.writes.entries, c.writes.bytes
	columns[frame.Timers] = c.timers
	columns[frame.Rejected], columns[frame.Reasons] = c.rejected, c.reasons
	columns[frame.Marks] = c.marks
	return c.answerOf(&columns)
}

func (c *call) answerOf(columns *frame.Columns) []byte {
	c.record = -1
	c.answer = frame.Append(c.answer[:0], columns)
	return c.answer
}

// emit writes a value on an output.
func emit[T any](c *call, codec *codec[T], output uint8, value T, options []EmitOption) {
	values, err := codec.append(c.emitted.values, value)
	if err != nil {
		c.fault(err)
		return
	}
	c.emitted.values = values
	c.emitted.complete(&c.batch, c.source, output, options)
}
