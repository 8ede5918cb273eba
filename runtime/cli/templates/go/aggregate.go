// What each user spends in a window: an operator that folds records into an accumulator. The job file says how long a
// window is.
package main

import (
	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/aggregate"
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

// Totals emits, at the end of each window, what each user has spent in it.
type Totals struct{}

// Add takes an order in.
func (*Totals) Add(cents *uint64, order tidewheel.Record[Order]) error {
	*cents += order.Value.Cents
	return nil
}

// Merge makes one sum of two.
func (*Totals) Merge(cents *uint64, other uint64) { *cents += other }

// Result tells of a window that is complete.
func (*Totals) Result(_ tidewheel.Window, cents uint64, ctx tidewheel.Context[Total]) error {
	ctx.Emit(Total{ctx.Key(), cents})
	return nil
}

func init() { aggregate.Export(&Totals{}) }

func main() {}
