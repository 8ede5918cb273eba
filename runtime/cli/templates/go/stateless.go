// What orders cost in euros: an operator that keeps nothing.
package main

import (
	"errors"

	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/stateless"
)

// Order is what comes in.
type Order struct {
	User  string `json:"user"`
	Cents uint64 `json:"cents"`
}

// Price is what goes out.
type Price struct {
	User  string  `json:"user"`
	Euros float64 `json:"euros"`
}

// Prices emits the price of each order; one for which nothing was paid is rejected.
type Prices struct{}

// Process takes an order in.
func (*Prices) Process(order tidewheel.Record[Order], ctx tidewheel.Context[Price]) error {
	if order.Value.Cents == 0 {
		return errors.New("nothing was paid")
	}
	ctx.Emit(Price{order.Value.User, float64(order.Value.Cents) / 100})
	return nil
}

func init() { stateless.Export(&Prices{}) }

func main() {}
