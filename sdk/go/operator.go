package tidewheel

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"

	"github.com/tidewheel/tidewheel/sdk/go/internal/contract"
	"github.com/tidewheel/tidewheel/sdk/go/internal/frame"
	"github.com/tidewheel/tidewheel/sdk/go/internal/host"
)

// Adapter makes calls with batches into calls of an operator's methods. The packages of the worlds and tidewheeltest use
// it; an operator needs nothing of it.
type Adapter struct {
	describe contract.Description
	// open makes an operator: a copy of the one that was exported.
	open func(config Config) error
	// records is the call with new records; due the one with what has become due: timers or windows; merge that with
	// accumulators to be merged.
	records, due, merge func(call contract.Call, bytes []byte) ([]byte, error)
	// migrate brings a value of a state from an older version to the newest.
	migrate func(state, version uint32, bytes, to []byte) ([]byte, error)
	call    *call
	opened  bool
}

// Describe is what the operator says of itself.
func (a *Adapter) Describe() contract.Description { return a.describe }

// Open makes a new instance of the operator.
func (a *Adapter) Open(config string) *contract.Failure {
	a.call.record = -1
	defer a.blame()
	if err := a.open(Config{config}); err != nil {
		return failed(err)
	}
	a.opened = true
	return nil
}

// Records is the call with new records: process, or accumulate.
func (a *Adapter) Records(call contract.Call, bytes []byte) ([]byte, *contract.Failure) {
	return a.answer(a.records, call, bytes)
}

// Due is the call with what has become due: on-timer, or fire.
func (a *Adapter) Due(call contract.Call, bytes []byte) ([]byte, *contract.Failure) {
	return a.answer(a.due, call, bytes)
}

// Merge is the call with accumulators to be merged.
func (a *Adapter) Merge(call contract.Call, bytes []byte) ([]byte, *contract.Failure) {
	return a.answer(a.merge, call, bytes)
}

func (a *Adapter) answer(
	function func(contract.Call, []byte) ([]byte, error), call contract.Call, bytes []byte,
) (answer []byte, failure *contract.Failure) {
	if !a.opened {
		return nil, failed(fmt.Errorf("the operator was called before it was opened"))
	}
	defer a.blame()
	answer, err := function(call, bytes)
	if err != nil {
		return nil, failed(err)
	}
	return answer, nil
}

// blame is deferred: it tells the host which record was at hand when the operator panicked, so that it need not search.
func (a *Adapter) blame() {
	if cause := recover(); cause != nil {
		host.Trapped(a.call.record, cause, panicked(cause))
	}
}

// panicked says what a panic was and where, by the newest functions on the stack that are not Go's own.
func panicked(cause any) string {
	message := fmt.Sprintf("panicked: %v", cause)
	callers := make([]uintptr, 64)
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers)])
	for shown := 0; shown < 8; {
		at, more := frames.Next()
		if at.Function != "" && !strings.HasPrefix(at.Function, "runtime.") {
			message += fmt.Sprintf("\n  at %s (%s:%d)", at.Function, at.File, at.Line)
			shown++
		}
		if !more {
			break
		}
	}
	return message
}

// Migrate brings values of a state from an older version to the newest. It is pure: it calls no import.
func (a *Adapter) Migrate(state, version uint32, values []byte) ([]byte, *contract.Failure) {
	a.call.record = -1
	defer a.blame()
	columns, err := frame.Read(values)
	if err != nil {
		return nil, failed(err)
	}
	var ends, migrated []byte
	for at := range len(columns[frame.CellEnds]) / 4 {
		old := frame.Entry(columns[frame.CellEnds], columns[frame.Cells], at)
		migrated, err = a.migrate(state, version, old, migrated)
		if err != nil {
			return nil, failed(err)
		}
		ends = frame.AppendWord(ends, uint32(len(migrated)))
	}
	columns = frame.Columns{}
	columns[frame.CellEnds], columns[frame.Cells] = ends, migrated
	return frame.Append(nil, &columns), nil
}

// fresh is a copy of an operator as it was exported. Whatever the host's instances are to share belongs in state.
func fresh[O any](operator O) O {
	copied := reflect.New(reflect.TypeOf(operator).Elem())
	copied.Elem().Set(reflect.ValueOf(operator).Elem())
	return copied.Interface().(O)
}

// instance is an operator that was opened, and its fields.
type instance[O any] struct {
	operator O
	*declared
}

// adapt makes the adapter of an operator, for what calls make of it; these are to be set. It is an error when the
// operator's fields do not say what they should.
func adapt[O, In, Out any](exported O, current *instance[O]) (
	adapter *Adapter, in *codec[In], out *codec[Out], found settings, err error,
) {
	found = settingsOf(exported)
	if in, err = codecOf[In](found.inputFormat); err != nil {
		return nil, nil, nil, found, fmt.Errorf("input of %T: %w", exported, err)
	}
	if out, err = codecOf[Out](found.outputFormat); err != nil {
		return nil, nil, nil, found, fmt.Errorf("output of %T: %w", exported, err)
	}
	adapter = &Adapter{call: &call{record: -1}}
	host.NoteRecord(&adapter.call.record)
	create := func() error {
		operator := fresh(exported)
		declared, err := declare(operator, adapter.call, &found)
		if err == nil {
			*current = instance[O]{operator, declared}
		}
		return err
	}
	if err := create(); err != nil {
		return nil, nil, nil, found, err
	}
	adapter.open = func(config Config) error {
		if err := create(); err != nil {
			return err
		}
		for _, metric := range current.metrics {
			metric.field.define(metric.name)
		}
		return openWith(current.operator, config)
	}
	adapter.migrate = func(state, version uint32, bytes, to []byte) ([]byte, error) {
		if int(state) >= len(current.states) {
			return nil, fmt.Errorf("there is no state %d", state)
		}
		if int(state) >= len(current.fields) {
			return nil, cannotMigrate(current.states[state].Name, version)
		}
		steps, err := stepsFrom(&current.states[state], current.steps[state], version)
		if err != nil {
			return nil, err
		}
		return current.fields[state].migrate(steps, bytes, to)
	}
	return adapter, in, out, found, nil
}

// stepsFrom are the steps that a value of this version goes through.
func stepsFrom(state *contract.State, steps []step, version uint32) ([]step, error) {
	if version < state.Oldest || version >= state.Version {
		return nil, cannotMigrate(state.Name, version)
	}
	return steps[version-state.Oldest:], nil
}

func cannotMigrate(name string, version uint32) error {
	return fmt.Errorf(
		"state %s has values of version %d, which this component cannot migrate: say how with Migrate", name, version,
	)
}
