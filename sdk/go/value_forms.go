package tidewheel

import "github.com/tidewheel/tidewheel/sdk/go/internal/contract"

// ReduceFunction is how a [Reducing] state makes one value of two.
type ReduceFunction[T any] interface {
	// Reduce makes one value of what there is so far and one that is added.
	Reduce(soFar, added T) T
}

// Reducing is one value per key, of all that were added: a field with the tag state:"NAME". F says how; it has no content
// of its own.
//
// To the host it is a value state, whose value is the reduced one.
type Reducing[T any, F ReduceFunction[T]] struct{ value Value[T] }

// Add adds a value to that of the key at hand, and gives the result.
func (r *Reducing[T, F]) Add(value T) (T, error) {
	if soFar, isSet := r.value.Get(); isSet {
		var function F
		value = function.Reduce(soFar, value)
	}
	return value, r.value.Set(value)
}

// Get is the value of the key at hand, if any was added.
func (r *Reducing[T, F]) Get() (value T, isSet bool) { return r.value.Get() }

// Clear forgets the value of the key at hand.
func (r *Reducing[T, F]) Clear() { r.value.Clear() }

// AggregateFunction is how an [Aggregating] state takes values in, and what it gives.
type AggregateFunction[In, Acc, Out any] interface {
	// Add takes a value into the accumulator, which begins as the zero value of its type.
	Add(acc *Acc, value In)
	// Result is what the accumulator says.
	Result(acc *Acc) Out
}

// Aggregating is one accumulator per key, of all values that were added: a field with the tag state:"NAME". What is
// added, kept and read may be of three types; F says how, and has no content of its own.
//
// To the host it is a value state, whose value is the accumulator.
type Aggregating[In, Acc, Out any, F AggregateFunction[In, Acc, Out]] struct{ value Value[Acc] }

// Add adds a value to the accumulator of the key at hand, and gives the result.
func (a *Aggregating[In, Acc, Out, F]) Add(value In) (result Out, err error) {
	var function F
	acc, _ := a.value.Get()
	function.Add(&acc, value)
	if err := a.value.Set(acc); err != nil {
		return result, err
	}
	return function.Result(&acc), nil
}

// Get is the result of the key at hand, if any value was added.
func (a *Aggregating[In, Acc, Out, F]) Get() (result Out, isSet bool) {
	acc, isSet := a.value.Get()
	if isSet {
		var function F
		result = function.Result(&acc)
	}
	return result, isSet
}

// Clear forgets the accumulator of the key at hand.
func (a *Aggregating[In, Acc, Out, F]) Clear() { a.value.Clear() }

func (r *Reducing[T, F]) declare(format string) (contract.State, error) {
	return r.value.declare(format)
}
func (r *Reducing[T, F]) bind(call *call, place place) { r.value.bind(call, place) }
func (r *Reducing[T, F]) beginGroup(group int)         { r.value.beginGroup(group) }
func (r *Reducing[T, F]) beginRecord()                 { r.value.beginRecord() }
func (r *Reducing[T, F]) undoRecord()                  { r.value.undoRecord() }
func (r *Reducing[T, F]) endGroup()                    { r.value.endGroup() }
func (r *Reducing[T, F]) endCall(succeeded bool)       { r.value.endCall(succeeded) }

func (r *Reducing[T, F]) migrate(steps []step, bytes, to []byte) ([]byte, error) {
	return r.value.migrate(steps, bytes, to)
}

func (a *Aggregating[In, Acc, Out, F]) declare(format string) (contract.State, error) {
	return a.value.declare(format)
}

func (a *Aggregating[In, Acc, Out, F]) bind(call *call, place place) { a.value.bind(call, place) }
func (a *Aggregating[In, Acc, Out, F]) beginGroup(group int)         { a.value.beginGroup(group) }
func (a *Aggregating[In, Acc, Out, F]) beginRecord()                 { a.value.beginRecord() }
func (a *Aggregating[In, Acc, Out, F]) undoRecord()                  { a.value.undoRecord() }
func (a *Aggregating[In, Acc, Out, F]) endGroup()                    { a.value.endGroup() }
func (a *Aggregating[In, Acc, Out, F]) endCall(succeeded bool)       { a.value.endCall(succeeded) }

func (a *Aggregating[In, Acc, Out, F]) migrate(steps []step, bytes, to []byte) ([]byte, error) {
	return a.value.migrate(steps, bytes, to)
}
