package tidewheel_test

import (
	"testing"

	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/keyed"
	"github.com/tidewheel/tidewheel/sdk/go/tidewheeltest"
)

// The example of the README of the SDKs, to the letter.

type Order struct {
	User  string `json:"user"`
	Cents uint64 `json:"cents"`
}

// Total is the running total of each user.
type Total struct {
	Cents tidewheel.Value[uint64] `state:"cents" ttl:"540d"`
}

func (t *Total) Process(order tidewheel.Record[Order], ctx tidewheel.Context[uint64]) error {
	cents := t.Cents.GetOr(0) + order.Value.Cents
	ctx.Emit(cents)
	return t.Cents.Set(cents)
}

func init() { keyed.Export(&Total{}) }

func TestAddsUp(t *testing.T) {
	h := tidewheeltest.Keyed(t, &Total{})
	h.Send("ann", 0, Order{"ann", 250})
	h.Wants(250)
}
