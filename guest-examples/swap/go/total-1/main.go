// Version 1: what each customer has spent, in whole dollars. The cents of every purchase are lost.
package main

import (
	"fmt"

	"github.com/tidewheel/tidewheel/guest-examples/rfm/go/shop"
	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/keyed"
)

// TotalOfDollars adds the dollars of each customer up.
type TotalOfDollars struct {
	Total tidewheel.Value[uint64] `state:"total" format:"postcard"`
}

// Told is told at each purchase.
type Told struct {
	Customer string `json:"customer"`
	Dollars  uint64 `json:"dollars"`
}

// Process takes a purchase in.
func (t *TotalOfDollars) Process(purchase tidewheel.Record[shop.Purchase], ctx tidewheel.Context[Told]) error {
	if purchase.Value.DollarValue < 0 {
		return fmt.Errorf("a purchase of %d cents is none", purchase.Value.DollarValue)
	}
	dollars := t.Total.GetOr(0) + uint64(purchase.Value.DollarValue/100)
	ctx.Emit(Told{purchase.Value.CustomerID, dollars})
	return t.Total.Set(dollars)
}

func init() { keyed.Export(&TotalOfDollars{}) }

func main() {}
