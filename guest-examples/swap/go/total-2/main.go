// Version 2: what each customer has spent, to the cent, and in how many purchases.
//
// The type of the state is another one than in version 1, so its version is 2, and a function says how an older value is
// read: what was spent until then is known in whole dollars, and how often was not counted.
package main

import (
	"github.com/tidewheel/tidewheel/guest-examples/rfm/go/shop"
	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/keyed"
)

// TotalOfCents adds the purchases of each customer up.
type TotalOfCents struct {
	Total tidewheel.Value[Total] `state:"total" format:"postcard" version:"2"`
}

// Total is what is kept of a customer.
type Total struct {
	Spent shop.Cents
	// Purchases is since this version.
	Purchases uint64
}

// Told is told at each purchase.
type Told struct {
	Customer  string     `json:"customer"`
	Spent     shop.Cents `json:"spent"`
	Purchases uint64     `json:"purchases"`
}

// Options says how a value of version 1, which kept dollars, is read.
func (*TotalOfCents) Options() []tidewheel.Option {
	wholeDollars := func(dollars uint64) (Total, error) { return Total{Spent: shop.Cents(dollars * 100)}, nil }
	return []tidewheel.Option{tidewheel.Migrate("total", wholeDollars)}
}

// Process takes a purchase in.
func (t *TotalOfCents) Process(purchase tidewheel.Record[shop.Purchase], ctx tidewheel.Context[Told]) error {
	total, _ := t.Total.Get()
	total.Spent += purchase.Value.DollarValue
	total.Purchases++
	ctx.Emit(Told{purchase.Value.CustomerID, total.Spent, total.Purchases})
	return t.Total.Set(total)
}

func init() { keyed.Export(&TotalOfCents{}) }

func main() {}
