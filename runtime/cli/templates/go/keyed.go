// What each user has spent so far: an operator with one value of state per key.
package main

import (
	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/keyed"
)

// Order is what comes in.
type Order struct {
	User  string `json:"user"`
	Cents uint64 `json:"cents"`
}

// Total is what goes out.
type Total struct {
	User  string `json:"user"`
	Cents uint64 `json:"cents"`
}

// Totals emits, for each order, what its user has spent up to then.
type Totals struct {
	// Total is of the key at hand, in cents. Whatever is to be remembered is a field like this one.
	Total tidewheel.Value[uint64] `state:"total"`
}

// Process takes an order in.
func (t *Totals) Process(order tidewheel.Record[Order], ctx tidewheel.Context[Total]) error {
	cents := t.Total.GetOr(0) + order.Value.Cents
	ctx.Emit(Total{order.Value.User, cents})
	return t.Total.Set(cents)
}

func init() { keyed.Export(&Totals{}) }

func main() {}
